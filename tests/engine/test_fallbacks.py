"""Chains of providers: the next one takes over within the turn, nothing is said twice, and the first comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.engine.support.scenario import Outcome, Scenario, run
from tests.engine.support.tools import CLOCK, Tools
from workbench.engine.continuation import ModelAnswer
from workbench.engine.settings import EngineSettings
from workbench.model.audio import OUTPUT_RATE, Samples
from workbench.model.conversation import Message
from workbench.model.errors import RefusedError, StageError
from workbench.model.events import (
    BreakerChanged,
    FallbackStarted,
    Notice,
    ProviderRetried,
    ReplyText,
    Span,
    TurnDecided,
    TurnEnded,
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


class Voice(ScriptedTts):
    """Notes what it was to say."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.texts: list[str] = []

    def sound(self, text: str) -> Samples:
        self.texts.append(text)
        return super().sound(text)


def tts(*faults: Any, **more: Any) -> dict[str, Voice]:
    return {
        f"tts{number}": Voice(faults=fault, name="voice", **more) for number, fault in enumerate(faults, 1)
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


# --- a voice that breaks off -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize("hedge_ms", [0, 700])
@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_voice_that_breaks_off_before_it_is_heard_is_begun_anew(
    after: int, hedge_ms: float, words: bool
) -> None:
    """Speech is made much faster than it is played: the second sentence is still in the buffer."""
    chain = tts({2: Raises(GONE, after=after)}, None, words=words)
    outcome = talk(
        tts=chain,
        settings=EngineSettings.model_validate({"limits": {"hedge_ms": hedge_ms}, "reply": {"buffer_s": 9}}),
    )
    assert outcome.turns == [("done", "what time is it", ANSWER)]
    assert spoken_seconds(outcome) == pytest.approx(spoken_seconds(talk()), abs=0.05)
    assert chain["tts2"].calls == 2, "the rest of the reply has one voice"


@pytest.mark.parametrize(("first", "second"), [(16_000, 24_000), (24_000, 8_000), (22_050, 48_000)])
def test_voices_may_have_different_rates(first: int, second: int) -> None:
    chain = {
        "tts1": ScriptedTts(rate=first, faults={2: Raises(GONE, after=1)}),
        "tts2": ScriptedTts(rate=second),
    }
    outcome = talk(tts=chain)
    assert outcome.turns == [("done", "what time is it", ANSWER)]
    assert spoken_seconds(outcome) == pytest.approx(spoken_seconds(talk()), abs=0.05)


def spoken_seconds(outcome: Outcome) -> float:
    spoken = outcome.all(TurnEnded)[0].usage["tts_seconds"]
    return np.count_nonzero(outcome.agent) / OUTPUT_RATE if spoken else 0.0


LONG = "Rain in Oslo, and sun in Rome, if there is any."


@pytest.mark.parametrize("after", [2, 5, 8, 11])
def test_a_voice_that_breaks_off_while_it_is_heard_goes_on_from_there(after: int) -> None:
    chain = tts({1: Raises(GONE, after=after)}, None, words=True, realtime_factor=0.9)
    settings = EngineSettings.model_validate({"reply": {"buffer_s": 0.2, "first_chunk_chars": 200}})
    outcome = talk(llm=ScriptedLlm([LONG]), tts=chain, settings=settings)
    assert outcome.turns == [("done", "what time is it", LONG)]
    said = [text for each in chain.values() for text in each.texts]
    assert said[0] == LONG
    assert LONG.endswith(said[1])
    assert len(said) == 2
    assert len(said[1]) < len(LONG)


@pytest.mark.parametrize("after", [2, 5, 8, 11])
def test_without_word_times_it_goes_on_with_a_clause_and_says_nothing_twice(after: int) -> None:
    chain = tts({1: Raises(GONE, after=after)}, None, words=False, realtime_factor=0.9)
    settings = EngineSettings.model_validate({"reply": {"buffer_s": 0.2, "first_chunk_chars": 200}})
    outcome = talk(llm=ScriptedLlm([LONG]), tts=chain, settings=settings)
    (turn,) = outcome.turns
    assert turn[0] == "done"
    words, heard = iter(LONG.split()), turn[2].split()
    assert all(word in words for word in heard), "what is left of the text, in its order"
    lost = [notice for notice in outcome.all(Notice) if "broke off in mid-sentence" in notice.reason]
    assert bool(lost) == (turn[2] != LONG)
    for text in chain["tts2"].texts:
        assert LONG.endswith(text)
        assert text.split()[0] in ("and", "if")


# --- nobody left -----------------------------------------------------------------------------------------------------


def test_without_any_voice_the_conversation_goes_on_by_text_until_it_is_back() -> None:
    score = spoken(6)
    for _ in range(3):
        score.say("and now").silence(6)
    down = dict.fromkeys(range(1, 8), Raises(GONE))
    chain = {"tts1": ScriptedTts(faults=down), "tts2": ScriptedTts(faults=down)}
    outcome = talk(score, tts=chain, settings=limits(retries=0, breaker_failures=2, breaker_ms=9000))
    assert [(turn[0], turn[2]) for turn in outcome.turns] == [
        ("failed", ANSWER),
        ("done", ANSWER),
        ("done", ANSWER),
        ("done", ANSWER),
    ]
    changes = [(event.stage, event.state) for event in outcome.all(VoiceChanged)]
    assert changes in ([("tts", "lost")], [("tts", "lost"), ("tts", "back")])
    assert outcome.all(VoiceChanged)[0].reason.startswith("tts1: gone; tts2: gone")


def test_without_any_stt_typing_works_and_the_session_says_so() -> None:
    score = spoken(3)
    chain = {"stt1": ScriptedStt(score, faults=Raises(GONE)), "stt2": ScriptedStt(score, faults=Hangs())}
    outcome = talk(
        score, stt=chain, settings=limits(retries=0, stt_ms=800), verbs=((3.5, lambda it: it.type("hello")),)
    )
    assert [(turn[0], turn[1]) for turn in outcome.turns] == [("failed", ""), ("done", "hello")]
    (event,) = outcome.all(VoiceChanged)
    assert (event.stage, event.state) == ("stt", "lost")


# --- any faults in any order -----------------------------------------------------------------------------------------

FAULTS: tuple[Fault | None, ...] = (
    None,
    Raises(GONE),
    Raises(RefusedError("wrong key")),
    Raises(GONE, after=1),
    Raises(GONE, after=4),
    Hangs(),
    Hangs(after=1),
    Hangs(after=5),
    Slow(900),
    EndsEarly(),
    Garbage(),
)
chains = st.lists(st.lists(st.sampled_from(FAULTS), max_size=6), min_size=1, max_size=3)


def faulty(faults: list[Fault | None]) -> dict[int, Fault]:
    return {number: fault for number, fault in enumerate(faults, 1) if fault is not None}


@examples(max_examples=60, deadline=None, derandomize=True)
@given(chains, chains, chains, st.sampled_from([0, 300, 2000]), st.sampled_from([1, 2, 5]), st.booleans())
def test_whatever_fails_every_turn_has_one_answer_or_one_error(
    stts: list[list[Fault | None]],
    llms: list[list[Fault | None]],
    ttss: list[list[Fault | None]],
    hedge_ms: float,
    failures: int,
    interrupts: bool,
) -> None:
    score = spoken(1.5 if interrupts else 30).say("no wait stop it please").silence(30)
    score.say("and now").silence(30)
    stages: dict[str, dict[str, Any]] = {
        "stt": {f"stt{n}": ScriptedStt(score, faults=faulty(each)) for n, each in enumerate(stts)},
        "llm": {
            f"llm{n}": ScriptedLlm([ANSWER], token_ms=20, faults=faulty(each)) for n, each in enumerate(llms)
        },
        "tts": {f"tts{n}": ScriptedTts(faults=faulty(each)) for n, each in enumerate(ttss)},
    }
    deadlines = dict.fromkeys(
        ("stt_ms", "llm_first_token_ms", "llm_gap_ms", "tts_first_byte_ms", "tts_gap_ms"), 1000.0
    )
    outcome = talk(
        score,
        **stages,
        settings=limits(
            hedge_ms=hedge_ms, breaker_failures=failures, breaker_ms=3000, retries=1, **deadlines
        ),
    )
    ended = outcome.all(TurnEnded)
    for turn in ended:
        if turn.status == "failed":
            assert turn.reason
            assert turn.stage in ("stt", "llm", "tts")
        elif turn.status == "done":
            assert turn.agent_text
    assert all(each.active == 0 for chain in stages.values() for each in chain.values()), "a call is left"
    longest_ms = 1000 * 2 * (len(stts) + len(llms) + 6 * len(ttss)) + 3 * hedge_ms + 20_000
    for turn in ended:
        decided = next(
            event for event in outcome.events if isinstance(event, TurnDecided) and event.turn == turn.turn
        )
        assert outcome.at(turn) - outcome.at(decided) <= longest_ms
    last = ended[-1]
    if max(map(len, (*stts, *llms, *ttss))) <= 1 and not interrupts:  # breakers and providers have recovered
        assert last.status == "done"
