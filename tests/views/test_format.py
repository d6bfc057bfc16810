"""Figures with their units, the marks of a turn and the summary of many."""

from __future__ import annotations

from workbench.readers.latency import LatencySummary
from workbench.readers.timeline import Turn
from workbench.views.format import count, marks, ms, part_label, percentiles, signed_ms, summarize, title


def turn(number: int, latency_ms: float | None = 600.0, **more: object) -> Turn:
    return Turn(number, more.pop("status", "done"), "", "", latency_ms, **more)  # type: ignore[arg-type]


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_no_line_ends_between_a_figure_and_its_unit() -> None:
    assert ms(612.4) == "612\N{NO-BREAK SPACE}ms"
    assert signed_ms(-3.2) == "-3\N{NO-BREAK SPACE}ms"
    assert ms(None) == "–"


def test_counts_and_parts_are_words() -> None:
    assert (count(1, "turn"), count(2, "turn")) == ("1 turn", "2 turns")
    assert (count(1, "reply"), count(2, "reply"), count(2, "key")) == ("1 reply", "2 replies", "2 keys")
    assert part_label("llm_first_token") == "LLM first token"


def test_a_turn_has_its_marks_in_its_title() -> None:
    assert marks(turn(1)) == ""
    assert title(turn(2, status="cut", cold=True, discarded_replies=2)) == "Turn 2 · cut · cold · 2 discarded"


def test_a_summary_says_how_many_turns_are_not_in_its_percentiles() -> None:
    turns = [turn(1, 900.0, cold=True), turn(2, 600.0), turn(3, 800.0), turn(4, None), turn(5, status="cut")]
    text = plain(summarize(turns))
    assert text == "5 turns · heard after p50 700 ms, p95 790 ms (n 2) · 1 cold · 1 cut · 1 unheard"
    assert summarize(LatencySummary(turns)) == summarize(turns)
    assert summarize([]) == "0 turns"
    assert percentiles(LatencySummary()) == ""
