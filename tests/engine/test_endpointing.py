"""Endpointing by silence that adapts to the pauses of this user."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.endpointing import REMEMBERED, SilenceTurn
from workbench.engine.settings import TurnSettings
from workbench.engine.utterance import Utterance

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
