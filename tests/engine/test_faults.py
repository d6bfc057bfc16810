"""Every stage × {raises, hangs, is slow, ends early, garbage}: the trace names the stage, the turn ends, listening
goes on and the next utterance is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from tests.engine.support.scenario import Outcome, Scenario, run
from tests.engine.support.tools import CLOCK, answer
from workbench.engine.interfaces import Pull, Sink, Speech, Text, TurnDetector
from workbench.engine.settings import EngineSettings
from workbench.model.audio import Frame, Samples
from workbench.model.conversation import Transcript
from workbench.model.errors import BusyError, MissingError, RefusedError, StageError
from workbench.model.events import (
    BreakerChanged,
    ClockMapped,
    DeviceLost,
    DeviceOpened,
    Notice,
    ProviderRetried,
    ReplyEnded,
    ReplyPlaying,
    ReplyText,
    TurnEnded,
    UtteranceDismissed,
    VoiceChanged,
)
from workbench.simulation.scripted import (
    EndsEarly,
    Fault,
    Garbage,
    Hangs,
    Raises,
    ScriptedLlm,
    ScriptedStt,
    ScriptedTts,
    Slow,
)
from workbench.simulation.synthesis import ArraySource, Score
from workbench.tools.tool import Tool, tool
from workbench.trace.trace import Trace
from workbench.transports.paced import PacedSink

ANSWER = "This is the first sentence. And this is the second one."
FAULTS: dict[str, Callable[[], Fault]] = {
    "raises": lambda: Raises(RuntimeError("out of order")),
    "raises midway": lambda: Raises(StageError("gone"), after=1),
    "refuses": lambda: Raises(RefusedError("wrong key", "set another one")),
    "is busy": lambda: Raises(BusyError("429", retry_after=0.5)),
    "hangs": Hangs,
    "hangs midway": lambda: Hangs(after=1),
    "is slow": lambda: Slow(600),
    "ends early": EndsEarly,
    "garbage": Garbage,
}


def settings() -> EngineSettings:
    made = EngineSettings()
    limits = made.limits
    limits.stt_ms = limits.llm_first_token_ms = limits.tts_first_byte_ms = 1000
    limits.llm_gap_ms = limits.tts_gap_ms = limits.tool_ms = 1000
    return made


def two_questions() -> Score:
    return Score().silence(0.5).say("what time is it").silence(14).say("how are you today").silence(8)


def scenario(**stages: Any) -> Scenario:
    score = two_questions()
    made: dict[str, Any] = {"stt": ScriptedStt(score), "llm": ScriptedLlm([ANSWER]), "settings": settings()}
    return Scenario(score, **(made | stages))


def first_and_second(outcome: Outcome) -> tuple[TurnEnded, TurnEnded]:
    first, second = outcome.all(TurnEnded)
    return first, second


# --- models ----------------------------------------------------------------------------------------------------------


def broken(stage: str, fault: Fault, calls: int) -> Any:
    """The stage, with the fault in its first calls."""
    faults = dict.fromkeys(range(1, calls + 1), fault)
    if stage == "stt":
        return ScriptedStt(two_questions(), faults=faults)
    return ScriptedLlm([ANSWER], faults=faults) if stage == "llm" else ScriptedTts(faults=faults)


@pytest.mark.parametrize("speculate", [True, False])
@pytest.mark.parametrize("what", FAULTS)
@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
def test_one_fault_of_a_model_costs_at_most_its_turn(stage: str, what: str, speculate: bool) -> None:
    """It is tried again where that can help: only what was begun or refused fails the turn."""
    outcome = run(scenario(**{stage: broken(stage, FAULTS[what](), 1)}, speculate=speculate))
    first, second = first_and_second(outcome)
    assert (second.status, second.user_text, second.agent_text) == ("done", "how are you today", ANSWER)
    fails = what == "refuses" or ("midway" in what and stage != "stt")
    assert first.status == ("failed" if fails else "done"), first
    assert first.stage == (stage if fails else None)
    if fails:
        assert first.reason
    retried = [event.stage for event in outcome.all(ProviderRetried)]
    again = what in ("raises", "is busy", "hangs") or (stage == "stt" and what == "ends early")
    assert (stage in retried) == again or fails


@pytest.mark.parametrize("what", ["raises", "refuses", "hangs", "raises midway", "hangs midway"])
@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
def test_a_model_that_stays_broken_fails_the_turn_only(stage: str, what: str) -> None:
    if stage == "stt" and "midway" in what:
        return  # it gives one piece: its transcript
    calls = 3 if what in ("raises", "hangs") else 1
    outcome = run(scenario(**{stage: broken(stage, FAULTS[what](), calls)}, speculate=False))
    first, second = first_and_second(outcome)
    assert (first.status, first.stage) == ("failed", stage)
    assert first.reason
    assert first.hint is not None
    assert (second.status, second.agent_text) == ("done", ANSWER)


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
def test_a_model_that_keeps_failing_is_not_called_for_a_while(stage: str) -> None:
    outcome = run(scenario(**{stage: broken(stage, FAULTS["raises"](), 100)}, speculate=False))
    first, second = first_and_second(outcome)
    assert (first.status, first.stage) == ("failed", stage)
    if stage == "tts":  # by text, as the session says
        assert (second.status, second.agent_text) == ("done", ANSWER)
        assert [event.state for event in outcome.all(VoiceChanged)] == ["lost"]
    else:
        assert (second.status, second.stage) == ("failed", stage)
    changed = outcome.all(BreakerChanged)
    assert [(event.stage, event.state) for event in changed] == [(stage, "open")]


def test_the_text_of_a_reply_can_be_read_where_the_tts_fails() -> None:
    outcome = run(scenario(tts=broken("tts", FAULTS["refuses"](), 1)))
    first, _ = first_and_second(outcome)
    assert first.agent_text == ANSWER
    assert "".join(event.text for event in outcome.all(ReplyText) if event.reply == 1) == ANSWER
    assert outcome.said[1] == ("assistant", ANSWER)
    assert len(outcome.all(ReplyPlaying)) == 1


def test_a_tts_that_fails_midway_leaves_the_rest_to_be_read() -> None:
    outcome = run(scenario(tts=ScriptedTts(faults={2: FAULTS["refuses"]()})))
    first, _ = first_and_second(outcome)
    assert (first.status, first.stage, first.agent_text) == ("failed", "tts", ANSWER)
    assert len(outcome.all(ReplyPlaying)) == 2


def test_an_llm_that_fails_midway_leaves_what_was_played() -> None:
    outcome = run(
        scenario(llm=ScriptedLlm([ANSWER], token_ms=100, faults={1: Raises(StageError("gone"), after=9)}))
    )
    first, _ = first_and_second(outcome)
    ended = outcome.all(ReplyEnded)[0]
    assert (first.status, first.stage) == ("failed", "llm")
    assert ended.heard == first.agent_text == "This is the first sentence."
    assert outcome.said[1] == ("assistant", "This is the first sentence.")


def test_an_stt_that_fails_while_the_user_speaks_fails_the_turn_at_its_end() -> None:
    stt = ScriptedStt(two_questions(), faults=dict.fromkeys((1, 2, 3), Raises()))
    outcome = run(scenario(stt=stt))
    first, _ = first_and_second(outcome)
    assert (first.status, first.stage, first.user_text) == ("failed", "stt", "")
    ended = 0.5 + 0.9 + 0.35
    assert outcome.at(first) == pytest.approx(ended * 1000, abs=40)


def test_an_stt_that_fails_on_a_cough_leaves_only_a_notice() -> None:
    """The cough is spoken into a reply; the reply goes on."""
    score = Score().silence(0.5).say("what time is it").silence(1.5).cough().silence(8)
    stt = ScriptedStt(score, faults=dict.fromkeys((2, 3, 4), Raises(RefusedError("no credit"))))
    outcome = run(Scenario(score, stt=stt, llm=ScriptedLlm([ANSWER])))
    assert outcome.turns == [("done", "what time is it", ANSWER)]
    assert outcome.all(Notice) == [Notice("error", "stt", "no credit", "")]
    assert [(it.utterance, it.reason) for it in outcome.all(UtteranceDismissed)] == [(2, "not understood")]


def test_an_stt_that_hangs_is_asked_again_for_everything_when_the_user_goes_on() -> None:
    score = Score().silence(0.5).say("what time is it").silence(1).say("hello are you there").silence(9)
    stt = ScriptedStt(score, faults={1: Hangs()})
    outcome = run(Scenario(score, stt=stt, settings=EngineSettings()))
    assert [turn[0] for turn in outcome.turns] == ["done"]
    assert outcome.turns[0][1] == "what time is it hello are you there"
    spoken = score.spoken[1].end / 16
    assert outcome.at(outcome.one(ReplyPlaying)) <= spoken + 1000


# --- nonsense in the right place -------------------------------------------------------------------------------------


class StrangeStt(ScriptedStt):
    """Its first transcript is no transcript."""

    def __init__(self, score: Score, strange: object, *, partial: bool) -> None:
        super().__init__(score)
        self._strange = strange
        self._partial = partial

    async def transcribe(self, utterance: Any, *, eager: bool) -> Transcript:
        if self.calls < 3:
            self.calls += 1
            if self._partial:
                utterance.write(self._strange)
            while not utterance.over:
                await utterance.changed()
            return self._strange  # type: ignore[return-value]
        return await super().transcribe(utterance, eager=eager)


@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize("strange", [None, "hello", 17, Transcript(None, 0)])  # type: ignore[arg-type]
def test_an_stt_that_answers_with_nonsense_fails_the_turn(strange: object, partial: bool) -> None:
    outcome = run(scenario(stt=StrangeStt(two_questions(), strange, partial=partial)))
    first, second = first_and_second(outcome)
    assert (first.status, first.stage) == ("failed", "stt")
    assert second.status == "done"


class StrangeLlm(ScriptedLlm):
    def __init__(self, strange: object) -> None:
        super().__init__([ANSWER])
        self._strange = strange

    @asynccontextmanager
    async def reply(self, messages: Any, tools: Any = ()) -> AsyncIterator[Any]:
        async with super().reply(messages, tools) as parts:
            yield self._odd(parts)

    async def _odd(self, parts: AsyncIterator[Any]) -> AsyncIterator[Any]:
        yield Text("Well. ")
        if self.calls == 1:
            yield self._strange
        async for part in parts:
            yield part


@pytest.mark.parametrize("strange", [None, "text", Text(None), ["Well"], 3.5])  # type: ignore[arg-type]
def test_an_llm_that_answers_with_nonsense_fails_the_turn(strange: object) -> None:
    outcome = run(scenario(llm=StrangeLlm(strange)))
    first, second = first_and_second(outcome)
    assert (first.status, first.stage) == ("failed", "llm")
    assert "answered with what cannot be used" in (first.reason or "")
    assert second.status == "done"


class StrangeTts(ScriptedTts):
    def __init__(self, strange: object) -> None:
        super().__init__()
        self._strange = strange

    @asynccontextmanager
    async def speak(self, text: str) -> AsyncIterator[Any]:
        async with super().speak(text) as pieces:
            yield self._odd(pieces)

    async def _odd(self, pieces: AsyncIterator[Any]) -> AsyncIterator[Any]:
        yield await anext(pieces)
        if self.calls == 1:
            yield self._strange
        async for piece in pieces:
            yield piece


@pytest.mark.parametrize(
    "strange",
    [None, b"\0\0", Speech(np.zeros(9)), Speech(np.zeros((9, 2), np.int16)), Speech([1, 2])],  # type: ignore[arg-type]
)
def test_a_tts_that_answers_with_nonsense_fails_the_turn(strange: object) -> None:
    outcome = run(scenario(tts=StrangeTts(strange)))
    first, second = first_and_second(outcome)
    assert (first.status, first.stage) == ("failed", "tts")
    assert second.status == "done"


# --- tools -----------------------------------------------------------------------------------------------------------


def faulty_clock(fault: str) -> Tool:
    async def clock() -> str:
        match fault:
            case "raises":
                raise RuntimeError("out of order")
            case "hangs":
                await asyncio.get_running_loop().create_future()
            case "is slow":
                await asyncio.sleep(0.8)
            case "garbage":
                return "\x1b[2J\u202e"
        return "ten"

    return tool(clock)


@pytest.mark.parametrize(
    ("fault", "status"), [("raises", "done"), ("hangs", "failed"), ("is slow", "done"), ("garbage", "done")]
)
def test_a_fault_of_a_tool_does_not_end_the_session(fault: str, status: str) -> None:
    llm = answer([CLOCK], "It is ten.")
    outcome = run(scenario(llm=llm, tools=(faulty_clock(fault),)))
    first, _ = first_and_second(outcome)
    assert first.status == status
    assert first.stage == ("tools" if status == "failed" else None)


# --- detectors: see test_listening.py; here that turns go on ----------------------------------------------------------


class FaultyVad:
    window = 320

    def __init__(self, answer: Callable[[], float]) -> None:
        self._answer = answer

    def __call__(self, samples: Samples) -> float:
        return self._answer()

    def reset(self) -> None:
        pass


class FaultyTurn(TurnDetector):
    def __init__(self, answer: Callable[[], float]) -> None:
        self._answer = answer

    def wait_ms(self, utterance: object, settings: object) -> float:
        return self._answer()

    def paused(self, ms: float, *, went_on: bool) -> None:
        self._answer()


def out_of_order() -> float:
    raise RuntimeError("out of order")


@pytest.mark.parametrize("answer", [out_of_order, lambda: float("nan"), lambda: None])
@pytest.mark.parametrize("stage", ["vad", "turn"])
def test_a_fault_of_a_detector_does_not_end_the_session(stage: str, answer: Callable[[], float]) -> None:
    detector = FaultyVad(answer) if stage == "vad" else FaultyTurn(answer)
    outcome = run(scenario(**{stage: detector}))
    assert [turn[0] for turn in outcome.turns] == ["done", "done"]
    (notice,) = outcome.all(Notice)
    assert notice.owner == stage


# --- the source ------------------------------------------------------------------------------------------------------


class FaultySource(ArraySource):
    """Does something else after a second and a half: in the middle of the turn."""

    def __init__(self, score: Score, fault: str, error: Exception | None = None) -> None:
        super().__init__(score)
        self._fault = fault
        self._error = error

    async def frames(self) -> AsyncIterator[Frame]:
        async for frame in super().frames():
            if frame.position >= 24_000:
                if self._error:
                    raise self._error
                match self._fault:
                    case "hangs":
                        await asyncio.sleep(8)
                        return
                    case "ends early":
                        return
                    case "is slow":
                        await asyncio.sleep(0.05)
                    case "floats":
                        frame = Frame((frame.samples / 32768.0), frame.rate, frame.position)  # type: ignore[arg-type]
                    case "stereo":
                        frame = Frame(np.stack((frame.samples, frame.samples)), frame.rate, frame.position)
                    case "positions":
                        frame = Frame(frame.samples, frame.rate, frame.position * 7 % 16_000)
            yield frame


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (StageError("pulled out", stage="source"), StageError, "pulled out"),
        (MissingError("no such device"), MissingError, "no such device"),
        (OSError("unplugged"), StageError, "array raised OSError: unplugged"),
    ],
)
def test_the_error_of_a_source_is_raised(error: Exception, kind: type[Exception], reason: str) -> None:
    with pytest.raises(kind) as raised:
        run(scenario(source=lambda score: FaultySource(score, "raises", error)))
    assert raised.value.args[0] == reason


@pytest.mark.parametrize("fault", ["floats", "stereo"])
def test_a_source_without_pcm16_is_named_in_the_error(fault: str) -> None:
    with pytest.raises(StageError, match="array gave no PCM16") as raised:
        run(scenario(source=lambda score: FaultySource(score, fault)))
    assert raised.value.stage == "source"


@pytest.mark.parametrize("fault", ["ends early", "hangs", "is slow", "positions"])
def test_every_turn_ends_whatever_the_source_does(fault: str) -> None:
    outcome = run(scenario(source=lambda score: FaultySource(score, fault)))
    assert {turn[0] for turn in outcome.turns} <= {"done", "cut"}
    assert outcome.turns or fault == "positions"


# --- the sink --------------------------------------------------------------------------------------------------------


class FaultySink(PacedSink):
    """Fails 200 ms after its first sound, or at the beginning."""

    def __init__(self, trace: Trace, fault: str, error: Exception | None = None, *, at: int = 4800) -> None:
        super().__init__(trace, name="speaker")
        self._fault, self._error, self._at = fault, error, at
        self._sounded = 0

    async def play(self, pull: Pull) -> None:
        def counted(count: int) -> Samples:
            samples = pull(count)
            self._sounded += count * bool(samples.any())
            return samples

        async def fail() -> None:
            while self._sounded < self._at:  # noqa: ASYNC110  # the clock is virtual
                await asyncio.sleep(0.01)
            if self._error:
                raise self._error

        async with asyncio.TaskGroup() as tasks:
            playing = tasks.create_task(super().play(counted))
            await fail()
            playing.cancel()
            if self._fault == "hangs":
                await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("at", [0, 4800])
@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        ("raises", StageError("pulled out", "plug it in"), "pulled out"),
        ("raises", MissingError("no such device"), "no such device"),
        ("raises", OSError("unplugged"), "speaker raised OSError: unplugged"),
        ("ends early", None, "speaker stopped playing"),
        ("hangs", None, "speaker took no sound for 8 s"),
    ],
)
def test_a_sink_that_fails_is_replaced_and_the_reply_goes_on(
    fault: str, error: Exception | None, reason: str, at: int
) -> None:
    outcome = run(scenario(sink=lambda trace: FaultySink(trace, fault, error, at=at)))
    lost = outcome.one(DeviceLost)
    assert (lost.track, lost.name, lost.reason) == ("agent", "speaker", reason)
    assert [event.name for event in outcome.all(DeviceOpened)] == ["speaker", "none"]
    assert [turn[0] for turn in outcome.turns] == ["done", "done"]
    first, second = first_and_second(outcome)
    assert first.agent_text == second.agent_text == ANSWER
    ends = [event.end_sample for event in outcome.all(ReplyEnded)]
    starts = [event.at_sample for event in outcome.all(ReplyPlaying)]
    length = (len(ANSWER)) * 1440
    assert [end - start for start, end in zip(starts, ends, strict=True) if end] == [length, length]
    late_ms = 16_000 if fault == "hangs" else 100
    decided = two_questions().spoken[1].end / 16 + 360
    playing = outcome.all(ReplyPlaying)[1]
    assert outcome.at(playing) == pytest.approx(decided, abs=25)
    assert playing.at_sample / 24 <= decided + late_ms


def test_positions_of_the_fallback_sink_go_on_where_the_lost_one_was() -> None:
    outcome = run(scenario(sink=lambda trace: FaultySink(trace, "ends early")))
    first, fallback = (event for event in outcome.all(ClockMapped) if event.track == "agent")
    assert (first.sample, first.at_ms) == (0, 0)
    assert fallback.sample / 24 == pytest.approx(fallback.at_ms, abs=30)


def test_a_fallback_sink_that_fails_too_ends_the_session() -> None:
    def lost(trace: Trace, start: int = 0) -> Sink:
        return FaultySink(trace, "raises", OSError(f"unplugged from {start}"), at=0)

    with pytest.raises(StageError, match="unplugged from 0"):
        run(scenario(sink=lost, fallback_sink=lost))
