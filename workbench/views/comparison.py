"""Two sessions against each other: the median of each part, over the turns that compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.readers.latency import kind_of, percentile
from workbench.readers.timeline import Turn
from workbench.views.format import part_label
from workbench.views.waterfall import ORDER

Row = tuple[float | None, float | None]


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
