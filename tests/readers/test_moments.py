from __future__ import annotations

import pytest

from workbench.model import events as ev
from workbench.model.events import Entry
from workbench.readers.moments import Moment, MomentsFold


def user(ms: float) -> int:
    return round(ms * 16)


def agent(ms: float) -> int:
    return round((ms - 500) * 24)


def fed(*events: ev.Event) -> MomentsFold:
    fold = MomentsFold({"user": 16_000, "agent": 24_000})
    for i, event in enumerate((ev.ClockMapped("agent", 0, 500.0, 24_000.0), *events)):
        fold.feed(Entry(i, 9000.0, event))
    return fold


def test_a_moment_is_from_onset_to_the_last_sample_heard() -> None:
    fold = fed(
        ev.SpeechStarted(1, user(1000)),
        ev.TurnDecided(1, 1),
        ev.Heard(1, user(1800), 1800.0, agent(2200), 2200.0),
        ev.ReplyEnded(1, 1, "done", "", "", agent(3000)),
        ev.TurnEnded(1, "done", "", ""),
    )
    assert fold.of(1) == Moment(850.0, 3150.0, 1800.0)
    assert fold.sample("agent", 1500) == agent(1500)
    assert fold.sample("agent", 400) == agent(400) < 0, "before the first sample"
    assert fold.sample("user", 1500) == user(1500)
    assert fold.of(2) is None


def test_a_typed_turn_counts_from_when_it_was_typed() -> None:
    fold = fed(
        ev.TurnDecided(1, 1, True), ev.ReplyEnded(1, 1, "done", "", "", None), ev.TurnEnded(1, "done", "", "")
    )
    assert fold.of(1) == Moment(8850.0, 9150.0, 9000.0)


def test_clocks_follow_the_last_mapping() -> None:
    clocks = MomentsFold({"agent": 24_000})
    assert clocks.time_ms("user", 1600) == 100
    clocks.feed(Entry(0, 0.0, ev.ClockMapped("user", 16_000, 1500.0, 15_900.0)))
    clocks.feed(Entry(1, 0.0, ev.Bookmarked("x")))
    clocks.feed(Entry(2, 0.0, ev.ClockMapped("agent", 0, 1500.0, 0.0)))
    assert clocks.time_ms("user", 16_000 + 159) == pytest.approx(1510.0)
    assert clocks.time_ms("agent", 2400) == 100
