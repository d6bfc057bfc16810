"""Conversations in which words and sound decide when the user has finished, under the virtual clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.support.scenario import Outcome, Scenario, run
from workbench.engine.endpointing import CombinedTurn
from workbench.engine.utterance import Utterance
from workbench.model.events import EndOfTurnEstimated, Notice, SpeechPaused, TurnDecided, TurnReopened
from workbench.simulation.scripted import ScriptedLlm, ScriptedStt
from workbench.simulation.synthesis import Score


def said(*parts: str | float) -> Score:
    """Phrases, with pauses between them, s."""
    score = Score(noise_db=-65.0).silence(0.5)
    for part in parts:
        score = score.silence(part) if isinstance(part, float) else score.say(part)
    return score.silence(6.0)


def talk(score: Score, turn: CombinedTurn | None = None, **stt: Any) -> Outcome:
    options = {"partials": True} | stt
    return run(
        Scenario(
            score,
            stt=ScriptedStt(score, **options),
            llm=ScriptedLlm(["What is your number?", "Thank you."]),
            turn=turn or CombinedTurn(),
        )
    )


def texts(outcome: Outcome) -> list[str]:
    return [text for _, text, _ in outcome.turns]


def waited_ms(outcome: Outcome) -> list[float]:
    return [event.waited_ms for event in outcome.all(TurnDecided)]


@pytest.mark.parametrize(
    "stt", [{}, {"delay_ms": 150.0}, {"delay_ms": 500.0}, {"partials": False, "delay_ms": 100.0}], ids=str
)
@pytest.mark.parametrize("pause_s", [0.5, 0.8, 1.5])
@pytest.mark.parametrize(
    "groups",
    [
        ("my number is five five five", "one two three", "four five six seven"),
        ("555", "123", "4567"),
        ("it is spelled S M", "I T H"),
        ("my e-mail is john at", "example dot", "com"),
        ("So, um,", "I would like a table and", "two chairs."),
    ],
)
def test_what_is_unfinished_is_one_turn(groups: tuple[str, ...], pause_s: float, stt: dict[str, Any]) -> None:
    parts: list[str | float] = []
    for group in groups:
        parts += [group, pause_s]
    outcome = talk(said(*parts[:-1]), **stt)
    assert texts(outcome) == [" ".join(groups)]
    assert [text for role, text in outcome.said if role == "user"] == [" ".join(groups)]


def test_a_number_that_was_asked_for_may_pause_without_words() -> None:
    score = said("hello there", 3.0, "five five five", 0.5, "one two three", 0.5, "four five six seven")
    outcome = talk(score, partials=False, delay_ms=100.0)
    assert texts(outcome) == ["hello there", "five five five one two three four five six seven"]


def test_a_question_is_answered_sooner_than_a_statement_and_that_sooner_than_what_is_open() -> None:
    waits = [
        waited_ms(talk(said(text)))[0] for text in ("what time is it?", "tell me a joke.", "tell me and")
    ]
    assert waits == sorted(waits)
    assert waits[0] < 250 < 300 < waits[1] < 350 < 2400 < waits[2]


def test_what_stays_unfinished_is_a_turn_at_the_limit() -> None:
    outcome = talk(said("So, um,"))
    assert texts(outcome) == ["So, um,"]
    assert waited_ms(outcome)[0] == pytest.approx(3000, abs=40)


def test_late_words_make_it_no_slower_than_silence() -> None:
    for text in ("tell me a joke.", "what time is it?"):
        outcome = talk(said(text), partials=False, delay_ms=2000.0)
        assert waited_ms(outcome)[0] == pytest.approx(350, abs=40)


class Model(CombinedTurn):
    """A turn detector with a model that takes its time."""

    assesses = True
    languages = ("en",)

    def __init__(self, probability: float | None, delay_ms: float = 80.0, fails: bool = False) -> None:
        super().__init__()
        self.calls: list[int] = []
        self._probability, self._delay_ms, self._fails = probability, delay_ms, fails

    async def assess(self, utterance: Utterance) -> float | None:
        self.calls.append(utterance.speech_end)
        await asyncio.sleep(self._delay_ms / 1000)
        if self._fails:
            raise RuntimeError("no model")
        return self._probability


def test_a_model_judges_each_pause_once_and_its_probability_is_in_the_trace() -> None:
    model = Model(0.05)
    outcome = talk(said("tell me", 0.8, "a joke"), model)
    pauses = [event.end_sample for event in outcome.all(SpeechPaused)]
    assert len(pauses) == 2
    assert model.calls == pauses == [event.upto_sample for event in outcome.all(EndOfTurnEstimated)]
    assert {(event.probability, event.took_ms) for event in outcome.all(EndOfTurnEstimated)} == {(0.05, 80.0)}
    assert texts(outcome) == ["tell me a joke"]
    assert waited_ms(outcome)[0] > 1000


def test_a_late_model_makes_it_no_slower_than_silence() -> None:
    outcome = talk(said("tell me a joke"), Model(0.0, delay_ms=500.0))
    assert waited_ms(outcome)[0] == pytest.approx(350, abs=40)


def test_a_model_that_fails_is_left_out_with_a_notice() -> None:
    model = Model(0.05, fails=True)
    score = said("tell me", 0.2, "a", 0.2, "joke", 3.0, "and", 0.2, "another", 0.2, "one")
    outcome = talk(score, model)
    assert len(model.calls) == 3
    (notice,) = outcome.all(Notice)
    assert (notice.owner, notice.hint) == ("turn", "turns end by words and silence from now on")
    assert not outcome.all(EndOfTurnEstimated)


def test_a_model_abstains_in_a_language_that_it_does_not_know() -> None:
    model, score = Model(0.05), said("tell me a joke")
    stt = ScriptedStt(score, partials=True)
    outcome = run(Scenario(score, stt=stt, turn=model, language="sv-SE"))
    assert not model.calls
    assert waited_ms(outcome)[0] == pytest.approx(350, abs=40)


@pytest.mark.parametrize("groups", [("我想订一张", "桌子"), ("ผมอยาก", "จองโต๊ะ")])
def test_a_turn_that_goes_on_is_one_text_without_spaces_where_its_script_has_none(
    groups: tuple[str, str],
) -> None:
    score = said(groups[0], 0.8, groups[1])
    llm = ScriptedLlm(["好的。"], first_token_ms=900)
    outcome = run(Scenario(score, stt=ScriptedStt(score), llm=llm, turn=CombinedTurn(), language="zh"))
    assert outcome.all(TurnReopened)
    assert texts(outcome) == ["".join(groups)]
    assert [text for role, text in outcome.said if role == "user"] == ["".join(groups)]
