"""Everything that comes with workbench keeps the contract."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.sound.card import VirtualCard
from tests.sound.conftest import card as card  # the fixture
from tests.waiting import PATIENCE_S
from workbench.engine.endpointing import SilenceTurn
from workbench.model.audio import Samples
from workbench.model.conversation import ToolCall
from workbench.plugin.manager import find_provider
from workbench.plugin.values import Provider, ProviderOptions
from workbench.providers.energy import Energy
from workbench.providers.openai.llm import OpenAiLlm
from workbench.providers.openai.stt import OpenAiStt
from workbench.providers.openai.tts import OpenAiTts
from workbench.simulation.faults import Fault, FaultyApi
from workbench.simulation.scripted import ScriptedLlm, ScriptedStt, ScriptedTts
from workbench.simulation.synthesis import ArraySource, speech
from workbench.testing import (
    Report,
    Rule,
    check_llm,
    check_sink,
    check_source,
    check_stt,
    check_tts,
    check_turn,
    check_vad,
)
from workbench.trace.trace import Trace
from workbench.transports.file.transport import WavSink, WavSource
from workbench.transports.null import NullSource
from workbench.transports.paced import PacedSink

DATA = Path(__file__).parents[2] / "data"


def trace() -> Trace:
    return Trace(lambda: 0.0)


def question() -> Samples:
    with wave.open(str(DATA / "question.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)


def installed(stage: str, choice: str) -> tuple[Provider, ProviderOptions]:
    provider, model = find_provider(stage, choice)  # type: ignore[arg-type]
    return provider, ProviderOptions(model)


@contextmanager
def api(fault: Fault | None = None) -> Iterator[str]:
    """The base URL of a server on a loop of its own: a check has one too."""
    ready, urls, leave = (
        threading.Event(),
        list[str](),
        list[tuple[asyncio.AbstractEventLoop, asyncio.Event]](),
    )

    async def serve() -> None:
        over = asyncio.Event()
        async with FaultyApi(fault) as server:
            urls.append(server.base_url)
            leave.append((asyncio.get_running_loop(), over))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(PATIENCE_S)
    try:
        yield urls[0]
    finally:
        loop, over = leave[0]
        loop.call_soon_threadsafe(over.set)
        thread.join()
        gc.collect()  # what the server dropped


def options(base_url: str) -> ProviderOptions:
    return ProviderOptions("some-model", base_url=base_url, timeout_s=10)


# --- detectors -------------------------------------------------------------------------------------------------------


def test_energy_keeps_the_contract() -> None:
    assert check_vad(Energy).figures[Rule.CHEAP].unit == "µs a window"


@pytest.mark.models
def test_silero_keeps_the_contract() -> None:
    provider, model = installed("vad", "silero")
    check_vad(provider, options=model)


def test_silence_keeps_the_contract() -> None:
    check_turn(SilenceTurn)


# --- scripted --------------------------------------------------------------------------------------------------------


def test_scripted_stt_keeps_the_contract() -> None:
    check_stt(lambda: ScriptedStt(["hello there"], partials=True), sound=speech(1.2))


def test_scripted_stt_with_delay_and_without_partials_keeps_the_contract() -> None:
    check_stt(lambda: ScriptedStt(["hello there"], delay_ms=20), sound=speech(1.2))


def test_scripted_llm_keeps_the_contract() -> None:
    calls: list[str | ToolCall] = ["Let me see. ", ToolCall("1", "weather", "{}")]
    check_llm(lambda: ScriptedLlm(["hello to you", calls], first_token_ms=5, token_ms=2))


def test_scripted_tts_keeps_the_contract() -> None:
    check_tts(lambda: ScriptedTts(first_byte_ms=5, leading_silence_ms=40))


# --- by the API ------------------------------------------------------------------------------------------------------


# The form parser of the server drops its temporary file when a client hangs up in the middle of it, and aiohttp's reads
# it in a way that aiohttp itself no longer wants.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unread_data:DeprecationWarning")
def test_openai_stt_keeps_the_contract() -> None:
    with api() as good, api("unauthorized") as bad:
        check_stt(
            lambda: OpenAiStt(options(good)), failing=lambda: OpenAiStt(options(bad)), sound=speech(1.2)
        )


def test_openai_llm_keeps_the_contract() -> None:
    with api() as good, api("busy") as bad:
        check_llm(lambda: OpenAiLlm(options(good)), failing=lambda: OpenAiLlm(options(bad)))


def test_openai_tts_keeps_the_contract() -> None:
    with api() as good, api("stops") as bad:
        check_tts(lambda: OpenAiTts(options(good)), failing=lambda: OpenAiTts(options(bad)))


# --- on board --------------------------------------------------------------------------------------------------------


@pytest.mark.models
def test_whisper_keeps_the_contract() -> None:
    provider, model = installed("stt", "whisper")
    report = check_stt(provider, options=model, sound=question())
    assert report.figures[Rule.HEARS].value > 1


@pytest.mark.models
def test_llama_keeps_the_contract() -> None:
    provider, model = installed("llm", "llama")
    check_llm(provider, options=model, deadline_s=60)


@pytest.mark.models
def test_piper_keeps_the_contract() -> None:
    provider, model = installed("tts", "piper")
    check_tts(provider, options=model)


# --- sources and sinks -----------------------------------------------------------------------------------------------


def test_file_and_array_sources_keep_the_contract() -> None:
    for report in (
        check_source(lambda: WavSource(DATA / "question.wav", trace()), virtual=True, seconds=60),
        check_source(lambda: NullSource(trace()), virtual=True, seconds=60),
        check_source(lambda: ArraySource(speech(2.0)), virtual=True),
        check_source(lambda: ArraySource(speech(2.0), frame_ms=10), seconds=0.3),
    ):
        assert report.figures[Rule.TIME].unit == "ms after it was spoken"


def test_file_and_null_sinks_keep_the_contract(tmp_path: Path) -> None:
    check_sink(lambda: PacedSink(trace()), virtual=True, seconds=60)
    check_sink(lambda: WavSink(tmp_path / "out.wav", trace()), virtual=True)
    check_sink(lambda: WavSink(tmp_path / "out.wav", trace()), seconds=0.3)


# PortAudio looks for devices once in a process, and the card is there for this test only: so in a process of its own.
DEVICES = """
from workbench.transports.local.microphone import Microphone
from workbench.transports.local.speaker import Speaker
from workbench.testing import check_sink, check_source
from workbench.trace.trace import Trace

print(check_source(lambda: Microphone(None, Trace(lambda: 0.0)), seconds=0.5))
print(check_sink(lambda: Speaker(None, Trace(lambda: 0.0)), seconds=0.5))
"""


@pytest.mark.sound
def test_microphone_and_speaker_keep_the_contract(card: VirtualCard) -> None:
    code = [sys.executable, "-c", DEVICES]
    done = subprocess.run(code, env=card.environment(), capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert "source default keeps" in done.stdout
    assert "sink default keeps" in done.stdout


# --- what is printed -------------------------------------------------------------------------------------------------


def test_a_report_can_be_printed() -> None:
    report = check_vad(Energy)
    assert isinstance(report, Report)
    assert str(report).splitlines()[0] == f"vad Energy keeps {len(report.figures)} rules"
    assert "is cheap enough to run inline" in str(report)


def test_the_docs_name_every_rule() -> None:
    page = (DATA.parents[1] / "docs" / "contract.md").read_text("utf-8")
    assert [rule for rule in Rule if f"| {rule} |" not in page] == []
