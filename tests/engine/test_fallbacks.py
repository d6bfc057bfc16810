"""Chains of providers: the next one takes over within the turn, nothing is said twice, and the first comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.support.scenario import Outcome, Scenario, run
from tests.engine.support.tools import CLOCK, Tools
from workbench.engine.continuation import ModelAnswer
from workbench.engine.settings import EngineSettings
from workbench.model.conversation import Message
from workbench.model.errors import RefusedError, StageError
from workbench.model.events import (
    BreakerChanged,
    FallbackStarted,
    ProviderRetried,
    ReplyText,
    Span,
    TurnEnded,
)
from workbench.simulation.scripted import (
    Fault,
    Hangs,
    Raises,
    ScriptedLlm,
    ScriptedStt,
    ScriptedTts,
    Slow,
)
from workbench.simulation.synthesis import Score

ANSWER = "This is the first sentence. And this is the second one. Then there is a third."
GONE = StageError("gone")


def limits(**values: float) -> EngineSettings:
    return EngineSettings.model_validate({"limits": values})


def spoken(seconds: float = 14) -> Score:
    return Score().silence(0.5).say("what time is it").silence(seconds)


def talk(score: Score | None = None, **stages: Any) -> Outcome:
    score = score or spoken()
    made: dict[str, Any] = {
        "stt": ScriptedStt(score),
        "llm": ScriptedLlm([ANSWER]),
        "settings": limits(hedge_ms=0),
    }
    return run(Scenario(score, **(made | {"speculate": False} | stages)))


def llm(*faults: Fault | None, **more: Any) -> dict[str, ScriptedLlm]:
    return {
        f"llm{number}": ScriptedLlm([ANSWER], faults=fault, name="model", **more)
        for number, fault in enumerate(faults, 1)
    }


def tts(*faults: Any, **more: Any) -> dict[str, ScriptedTts]:
    return {
        f"tts{number}": ScriptedTts(faults=fault, name="voice", **more)
        for number, fault in enumerate(faults, 1)
    }


def who(outcome: Outcome, part: str) -> list[str]:
    return [span.provider for span in outcome.all(Span) if span.part == part]


# --- the next one takes over -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [Raises(RuntimeError("out of order")), Raises(RefusedError("no")), Raises(GONE)]
)
@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
def test_the_next_provider_answers_within_the_turn_and_at_once(stage: str, fault: Fault) -> None:
    score = spoken()
    chains: dict[str, Any] = {
        "stt": {"stt1": ScriptedStt(score, faults=fault), "stt2": ScriptedStt(score)},
        "llm": llm(fault, None),
        "tts": tts(fault, None),
    }
    healthy = talk()
    outcome = talk(**{stage: chains[stage]})
    assert outcome.turns == [("done", "what time is it", ANSWER)]
    assert outcome.at(outcome.one(TurnEnded)) == pytest.approx(healthy.at(healthy.one(TurnEnded)), abs=5)
    started = outcome.all(FallbackStarted)
    assert {(event.stage, event.provider, event.fallback) for event in started} == {
        (stage, f"{stage}1", f"{stage}2")
    }
    part = {"stt": "stt", "llm": "llm_first_token", "tts": "tts_first_byte"}[stage]
    assert who(outcome, part) == [f"{stage}2"]
    assert not outcome.all(ProviderRetried)


def test_who_is_silent_is_replaced_at_its_deadline() -> None:
    outcome = talk(llm=llm(Hangs(), None), settings=limits(hedge_ms=0, llm_first_token_ms=700))
    assert outcome.turns == [("done", "what time is it", ANSWER)]
    (event,) = outcome.all(FallbackStarted)
    assert event.reason == "llm1 did not answer within 700 ms"


def test_where_all_fail_they_are_tried_again_and_then_there_is_one_error() -> None:
    chain = llm(Raises(StageError("one", "look at one")), Raises(StageError("two")))
    outcome = talk(llm=chain, settings=limits(retries=1, backoff_ms=100))
    (ended,) = outcome.all(TurnEnded)
    assert (ended.status, ended.stage) == ("failed", "llm")
    assert (ended.reason, ended.hint) == ("llm1: one; llm2: two", "look at one")
    assert [each.calls for each in chain.values()] == [2, 2]


def test_the_first_is_probed_again_and_comes_back() -> None:
    score = spoken(6)
    for _ in range(4):
        score.say("and now").silence(6)
    chain = llm(dict.fromkeys((1, 2), Raises(GONE)), None)  # type: ignore[arg-type]
    outcome = talk(score, llm=chain, settings=limits(hedge_ms=0, breaker_failures=1, breaker_ms=9000))
    assert [turn[0] for turn in outcome.turns] == ["done"] * 5
    assert who(outcome, "llm_first_token") == ["llm2", "llm2", "llm2", "llm2", "llm1"]
    states = [event.state for event in outcome.all(BreakerChanged)]
    assert states == ["open", "half_open", "open", "half_open", "closed"]
    refused = [event.reason for event in outcome.all(FallbackStarted) if "is not asked" in event.reason]
    assert len(refused) == 2


# --- hedges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
def test_a_slow_one_is_overtaken(stage: str) -> None:
    score = spoken()
    chains: dict[str, Any] = {
        "stt": {"stt1": ScriptedStt(score, faults=Slow(5000)), "stt2": ScriptedStt(score)},
        "llm": llm(Slow(5000), None),
        "tts": tts(Slow(5000), None),
    }
    outcome = talk(**{stage: chains[stage]}, settings=limits(hedge_ms=400))
    assert outcome.turns == [("done", "what time is it", ANSWER)]
    first = outcome.all(FallbackStarted)[0]
    assert first.reason == f"{stage}1 did not answer within 400 ms"
    assert [each.active for each in chains[stage].values()] == [0, 0]


def test_a_slow_one_that_still_answers_first_is_taken() -> None:
    outcome = talk(llm=llm(Slow(600), Slow(900)), settings=limits(hedge_ms=400))
    assert outcome.turns == [("done", "what time is it", ANSWER)]
    assert who(outcome, "llm_first_token") == ["llm1"]
    assert not outcome.all(BreakerChanged)


def test_calls_of_both_are_cancelled_by_an_interruption() -> None:
    score = Score().silence(0.5).say("what time is it").silence(1.0).say("no wait stop it please").silence(8)
    chain = llm({1: Hangs()}, {1: Hangs()})  # type: ignore[arg-type]
    outcome = talk(score, llm=chain, settings=limits(hedge_ms=300))
    assert outcome.turns[-1][0] == "done"
    assert [each.active for each in chain.values()] == [0, 0]


# --- a model that breaks off -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hedge_ms", [0, 500])
@pytest.mark.parametrize("after", range(1, 16))
@pytest.mark.parametrize("fault", [Raises, Hangs])
def test_a_model_that_breaks_off_is_gone_on_with(fault: Any, after: int, hedge_ms: float) -> None:
    broken = fault(GONE, after=after) if fault is Raises else fault(after=after)
    chain = llm(broken, None, token_ms=60)
    outcome = talk(llm=chain, settings=limits(hedge_ms=hedge_ms, llm_gap_ms=400))
    assert outcome.turns == [("done", "what time is it", ANSWER)]
    assert "".join(event.text for event in outcome.all(ReplyText)) == ANSWER
    assert set(who(outcome, "llm_first_token")) == {"llm1", "llm2"}
    said = chain["llm2"].prompts[0][-2:]
    if after > 5:  # a sentence was on its way
        assert said[0] == Message("assistant", "This is the first sentence.") or "second" in said[0].text


def test_a_tool_runs_once_whoever_asks_for_it() -> None:
    def choose(messages: Sequence[Message]) -> Any:
        return "It is ten." if messages[-1].role == "tool" else ["Let me look at the clock. ", CLOCK]

    tools = Tools()
    chain = {
        "llm1": ScriptedLlm(choose, faults={1: Raises(GONE, after=7), 2: Raises(GONE)}),
        "llm2": ScriptedLlm(choose, first_token_ms=50),
    }
    outcome = talk(llm=chain, tools=tools.all)
    assert outcome.turns == [("done", "what time is it", "Let me look at the clock. It is ten.")]
    assert [name for _, name in tools.ran] == ["clock"]


@given(st.text(alphabet="ab. ", max_size=12), st.text(alphabet="ab. ", max_size=24), st.data())
def test_what_was_said_is_not_said_again(said: str, more: str, data: Any) -> None:
    for text in (more, said.strip() + more):
        answer, out = ModelAnswer(said), ""
        rest = text
        while rest:
            cut = data.draw(st.integers(1, len(rest)))
            out += answer.add(rest[:cut])
            rest = rest[cut:]
        assert out == answer.text
        again = text.lstrip().startswith(said.strip())
        wanted = text.lstrip().removeprefix(said.strip()) if again and said.strip() else text
        if said.strip() and said.strip().startswith(text.lstrip()):
            wanted = ""
        assert out == (wanted.lstrip() if said[-1:].isspace() else wanted)
