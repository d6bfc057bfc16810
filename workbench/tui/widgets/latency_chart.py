"""Heard latency over the turns: one column a turn, with p50 and p95 of those that compare."""

from __future__ import annotations

import math
from collections import Counter
from itertools import chain

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from workbench.readers.latency import LatencyHistory, LatencyPoint
from workbench.views.format import ms

EIGHTHS = " ▁▂▃▄▅▆▇█"
AXIS_CELLS = 6
LEGEND_ROWS = 4
"""From so many rows on there is room for a legend."""

Cell = tuple[str, str]
"""A character and its style."""


class LatencyChart(Widget):
    """A line of figures, and under it the columns as high as there is room."""

    BORDER_TITLE = "Heard latency"

    history: reactive[LatencyHistory] = reactive(LatencyHistory())

    def render(self) -> Content:
        """Draw figures, legend and columns."""
        history, (width, height) = self.history, self.content_size
        if not history.points:
            return Content.styled("Latency of each turn will be drawn here.", "$quiet")
        texts = [figures(history)]
        if height >= LEGEND_ROWS and (text := legend(history)):
            texts.append(text.truncate(width, ellipsis=True))
        return Content("\n").join([*texts, *columns(history, width, max(1, height - len(texts)))])


def figures(history: LatencyHistory) -> Content:
    """Return `p50 612 ms  p95 840 ms  n 12`."""
    return Content.assemble(
        ("p50 ", "$quiet"), (ms(history.p50), "bold"), ("   p95 ", "$quiet"), (ms(history.p95), "bold"),
        ("   n ", "$quiet"), str(history.n),
    )  # fmt: skip


def legend(history: LatencyHistory) -> Content:
    """Return what the hatched columns are: `░ 1 cold, 2 cut: not in p50 and p95`; empty while there are none."""
    kinds = Counter(point.kind for point in history.points if point.kind != "done")
    counts = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    return Content.styled(f"░ {counts}: not in p50 and p95" if counts else "", "$quiet")


def columns(history: LatencyHistory, width: int, height: int) -> list[Content]:
    """Return the last turns as columns, hatched where not in the percentiles, with lines at p50 and p95."""
    points = history.points[-max(1, (width - AXIS_CELLS) // 2) :]
    top = max(1.0, *(point.ms for point in points), history.p95 or 0.0)
    lines = {
        _row(ms, height, top): name
        for name, ms in (("p95", history.p95), ("p50", history.p50))
        if ms is not None
    }
    rows = []
    for row in range(height, 0, -1):
        blank = ("╌" if row in lines else " ", "$track")
        cells = chain.from_iterable(_cell(point, row, height, top, blank, history.chosen) for point in points)
        rest = (blank[0] * (width - AXIS_CELLS - 2 * len(points)), "$track")
        scale = f"{top:.0f}" if row == height else lines.get(row, "0" if row == 1 else "")
        rows.append(Content.assemble((f"{scale:>{AXIS_CELLS - 1}} ", "$quiet"), *cells, rest))
    return rows


def _row(ms: float, height: int, top: float) -> int:
    return max(1, math.ceil(ms / top * height))


def _cell(
    point: LatencyPoint, row: int, height: int, top: float, blank: Cell, chosen: int | None
) -> tuple[Cell, Cell]:
    """Return a column's cell in a row, and the gap after it."""
    level = min(8, max(row == 1, round(8 * (point.ms / top * height - (row - 1)))))
    if level <= 0:
        return blank, blank
    sign = EIGHTHS[level] if point.kind == "done" else "░"
    if point.turn == chosen:
        return (sign, "$user"), ("◂", "$user") if row == 1 else blank
    return (sign, "$agent" if point.kind == "done" else "$quiet"), blank
