from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import numpy as np
import pytest

from tests.waiting import PATIENCE_S
from workbench.model.audio import Samples, first_audible, level_db
from workbench.model.errors import UsageError
from workbench.plugin.values import ProviderOptions
from workbench.providers import worker
from workbench.providers.onboard.piper import without_phonemes
from workbench.providers.piper import Piper

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is told to end has time to, on a machine that has much to do."""
    monkeypatch.setattr(worker, "OVERRUN_S", PATIENCE_S)


def run(work: Callable[[Piper], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        async with asyncio.timeout(PATIENCE_S), Piper(ProviderOptions("en_US-joe-medium")) as tts:
            await tts.warm()
            return await work(tts)

    return asyncio.run(main())


async def say(tts: Piper, text: str) -> list[Samples]:
    async with tts.speak(text) as speech:
        return [part.samples async for part in speech]


def test_brackets_are_not_read_as_phonemes() -> None:
    assert without_phonemes("say [[ h@l'oU ]] now") == "say [ h@l'oU ] now"


@pytest.mark.models
def test_piper_speaks_sentence_by_sentence() -> None:
    async def main(tts: Piper) -> None:
        assert tts.rate == 22_050
        parts = await say(tts, "The capital of France is Paris. It lies on the Seine.")
        assert len(parts) == 2
        for part in parts:
            assert part.dtype == np.int16
            assert 0.8 < len(part) / tts.rate < 4
            assert level_db(part) > -30
            assert (first_audible(part, tts.rate) or 0) < tts.rate // 2

    run(main)


@pytest.mark.models
@pytest.mark.parametrize("text", ["", " ", "…", "\u202e\x1b[31m", "?!"])
def test_a_text_without_a_word_gives_next_to_no_sound(text: str) -> None:
    async def main(tts: Piper) -> None:
        assert sum(map(len, await say(tts, text))) < 2 * tts.rate

    run(main)


@pytest.mark.models
def test_leaving_stops_it_in_the_middle_of_a_sentence() -> None:
    endless = "and then " * 400

    async def main(tts: Piper) -> None:
        pid = tts.worker.pid
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(say(tts, endless))
            await asyncio.sleep(0.1)
            left = time.perf_counter()
            speaking.cancel()
            await asyncio.wait({speaking})
            assert time.perf_counter() - left < 2  # to speak it all takes ten
        assert await say(tts, "Yes.")
        assert tts.worker.pid == pid  # it was not killed: the run was told to end

    run(main)


@pytest.mark.models
def test_the_session_never_imports_piper() -> None:
    code = (
        "import sys; from workbench.plugin.values import ProviderOptions;"
        "from workbench.providers.piper import Piper; Piper(ProviderOptions('en_US-joe-medium'));"
        "sys.exit(any(name.split('.')[0] in ('piper', 'onnxruntime') for name in sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        ).returncode
        == 0
    )


def test_an_unknown_voice_is_refused() -> None:
    with pytest.raises(UsageError, match="no weights are known"):
        Piper(ProviderOptions("nobody"))
