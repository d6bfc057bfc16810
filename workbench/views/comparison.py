"""Two sessions against each other: pairs of turns, and the median of each part over the turns that compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.model.text import plain
from workbench.readers.latency import kind_of, percentile
from workbench.readers.pairs import DifferenceEstimate, SessionFigures, TurnPair, paired, words_changed
from workbench.readers.timeline import Turn
from workbench.views.format import DASH, count, marks, ms, part_label, signed_ms
from workbench.views.waterfall import ORDER

Row = tuple[float | None, float | None]
SHOWN = 200
"""Characters of a difference of words that are shown."""


class Comparison:
    """Of turns that are done, heard and not cold; the others would compare what differs."""

    def __init__(self, a: Sequence[Turn], b: Sequence[Turn]) -> None:
        self.a = [turn for turn in a if kind_of(turn) == "done"]
        self.b = [turn for turn in b if kind_of(turn) == "done"]
        self.all = (list(a), list(b))

    def medians(self, turns: Sequence[Turn]) -> dict[str, float]:
        """Median of each part, ms; nothing where there are no turns. They need not sum to the median of the sums."""
        medians = {part: percentile([turn.parts_ms.get(part, 0.0) for turn in turns], 50) for part in ORDER}
        return {part: value for part, value in medians.items() if value is not None}

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Name and both medians, ms, of each part that is anywhere, and of heard latency with its p95."""
        for part in ORDER:
            a, b = (self.medians(turns).get(part) for turns in (self.a, self.b))
            if any(abs(value or 0.0) >= 0.5 for value in (a, b)):
                yield part_label(part), (a, b)
        latencies = [[turn.heard_latency_ms or 0.0 for turn in turns] for turns in (self.a, self.b)]
        for name, percent in (("heard after, p50", 50), ("heard after, p95", 95)):
            a, b = (percentile(values, percent) for values in latencies)
            yield name, (a, b)


# --- a pair of turns -------------------------------------------------------------------------------------------------


def pair_numbers(pair: TurnPair) -> str:
    """Return the numbers of both turns: `3/4`, with a dash for one that is not there."""
    return "/".join(str(turn.turn) if turn else DASH for turn in (pair.a, pair.b))


def pair_latency(pair: TurnPair) -> str:
    """Return both heard latencies, and their difference where they compare."""
    latency = " → ".join(ms(turn.heard_latency_ms) if turn else DASH for turn in (pair.a, pair.b))
    return latency if pair.difference_ms is None else f"{latency} ({signed_ms(pair.difference_ms)})"


def pair_changes(pair: TurnPair) -> Iterator[str]:
    """Yield what is different in what was said and in how the turns ended; plain text."""
    a, b = pair.a, pair.b
    if a is None or b is None:
        turn = a or b
        assert turn is not None
        words = plain(turn.user_text, 80, one_line=True)
        yield f"only here: {words}" if a is None else f"missing: {words}"
        return
    for who, before, after in (("user", a.user_text, b.user_text), ("agent", a.agent_text, b.agent_text)):
        if before != after:
            yield f"{who}: {plain(words_difference(before, after), SHOWN, one_line=True)}"
    if marks(a) != marks(b):
        yield f"{marks(a) or 'done'} → {marks(b) or 'done'}"


def words_difference(a: str, b: str) -> str:
    """Return the text with `[-before-]{+after+}` where words changed, as wdiff writes it."""
    return " ".join(
        before if before == after else _change(before, after) for before, after in words_changed(a, b)
    )


def _change(before: str, after: str) -> str:
    return (f"[-{before}-]" if before else "") + (f"{{+{after}+}}" if after else "")


def pair_parts(pair: TurnPair) -> Iterator[tuple[str, float | None, float | None]]:
    """Yield name and both values, ms, of each part that is in either turn, and of heard latency."""
    for part in ORDER:
        before, after = (None if turn is None else turn.parts_ms.get(part, 0.0) for turn in (pair.a, pair.b))
        if any(abs(value or 0.0) >= 0.5 for value in (before, after)):
            yield part_label(part), before, after
    before, after = (None if turn is None else turn.heard_latency_ms for turn in (pair.a, pair.b))
    yield "heard after", before, after


# --- all of them -----------------------------------------------------------------------------------------------------


def summary_rows(a: SessionFigures, b: SessionFigures) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, both values and the change of each row."""
    for part, (before, after) in Comparison(a.turns, b.turns).rows():
        known = before is not None and after is not None
        yield part, ms(before), ms(after), signed_ms((after or 0.0) - (before or 0.0)) if known else ""
    change = paired(a, b)
    for name in ("p50", "p95"):
        if (value := change[name]) is not None:
            yield f"paired, {name}", "", "", _interval(value, change["n"])
    figures = a.figures(), b.figures()
    for name in ("turns", "cut", "failed", "cutoffs", "discarded", "cost"):
        yield name, _figure(figures[0][name]), _figure(figures[1][name]), ""


def _figure(value: float | None) -> str:
    return DASH if value is None else f"{value:g}"


def _interval(value: DifferenceEstimate, pairs: int) -> str:
    interval = "" if value.low_ms is None or value.high_ms is None else (
        f", 95 % {value.low_ms:+.0f} … {signed_ms(value.high_ms)}"
    )  # fmt: skip
    return f"{signed_ms(value.ms)} ({count(pairs, 'pair')}{interval})"
