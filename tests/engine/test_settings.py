"""Every threshold can change while a session runs, and takes effect from then on.

Each session has two halves in which the user does the same; between them one setting changes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from tests.engine.support.scenario import Outcome, Scenario, run
from tests.engine.support.tools import CLOCK, Tools, answer
from tests.engine.support.vad import Doubting
from workbench.engine.endpointing import CombinedTurn
from workbench.engine.interfaces import Progress
from workbench.engine.pipeline import Pipeline
from workbench.engine.settings import EngineSettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import Samples
from workbench.model.events import (
    BargeInJudged,
    BreakerChanged,
    DuplexChanged,
    ProviderRetried,
    ReplyEnded,
    ReplyPaused,
    ReplyPlaying,
    ReplyProgress,
    ReplyStarted,
    ReplyText,
    SpeechResumed,
    SpeechStarted,
    ToolCalled,
    ToolReturned,
    Transcribed,
    TurnDecided,
    TurnEnded,
    UtteranceDismissed,
)
from workbench.simulation.scripted import Hangs, Raises, ScriptedLlm, ScriptedStt, ScriptedTts
from workbench.simulation.synthesis import Score
from workbench.tools.tool import tool

HALF_S = 20.0
LONG = "This is a rather long answer, so that there is time to say something into it before it is over. "

Scene = Callable[[Score], object]
Events = list[tuple[float, Any]]
"""With their time in the half, ms."""
Measure = Callable[[Events], object]


def halves(
    name: str,
    value: object,
    scene: Scene,
    measure: Measure,
    **more: Any,
) -> tuple[object, object]:
    """What `measure` finds before and after the setting changed."""
    first, second, _ = session(name, value, scene, **more)
    return measure(first), measure(second)


def session(
    name: str, value: object, scene: Scene, *, initial: dict[str, Any] | None = None, **more: Any
) -> tuple[Events, Events, Outcome]:
    """The events of both halves; `initial` settings hold from the start."""
    score = Score()
    for half in range(2):
        score.silence(half * HALF_S - score.seconds)
        scene(score)
    score.silence(2 * HALF_S - score.seconds)
    settings = EngineSettings()
    for other, setting in (initial or {}).items():
        change(settings, other, setting)
    made: dict[str, Any] = {
        name: part(score) if isinstance(part, Listener) else part for name, part in more.items()
    }
    made.setdefault("stt", ScriptedStt(score))

    def changed(pipeline: Pipeline) -> None:
        change(pipeline.settings, name, value)

    outcome = run(Scenario(score, settings=settings, verbs=[(HALF_S - 0.01, changed)], **made))
    times = [*zip(outcome.times, outcome.events, strict=True)]
    first = [(at, event) for at, event in times if at < HALF_S * 1000]
    second = [(at - HALF_S * 1000, event) for at, event in times if at >= HALF_S * 1000]
    return first, second, outcome


def change(settings: EngineSettings, name: str, value: object) -> None:
    group, _, field = name.partition(".")
    setattr(getattr(settings, group), field, value)


class Listener:
    """An STT that is made when the score is known."""

    def __init__(self, **options: Any) -> None:
        self._options = options

    def __call__(self, score: Score) -> ScriptedStt:
        return ScriptedStt(score, **self._options)


def count(kind: type) -> Measure:
    return lambda events: sum(isinstance(event, kind) for _, event in events)


def each(kind: type, field: str) -> Measure:
    return lambda events: [getattr(event, field) for _, event in events if isinstance(event, kind)]


def first_at(kind: type) -> Measure:
    return lambda events: next(at for at, event in events if isinstance(event, kind))


# --- scenes ----------------------------------------------------------------------------------------------------------


def question(score: Score) -> None:
    score.silence(0.5).say("what time is it")


def pausing(ms: int) -> Scene:
    return lambda score: score.silence(0.5).say("what time is it").silence(ms / 1000).say("in Berlin")


def into(noise: Scene, times: int = 1, gap: float = 1.5) -> Scene:
    """Noises into the answer to a question."""

    def scene(score: Score) -> None:
        question(score)
        score.silence(1.5)
        for _ in range(times):
            noise(score)
            score.silence(gap)

    return scene


def cough(score: Score) -> None:
    score.cough()


def babble(score: Score) -> None:
    score.babble(2, db=-28)


def stop(score: Score) -> None:
    score.say("please stop")


class Unsure:
    """70 % sure of what is loud, 45 % of what is not quite silent."""

    window = 320

    def __call__(self, samples: Samples) -> float:
        level = int(np.abs(samples.astype(int)).max())
        return 0.7 if level > 1500 else 0.45 if level > 100 else 0.0

    def reset(self) -> None:
        """Nothing is remembered."""


def long_answer() -> ScriptedLlm:
    return ScriptedLlm([LONG])


# --- vad and turn ----------------------------------------------------------------------------------------------------


def test_vad_threshold() -> None:
    assert halves("vad.threshold", 0.8, question, count(SpeechStarted), vad=Unsure()) == (1, 0)


def test_vad_release() -> None:
    def dying_away(score: Score) -> None:
        score.silence(0.5).say("what time is it").say("now", db=-48, seconds=1)

    before, after = halves("vad.release", 0.0, dying_away, first_at(TurnDecided), vad=Unsure())
    assert before - after > 500  # type: ignore[operator]


def test_vad_preroll_ms() -> None:
    before, after = halves("vad.preroll_ms", 0.0, question, each(TurnEnded, "usage"))
    lost_s = before[0]["stt_seconds"] - after[0]["stt_seconds"]  # type: ignore[index]
    assert lost_s == pytest.approx(0.3)


def test_vad_min_speech_ms() -> None:
    def short(score: Score) -> None:
        score.silence(0.5).say("no", seconds=0.5)

    assert halves("vad.min_speech_ms", 600.0, short, count(UtteranceDismissed)) == (0, 1)


def test_vad_pause_ms() -> None:
    assert halves("vad.pause_ms", 240.0, pausing(180), count(SpeechResumed)) == (1, 0)


def test_turn_silence_ms() -> None:
    found = halves("turn.silence_ms", 800.0, pausing(500), count(TurnDecided), initial={"turn.adapt": False})
    assert found == (2, 1)


def test_turn_adapt() -> None:
    def hesitant(score: Score) -> None:
        score.silence(0.2)
        for _ in range(8):
            score.say("one two").silence(0.6)

    llm = ScriptedLlm(["Yes."], first_token_ms=600)
    learned, fixed = halves("turn.adapt", False, hesitant, count(TurnDecided), llm=llm)
    assert (learned, fixed) == (3, 8)


def test_turn_min_silence_ms() -> None:
    found = halves("turn.min_silence_ms", 1000.0, pausing(240), each(TurnDecided, "waited_ms"))
    assert found[0][0] < 500 < 1000 <= found[1][0]  # type: ignore[index]


def test_turn_max_silence_ms() -> None:
    found = halves(
        "turn.max_silence_ms",
        120.0,
        pausing(300),
        each(TurnDecided, "waited_ms"),
        initial={"turn.min_silence_ms": 50},
    )
    assert found[0][-1] > 300 > 160 >= found[1][-1]  # type: ignore[index]


def waited(
    name: str, value: object, text: str, probability: float | None = None, *, delay_ms: float = 0.0
) -> list[float]:
    """How long a turn waits for its end before and after the setting changed, ms."""

    class Sure(CombinedTurn):
        assesses = True

        async def assess(self, utterance: Utterance) -> float | None:
            return probability

    def scene(score: Score) -> None:
        score.silence(0.5).say(text)

    decided = each(TurnDecided, "waited_ms")
    found = halves(name, value, scene, decided, turn=Sure(), stt=Listener(partials=True, delay_ms=delay_ms))
    return [round(half[0], -2) for half in found]  # type: ignore[index]


def test_turn_hold_ms() -> None:
    def scene(score: Score) -> None:
        score.silence(0.5).say("tell me")

    first, second = halves("turn.hold_ms", 900.0, scene, first_at(ReplyPlaying), turn=CombinedTurn())
    assert second - first == pytest.approx(480, abs=40)  # type: ignore[operator]


def test_turn_complete_ms() -> None:
    assert waited("turn.complete_ms", 100.0, "what time is it?") == [200, 100]


def test_turn_unfinished_ms() -> None:
    assert waited("turn.unfinished_ms", 1500.0, "I'd like to") == [3000, 1500]


def test_turn_complete_probability() -> None:
    assert waited("turn.complete_probability", 0.95, "tell me", 0.9, delay_ms=800.0) == [300, 400]


def test_turn_unfinished_probability() -> None:
    assert waited("turn.unfinished_probability", 0.05, "tell me a joke", 0.1) == [1400, 300]


def test_turn_max_utterance_s() -> None:
    def long(score: Score) -> None:
        score.silence(0.5).say("one two three four", seconds=3)

    assert halves("turn.max_utterance_s", 2.0, long, count(Transcribed)) == (2, 3)
    assert halves("turn.max_utterance_s", 2.0, long, count(SpeechStarted)) == (1, 1)


# --- barge-in --------------------------------------------------------------------------------------------------------


def test_bargein_mode() -> None:
    assert halves("bargein.mode", "half", into(cough), count(ReplyPaused), llm=long_answer()) == (1, 0)


def test_bargein_fade_ms() -> None:
    *events, outcome = session("bargein.fade_ms", 20.0, into(cough), llm=long_answer())
    for half, fade_ms in zip(events, (15, 20), strict=True):
        (paused,) = (event for _, event in half if isinstance(event, ReplyPaused))
        faded = outcome.agent[paused.at_sample : paused.at_sample + 2400]
        assert fade_ms - 1 <= np.flatnonzero(faded)[-1] / 24 <= fade_ms


def test_bargein_verdict_ms() -> None:
    found = halves(
        "bargein.verdict_ms", 200.0, into(babble), each(BargeInJudged, "after_ms"), llm=long_answer(),
        stt=Listener(partials=True), vad=Doubting(),
    )  # fmt: skip
    assert found == ([580], [180])


def test_bargein_longest_pause_ms() -> None:
    """Babble that the VAD takes for speech."""
    found = halves(
        "bargein.longest_pause_ms", 800.0, into(babble), each(BargeInJudged, "reason"), llm=long_answer(),
        stt=Listener(partials=True),
    )  # fmt: skip
    assert "no words within 800 ms" not in str(found[0])
    assert "no words within 800 ms" in str(found[1])


def test_bargein_min_speech_ms() -> None:
    found = halves(
        "bargein.min_speech_ms", 100.0, into(cough), each(BargeInJudged, "verdict"), llm=long_answer()
    )
    assert found == (["false"], ["interruption"])


def said_into(name: str, value: object, **more: Any) -> tuple[object, object]:
    statuses = each(ReplyEnded, "status")
    return halves(name, value, into(stop), statuses, llm=ScriptedLlm([LONG, "Yes.", LONG, "Yes."]), **more)


def test_bargein_min_words() -> None:
    found = said_into("bargein.min_words", 3, stt=Listener(partials=True))
    assert found == (["cut", "done"], ["done"])


def test_bargein_backchannels() -> None:
    found = said_into("bargein.backchannels", "please, stop, now", stt=Listener(partials=True))
    assert found == (["cut", "done"], ["done"])


def test_bargein_min_confidence() -> None:
    found = said_into("bargein.min_confidence", 0.9, stt=Listener(partials=True, confidence=0.5))
    assert found == (["cut", "done"], ["done"])


def test_bargein_echo_share() -> None:
    """(Words that the agent does not say would outweigh it.)"""
    stt = Listener(partials=False, confidence=0.1)
    found = said_into("bargein.echo_share", 0.3, stt=stt, echo_of=lambda start, stop: 0.4)
    assert found == (["cut", "done"], ["done"])


def test_bargein_raise_threshold() -> None:
    found = halves(
        "bargein.raise_threshold", 0.5, into(cough, 2, 1.0), count(ReplyPaused), llm=long_answer(), vad=Unsure(),
        initial={"bargein.raise_threshold": 0.1, "bargein.false_limit": 9},
    )  # fmt: skip
    assert found == (2, 1)


def test_bargein_raise_ms() -> None:
    found = halves(
        "bargein.raise_ms", 0.0, into(cough, 2, 1.0), count(ReplyPaused), llm=long_answer(), vad=Unsure(),
        initial={"bargein.false_limit": 9, "bargein.raise_threshold": 0.3},
    )  # fmt: skip
    assert found == (1, 2)


def test_bargein_false_limit() -> None:
    found = halves("bargein.false_limit", 1, into(cough), count(DuplexChanged), llm=long_answer())
    assert found == (0, 1)


def test_bargein_false_window_ms() -> None:
    found = halves(
        "bargein.false_window_ms", 5000.0, into(cough, 2, 2.5), count(DuplexChanged), llm=long_answer(),
        initial={"bargein.false_window_ms": 1000},
    )  # fmt: skip
    assert found == (0, 1)


# --- replies ---------------------------------------------------------------------------------------------------------


def test_reply_speculate() -> None:
    assert halves("reply.speculate", "off", question, each(ReplyStarted, "speculative")) == ([True], [False])


def test_reply_spare_tokens() -> None:
    assert halves("reply.spare_tokens", 0, question, each(ReplyStarted, "speculative")) == ([True], [False])


def test_reply_buffer_s() -> None:
    def gaps(events: Events) -> float:
        texts = [at for at, event in events if isinstance(event, ReplyText)]
        return max(after - before for before, after in pairwise(texts))

    llm = ScriptedLlm(["This is a sentence. " * 5])
    before, after = halves("reply.buffer_s", 30.0, question, gaps, llm=llm)
    assert before > 500 > 1 > after  # type: ignore[operator]


def texts_of(name: str, value: object, text: str) -> tuple[object, object]:
    return halves(name, value, question, each(ReplyText, "text"), llm=ScriptedLlm([text]))


def test_reply_first_chunk_chars() -> None:
    found = texts_of("reply.first_chunk_chars", 3, "Well, yes. And no.")
    assert found == (["Well, yes. And no."], ["Well, ", "yes. ", "And no."])


def test_reply_chunk_chars() -> None:
    before, after = texts_of("reply.chunk_chars", 20, "Good morning. " + "some words without an end " * 5)
    assert len(before) == 2  # type: ignore[arg-type]
    assert len(after) > 4  # type: ignore[arg-type]


def test_reply_history() -> None:
    llm = ScriptedLlm(["Yes."])
    halves("reply.history", 0, question, count(TurnEnded), llm=llm)
    assert [len(prompt) for prompt in llm.prompts] == [1, 1]


def test_reply_show_thinking() -> None:
    llm = ScriptedLlm([[Progress("thinking", "They ask."), "Yes."]])
    found = halves("reply.show_thinking", True, question, each(ReplyProgress, "text"), llm=llm)
    assert found == ([""], ["They ask."])


def test_reply_max_tool_steps() -> None:
    found = halves(
        "reply.max_tool_steps", 0, question, count(ToolCalled), llm=answer(["Hm. ", CLOCK]), tools=Tools().all,
        initial={"reply.max_tool_steps": 1},
    )  # fmt: skip
    assert found == (1, 0)


def test_reply_silence_after_s() -> None:
    def of_itself(events: Events) -> float:
        return next(at for at, event in events if isinstance(event, ReplyStarted) and event.utterance is None)

    before, after = halves(
        "reply.silence_after_s", 3.0, question, of_itself, on_silence="Are you still there?"
    )
    assert before - after == 5000  # type: ignore[operator]


# --- limits ----------------------------------------------------------------------------------------------------------


def failing_at(name: str, **more: Any) -> tuple[float, float]:
    """When the turn had failed, with a deadline of 2 s and then of 0.5 s."""

    def failed(events: Events) -> float:
        decided = next((at for at, event in events if isinstance(event, TurnDecided)), 0.0)
        (at,) = (at for at, event in events if isinstance(event, TurnEnded))
        return at if name == "limits.stt_ms" else at - decided

    settings = {name: 2000.0, "limits.retries": 0, "reply.speculate": "off"}
    before, after = halves(name, 500.0, question, failed, initial=settings, **more)
    return before, after  # type: ignore[return-value]


ALWAYS = Hangs()
MIDWAY = Hangs(after=1)


def test_limits_stt_ms() -> None:
    before, after = failing_at("limits.stt_ms", stt=ScriptedStt(["a"], faults=ALWAYS))
    assert before - after == 1500


def test_limits_llm_first_token_ms() -> None:
    assert failing_at("limits.llm_first_token_ms", llm=ScriptedLlm(["a"], faults=ALWAYS)) == (2000, 500)


def test_limits_llm_gap_ms() -> None:
    assert failing_at("limits.llm_gap_ms", llm=ScriptedLlm(["a b"], faults=MIDWAY)) == (2000, 500)


def test_limits_tts_first_byte_ms() -> None:
    assert failing_at("limits.tts_first_byte_ms", tts=ScriptedTts(faults=ALWAYS)) == (2000, 500)


def test_limits_tts_gap_ms() -> None:
    assert failing_at("limits.tts_gap_ms", tts=ScriptedTts(faults=MIDWAY)) == (2000, 500)


def test_limits_hedge_ms() -> None:
    llms = {"silent": ScriptedLlm(["a"], faults=ALWAYS), "prompt": ScriptedLlm(["b"])}
    assert failing_at("limits.hedge_ms", llm=llms, tts=None) == (2000, 500)


def test_limits_tool_ms() -> None:
    found = failing_at("limits.tool_ms", llm=answer([CLOCK], "Ten."), tools=Tools(clock=99).all)
    assert found == (2000, 500)


def test_limits_tool_result_chars() -> None:
    long = tool(name="clock")(lambda: "x" * 500)
    llm = ScriptedLlm(lambda messages: "Ten." if messages[-1].role == "tool" else [CLOCK])
    found = halves(
        "limits.tool_result_chars", 100, question, each(ToolReturned, "shown"), llm=llm, tools=(long,),
        initial={"limits.tool_result_chars": 400},
    )  # fmt: skip
    assert found == ([400], [100])


def retried(name: str, value: object, measure: Measure, **settings: Any) -> tuple[object, object]:
    llm = ScriptedLlm(["a"], faults=Raises())
    return halves(
        name, value, question, measure, llm=llm, speculate=False,
        initial={"limits.breaker_failures": 99, **{f"limits.{name}": item for name, item in settings.items()}},
    )  # fmt: skip


def test_limits_retries() -> None:
    assert retried("limits.retries", 0, count(ProviderRetried)) == (2, 0)


def test_limits_backoff_ms() -> None:
    waits = each(ProviderRetried, "wait_ms")
    assert retried("limits.backoff_ms", 10.0, waits) == ([250, 500], [10, 20])


def test_limits_max_backoff_ms() -> None:
    waits = each(ProviderRetried, "wait_ms")
    assert retried("limits.max_backoff_ms", 300.0, waits) == ([250, 500], [250, 300])


def test_limits_breaker_failures() -> None:
    states = each(BreakerChanged, "state")
    assert retried("limits.breaker_failures", 5, states) == ([], ["open"])


def test_limits_breaker_ms() -> None:
    waits = each(BreakerChanged, "wait_ms")
    found = retried("limits.breaker_ms", 100.0, waits, breaker_failures=3, retries=2)
    assert found == ([15_000], [0, 100])


GROUPS = {name: field.annotation for name, field in EngineSettings.model_fields.items()}
ELSEWHERE = {
    "limits_warm_ms",
    "limits_load_ms",
    "limits_hook_ms",
    "limits_observer_ms",
    "bargein_min_erle_db",
}
"""What the session and its plugins read."""


def test_every_setting_of_the_engine_has_a_test_here() -> None:
    names = {
        f"{group}_{name}"
        for group, kind in GROUPS.items()
        if isinstance(kind, type) and issubclass(kind, BaseModel)
        for name in kind.model_fields
    }
    assert {f"test_{name}" for name in names - ELSEWHERE} <= set(globals())
