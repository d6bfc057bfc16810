"""Where the bars of a waterfall lie, and how they look as text."""

from __future__ import annotations

import pytest

from tests.readers.test_timeline import PLAIN, only_turn
from workbench.model.events import Part
from workbench.readers.timeline import Turn
from workbench.views.waterfall import critical_path_bars, lay_out, waterfall_text


def test_bars_on_the_critical_path_follow_each_other() -> None:
    bars = critical_path_bars({"stt": 50.0, "endpointing": 100.0, "floor": 0.2, "unexplained": -7.0})
    assert bars == [("endpointing", 0.0, 100.0), ("stt", 100.0, 50.0), ("unexplained", 150.0, -7.0)]


def test_what_ran_hidden_counts_nothing_and_is_told_by_its_length() -> None:
    turn = Turn(
        1, "done", "", "", 200.0, {"endpointing": 200.0}, {"endpointing": (0.0, 200.0), "stt": (-50.0, 90.0)}
    )
    waited, hidden, unexplained = lay_out(turn).bars
    assert (waited.counts, waited.hidden, waited.solid, waited.figure_ms) == (
        True,
        False,
        (0.0, 200.0),
        200.0,
    )
    assert (hidden.counts, hidden.hidden, hidden.figure_ms) == (False, True, 90.0)
    assert (unexplained.counts, unexplained.hidden, unexplained.figure_ms) == (False, False, 0.0)


def test_what_took_no_time_has_no_bar() -> None:
    turn = Turn(1, "done", "", "", lanes_ms={"endpointing": (0.0, 100.0), "floor": (100.0, 100.2)})
    assert [bar.label for bar in lay_out(turn).bars] == ["endpointing"]


def test_a_waterfall_is_drawn_to_width() -> None:
    text = waterfall_text(only_turn(PLAIN), 66)
    assert text.splitlines() == [
        "endpointing        350 ms █████████████",
        "STT                150 ms ░░░░░░░░░░░░░██████",
        "LLM first token    300 ms                    ████████████",
        "first chunk         20 ms                                █",
        "TTS first byte     150 ms                                ██████",
        "output buffer       29 ms                                      █",
        "leading silence     40 ms                                       ██",
        "unexplained          6 ms",
        "heard after       1045 ms",
    ]


@pytest.mark.parametrize("width", [0, 10, 25, 33, 34, 40, 80, 200])
def test_a_waterfall_is_never_wider_than_asked(width: int) -> None:
    part: Part = "llm_first_token"
    early = Turn(1, "done", "", "", 10.0, lanes_ms={part: (-500.0, -499.9), "endpointing": (0.0, 10.0)})
    for turn in (only_turn(PLAIN), Turn(1, "failed", "", ""), early):
        assert all(len(line) <= width for line in waterfall_text(turn, width).splitlines())
