"""Pairs of turns of two sessions, and what can be said of their difference."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.model.events import Entry, Event, ReplyPlaying, SpeechStarted, TurnDecided
from workbench.readers.pairs import CutoffFold, SessionFigures, TurnPair, estimate, pair_turns, words_changed
from workbench.readers.timeline import Turn

texts = st.lists(st.sampled_from(["Hello.", "hello.", "and you?", "Stop"]), max_size=8)


def turn(number: int, text: str = "Hello.", ms: float | None = 400.0, *, cold: bool = False) -> Turn:
    return Turn(number, "done", text, "Hi.", ms, cold=cold)


@given(texts, texts)
def test_each_turn_is_in_one_pair_and_in_order(a: list[str], b: list[str]) -> None:
    sessions = [[turn(number, text) for number, text in enumerate(side)] for side in (a, b)]
    pairs = [*pair_turns(*sessions)]
    assert [pair.a for pair in pairs if pair.a] == sessions[0]
    assert [pair.b for pair in pairs if pair.b] == sessions[1]


def test_turns_with_the_same_words_belong_together_wherever_they_stand() -> None:
    a = [turn(1, "What time is it?"), turn(2, "Thank you.")]
    b = [turn(1, "What"), turn(2, "what time is it?"), turn(3, "Thank  you.")]
    numbers = [(pair.a and pair.a.turn, pair.b and pair.b.turn) for pair in pair_turns(a, b)]
    assert numbers == [(None, 1), (1, 2), (2, 3)]


def test_only_turns_that_compare_have_a_difference() -> None:
    assert TurnPair(turn(1), turn(1, ms=450.0)).difference_ms == 50.0
    assert TurnPair(turn(1, cold=True), turn(1)).difference_ms is None
    assert TurnPair(turn(1), turn(1, ms=None)).difference_ms is None
    assert TurnPair(turn(1), None).difference_ms is None


def test_a_difference_of_words_names_both_sides() -> None:
    assert words_changed("I want a refund", "I want the refund now") == [
        ("I want", "I want"),
        ("a", "the"),
        ("refund", "refund"),
        ("", "now"),
    ]


def test_an_interval_holds_the_estimate_and_comes_out_the_same_twice() -> None:
    values = [float(value) for value in range(-20, 60)]
    first = estimate(values, 50)
    assert first == estimate(values, 50)
    assert first is not None
    assert first.low_ms is not None
    assert first.high_ms is not None
    assert first.low_ms < first.ms == 19.5 < first.high_ms
    assert estimate([], 50) is None


def test_few_differences_have_no_interval() -> None:
    few = estimate([1.0, 2.0, 3.0, 4.0], 50)
    assert few is not None
    assert (few.ms, few.low_ms, few.high_ms) == (2.5, None, None)


@pytest.mark.parametrize(
    ("gap_ms", "audible", "cutoffs"), [(800, True, 1), (800, False, 0), (2_000, True, 0)]
)
def test_a_cutoff_is_an_answer_heard_before_the_user_went_on(
    gap_ms: int, audible: bool, cutoffs: int
) -> None:
    events: list[Event] = [SpeechStarted(1, 0), TurnDecided(1, 1, end_sample=16_000)]
    events += [ReplyPlaying(1, 1, 0)] if audible else []
    events += [SpeechStarted(2, 16_000 + 16 * gap_ms), TurnDecided(2, 2, end_sample=90_000)]
    fold, numbers = CutoffFold(), count()
    for event in events:
        fold.feed(Entry(next(numbers), 0.0, event))
    assert fold.count == cutoffs


def test_a_cost_that_one_turn_does_not_know_is_not_known() -> None:
    figures = SessionFigures(())
    figures.turns = [Turn(1, "done", "", "", usage={"cost": 0.5}), Turn(2, "done", "", "")]
    assert figures.figures()["cost"] is None
    figures.turns = figures.turns[:1]
    assert figures.figures()["cost"] == 0.5
