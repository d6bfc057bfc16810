"""Every rule of `check_tts` can be broken: a provider for each that breaks it, and is caught."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Self

import numpy as np
import pytest

from tests.testing.contract.sabotage import (
    Outside,
    a_thread,
    blocking,
    caught,
    deaf_to_cancellation,
    nothing,
    now,
    swallowing,
    with_member,
)
from workbench.engine import interfaces
from workbench.engine.interfaces import Speech
from workbench.model.audio import OUTPUT_RATE, silence
from workbench.model.conversation import Word
from workbench.model.errors import StageError
from workbench.simulation.scripted import Hangs, Raises, ScriptedTts
from workbench.simulation.synthesis import speech
from workbench.testing import Rule, check_tts

VOICE = speech(0.4, rate=OUTPUT_RATE)


class Tts(interfaces.Tts):
    """A good one, but for what is asked of it."""

    name = "broken"
    rate = OUTPUT_RATE

    def __init__(
        self,
        pieces: Sequence[object] = (Speech(VOICE), Speech(VOICE)),
        *,
        before: Callable[[], Any] = nothing,
        leaving: Callable[[], Any] = nothing,
        given: Callable[[str], object] = len,
    ) -> None:
        self.pieces, self.before, self.leaving, self.given = pieces, before, leaving, given

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def warm(self) -> None:
        pass

    @asynccontextmanager
    async def speak(self, text: str) -> AsyncIterator[AsyncIterator[Any]]:
        self.given(text)
        try:
            async with aclosing(self._stream(text)) as pieces:
                yield pieces
        finally:
            await self.leaving()

    async def _stream(self, text: str) -> AsyncGenerator[Any]:
        for piece in self.pieces:
            await asyncio.sleep(0)
            await self.before()
            yield piece


class Reuses(Tts):
    """Gives the same array again and again."""

    async def _stream(self, text: str) -> AsyncGenerator[Any]:
        array = VOICE.copy()
        for loud in (1, 0):
            await asyncio.sleep(0)
            array *= loud
            yield Speech(array)


class Backlog(Tts):
    """Speaks the rest of what was left before anything else."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[str] = []

    async def _stream(self, text: str) -> AsyncGenerator[Any]:
        self.left += text.split()[:30]
        while self.left:
            self.left.pop(0)
            await asyncio.sleep(0)
            yield Speech(VOICE)


class OneMouth(Tts):
    """Fails where two speak at once."""

    speaking = False

    async def _stream(self, text: str) -> AsyncGenerator[Any]:
        if self.speaking:
            raise StageError("busy", "wait")
        self.speaking = True
        try:
            await asyncio.sleep(0.001)
            yield Speech(VOICE)
        finally:
            self.speaking = False


def only_words(text: str) -> None:
    _ = text.split()[0]


def words(*times: float) -> list[Speech]:
    spans = zip(times[::2], times[1::2], strict=True)
    return [Speech(VOICE, tuple(Word("hello", *span) for span in spans))]


HEADER = np.concatenate([np.frombuffer(b"RIFF\x24\x00\x00\x00WAVE", dtype=np.int16), VOICE])
tts = partial(check_tts, deadline_s=1)
TTS: list[tuple[Rule, str, Callable[[], object]]] = [
    (Rule.SHAPE, "`rate` must be", lambda: with_member(Tts(), "rate", "24000")),
    (Rule.ANSWERS, "with nothing", lambda: Tts([])),
    (Rule.ANSWERS, "nothing can be heard", lambda: Tts([Speech(silence(OUTPUT_RATE))])),
    (Rule.FORMAT, "a rate of 24 Hz", lambda: with_member(Tts(), "rate", 24)),
    (Rule.FORMAT, "not Speech", lambda: Tts([VOICE])),
    (Rule.FORMAT, "must be an array", lambda: Tts([Speech(VOICE.tobytes())])),  # type: ignore[arg-type]
    (Rule.FORMAT, "float32", lambda: Tts([Speech(VOICE.astype(np.float32))])),
    (Rule.FORMAT, r"of shape \(9600, 1\)", lambda: Tts([Speech(VOICE.reshape(-1, 1))])),
    (Rule.FORMAT, "wav file", lambda: Tts([Speech(HEADER)])),
    (Rule.FORMAT, "tuple of Word", lambda: Tts([Speech(VOICE, ("hello",))])),  # type: ignore[arg-type]
    (Rule.FORMAT, "in order", lambda: Tts(words(200, 300, 0, 100))),
    (Rule.FORMAT, "not finite", lambda: Tts(words(0, float("inf")))),
    (Rule.FORMAT, "words end at", lambda: Tts(words(0, 9000))),
    (Rule.FORMAT, "changed after", Reuses),
    (Rule.FORGETS, "after a long one", Backlog),
    (Rule.CANCELS, "after", lambda: Tts(before=deaf_to_cancellation)),
    (Rule.CANCELS, "ordinary end", lambda: Tts(before=swallowing)),
    (Rule.LEAVES, "took", lambda: Tts(leaving=partial(asyncio.sleep, 0.2))),
    (Rule.CLOSES, "thread", lambda: Tts(before=now(a_thread))),
    (Rule.TOLERATES, "IndexError", lambda: Tts(given=only_words)),
    (Rule.LOOP, "held the loop", lambda: Tts(before=blocking)),
    (Rule.TOGETHER, "busy", OneMouth),
    (Rule.CLOCK, "virtual clock", lambda: Tts(before=Outside().wait)),
    (Rule.WHY, "RuntimeError", lambda: ScriptedTts(faults=Raises(RuntimeError("oops")))),
    (Rule.ANSWERS, "not done after", lambda: ScriptedTts(faults=Hangs())),
]


@pytest.mark.parametrize(("rule", "what", "make"), TTS)
def test_a_broken_tts_is_caught(rule: Rule, what: str, make: Callable[[], Any]) -> None:
    assert caught(lambda: tts(make), what) == rule


def test_every_rule_can_be_broken() -> None:
    assert {rule for rule, _, _ in TTS} >= set(check_tts(Tts).figures) | {Rule.ANSWERS}
