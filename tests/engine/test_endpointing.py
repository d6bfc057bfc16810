"""Endpointing: by silence that adapts to the pauses of this user, by words and by sound."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.endpointing import REMEMBERED, CombinedTurn, SilenceTurn
from workbench.engine.settings import TurnSettings
from workbench.engine.utterance import Estimate, Utterance
from workbench.model.audio import INPUT_RATE, Frame, silence
from workbench.model.conversation import Transcript
from workbench.model.errors import GarbageError

KNOBS = TurnSettings()
SPEECH = Utterance(1, 0)


def wait(pauses: list[float], settings: TurnSettings = KNOBS) -> float:
    turn = SilenceTurn()
    for pause in pauses:
        turn.paused(pause, went_on=True)
    return turn.wait_ms(SPEECH, settings)


def test_before_anything_is_known_the_prior_decides() -> None:
    assert wait([]) == KNOBS.silence_ms == 350


def test_a_user_with_long_pauses_gets_a_longer_wait() -> None:
    assert 350 < wait([900.0]) < wait([900.0] * 2) == pytest.approx(940)
    assert wait([900.0] + [100.0] * 15) < 350, "one long pause is an exception"


def test_a_user_with_short_pauses_gets_a_shorter_wait() -> None:
    assert wait([120.0] * 40) < 350


def test_old_pauses_are_forgotten() -> None:
    assert wait([1100.0] * 40 + [150.0] * REMEMBERED) == wait([150.0] * REMEMBERED)


def test_the_end_of_a_turn_teaches_nothing() -> None:
    turn = SilenceTurn()
    turn.paused(5000, went_on=False)
    assert turn.wait_ms(SPEECH, KNOBS) == 350


def test_changed_settings_hold_at_once() -> None:
    turn, settings = SilenceTurn(), TurnSettings()
    for _ in range(30):
        turn.paused(800, went_on=True)
    assert turn.wait_ms(SPEECH, settings) > 700
    settings.max_silence_ms = 600
    assert turn.wait_ms(SPEECH, settings) == 600
    settings.adapt = False
    assert turn.wait_ms(SPEECH, settings) == 350
    settings.silence_ms = 200
    assert turn.wait_ms(SPEECH, settings) == 200


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 10_000), max_size=60), st.floats(50, 2000))
def test_the_wait_is_bounded(pauses: list[float], prior: float) -> None:
    settings = TurnSettings(silence_ms=prior)
    found = wait(pauses, settings)
    assert settings.min_silence_ms <= found <= settings.max_silence_ms or (not pauses and found == prior)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 2000), min_size=1, max_size=30), st.integers(0, 29), st.floats(0, 500))
def test_a_longer_pause_never_makes_it_wait_less(pauses: list[float], which: int, more: float) -> None:
    longer = list(pauses)
    longer[which % len(longer)] += more
    assert wait(longer) >= wait(pauses) - 1e-6


# --- by words and sound ----------------------------------------------------------------------------------------------


def pause(
    text: str | None, probability: float | None = None, *, question: str = "", covered: bool = True
) -> Utterance:
    utterance = Utterance(1, 0)
    utterance.append(Frame(silence(INPUT_RATE), INPUT_RATE, 0))
    utterance.become("paused", INPUT_RATE)
    utterance.question = question
    if text is not None:
        utterance.write(Transcript(text, INPUT_RATE if covered else INPUT_RATE // 2))
    if probability is not None:
        utterance.estimate(Estimate(probability, INPUT_RATE))
    return utterance


def combined(utterance: Utterance, settings: TurnSettings = KNOBS) -> float:
    return CombinedTurn().wait_ms(utterance, settings)


@pytest.mark.parametrize(
    ("text", "probability", "wait_ms"),
    [
        (None, None, 350),
        (None, 0.95, 315),
        (None, 0.5, 350),
        (None, 0.1, 1400),
        ("What time is it?", None, 200),
        ("What time is it?", 0.95, 200),
        ("What time is it?", 0.1, 350),
        ("Yes.", 0.9, 200),
        ("Tell me a joke.", None, 315),
        ("Tell me a joke.", 0.95, 315),
        ("Tell me a joke.", 0.1, 525),
        ("tell me a joke", None, 315),
        ("tell me a joke", 0.5, 315),
        ("tell me a joke", 0.1, 1400),
        ("So, um,", None, 3000),
        ("So, um,", 0.99, 3000),
        ("I'd like to go to", 0.99, 3000),
        ("my number is 555", 0.99, 3000),
        ("my number is 555 123 4567", 0.1, 525),
        ("my number is 555 1234", 0.1, 1050),
    ],
)
def test_how_long_is_waited_by_words_and_sound(
    text: str | None, probability: float | None, wait_ms: float
) -> None:
    assert combined(pause(text, probability)) == pytest.approx(wait_ms)


def said_at(number: int, text: str, onset_s: float, seconds: float = 1.0) -> Utterance:
    """An utterance that has paused, with its words."""
    utterance = Utterance(number, round(onset_s * INPUT_RATE))
    end = round((onset_s + seconds) * INPUT_RATE)
    utterance.append(Frame(silence(end - utterance.onset), INPUT_RATE, utterance.onset))
    utterance.become("paused", end)
    utterance.write(Transcript(text, end))
    return utterance


def test_who_goes_on_after_what_seemed_complete_is_given_time_until_an_answer_was_heard_out() -> None:
    turn = CombinedTurn()
    assert turn.wait_ms(said_at(1, "That was the first sentence.", 0), KNOBS) == pytest.approx(315)
    # the next sentence comes 0.7 s after it, into the answer
    assert turn.wait_ms(said_at(2, "And that is the second one.", 1.7), KNOBS) == KNOBS.max_silence_ms
    turn.paused(900, went_on=True)
    assert turn.wait_ms(said_at(3, "That was all of it.", 3.4), KNOBS) == KNOBS.max_silence_ms
    assert turn.wait_ms(said_at(4, "Tell me more about it.", 9), KNOBS) < 2 * KNOBS.silence_ms
    fixed = TurnSettings(adapt=False)
    assert turn.wait_ms(said_at(5, "And one sentence more.", 10.5), fixed) == pytest.approx(315)


def test_an_interruption_is_no_going_on() -> None:
    turn = CombinedTurn()
    for number in range(6):  # 1.2 s after the end of what was said: the answer was heard for half a second
        wait = turn.wait_ms(said_at(number, "No, tell me something else.", number * 2.2), KNOBS)
        assert wait == pytest.approx(315)


def test_pauses_that_the_words_explain_teach_nothing() -> None:
    turn = CombinedTurn()
    for number in range(5):
        turn.wait_ms(said_at(number, "my address is", number * 6), KNOBS)
        turn.paused(1100, went_on=True)
    assert turn.wait_ms(said_at(9, "Tell me a joke.", 60), KNOBS) == pytest.approx(315)


def test_words_without_a_full_stop_are_open_where_the_stt_sets_them() -> None:
    turn, unstopped = CombinedTurn(), "you have been removed"
    assert turn.wait_ms(said_at(1, unstopped, 0), KNOBS) == pytest.approx(315)
    turn.wait_ms(said_at(2, "You have been removed from the list.", 10), KNOBS)
    assert turn.wait_ms(said_at(3, unstopped, 20), KNOBS) > 1000
    assert turn.wait_ms(said_at(4, "the number", 30), KNOBS) == 700
    assert turn.wait_ms(said_at(5, "seven", 40), KNOBS) < 400  # few words may come without


def test_sound_alone_and_words_alone() -> None:
    assert CombinedTurn(by_words=False).wait_ms(pause("So, um,", 0.95), KNOBS) == pytest.approx(315)
    assert combined(pause("So, um,")) == KNOBS.unfinished_ms


def test_words_that_lag_behind_do_not_count_but_a_number_does() -> None:
    assert combined(pause("I'd like to go to", covered=False)) == 350
    assert combined(pause("What time is it?", covered=False)) == 350
    assert combined(pause("my number is 555", covered=False)) == 3000


def test_after_a_question_for_a_number_there_is_time() -> None:
    question = "What is your phone number?"
    assert combined(pause("five", question=question)) == 3000
    assert combined(pause("five", question="How many people?")) == 315
    assert combined(pause(None, question=question)) == 1050, "there are no words yet"
    assert combined(pause("Sure, no problem.", question=question)) == pytest.approx(315)


@pytest.mark.parametrize(
    ("text", "hold_ms"),
    [
        ("tell me a joke", 420),
        ("What time is it?", 0),
        ("So, um,", 3000),
        ("my number is 555 123 4567", 420),
        ("my number is 555 1234", 1050),
        (None, 420),
    ],
)
def test_how_long_a_reply_is_held_back(text: str | None, hold_ms: float) -> None:
    assert CombinedTurn().hold_ms(pause(text), KNOBS) == hold_ms
    hesitant = CombinedTurn()
    for _ in range(30):
        hesitant.paused(800, went_on=True)
    assert hesitant.hold_ms(pause(text), KNOBS) >= (800 if hold_ms else 0)


@pytest.mark.parametrize("silence_ms", [200, 700, 2000])
def test_all_waits_but_for_the_unfinished_go_with_the_silence_that_is_set(silence_ms: float) -> None:
    settings, times = TurnSettings(silence_ms=silence_ms), silence_ms / 350
    turn = CombinedTurn()
    assert turn.wait_ms(pause("What time is it?"), settings) == pytest.approx(200 * times)
    assert turn.wait_ms(pause("Tell me a joke."), settings) == pytest.approx(315 * times)
    assert turn.wait_ms(pause("tell me a joke", covered=False), settings) == pytest.approx(silence_ms)
    assert turn.hold_ms(pause("Tell me a joke."), settings) == pytest.approx(420 * times)
    assert turn.wait_ms(pause("So, um,"), settings) == 3000


def test_an_estimate_counts_for_the_pause_that_was_judged() -> None:
    utterance = pause(None, 0.05)
    utterance.become("speaking", INPUT_RATE + 512)
    utterance.become("paused", INPUT_RATE + 512)
    assert utterance.end_probability is None
    assert combined(utterance) == 350


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(GarbageError):
        pause(None, probability)


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.floats(0, 2000), max_size=30),
    st.sampled_from([None, "So, um,", "Yes.", "Tell me a joke.", "tell me a joke", "555"]),
    st.none() | st.floats(0, 1),
)
def test_nothing_waits_longer_than_silence_would_unless_something_speaks_against_the_end(
    pauses: list[float], text: str | None, probability: float | None
) -> None:
    turn = CombinedTurn()
    for each in pauses:
        turn.paused(each, went_on=True)
    found, usual = turn.wait_ms(pause(text, probability), KNOBS), wait(pauses)
    against = text in ("So, um,", "555") or (
        probability is not None and probability <= KNOBS.unfinished_probability
    )
    assert found <= (max(usual, KNOBS.unfinished_ms) if against else usual)
    assert found >= min(usual, KNOBS.complete_ms)
