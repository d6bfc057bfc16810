"""Where the bars of a waterfall lie: worked out once, here; every front end only draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workbench.model.text import plain
from workbench.readers.folds.calls import CallRecord
from workbench.readers.timeline import CHAIN, STAGE_OF, Turn
from workbench.views.format import part_label, title
from workbench.views.palette import part_key

LEAST_MS = 0.5
"""What is shorter is drawn as nothing."""
ORDER = (*CHAIN, "unexplained")
"""The parts in the order in which they follow each other."""


@dataclass(frozen=True, slots=True)
class WaterfallBar:
    """A part of a turn, in ms from the end of the user's speech (typed: from when it was typed).

    It ran during `lane`; of that `counted_ms`, at its end, lay on the critical path. `colour` is a name in the palette.
    """

    part: str
    label: str
    colour: str
    lane: tuple[float, float]
    counted_ms: float
    provider: str = ""
    """Who did it, where that is a provider."""

    @property
    def counts(self) -> bool:
        """Whether any of it was waited for."""
        return abs(self.counted_ms) >= LEAST_MS

    @property
    def hidden(self) -> bool:
        """Whether all of it ran beside other parts, and so cost nothing."""
        return not self.counts and self.part != "unexplained"

    @property
    def figure_ms(self) -> float:
        """What is written beside it: what was waited for, or the length of what ran hidden."""
        return self.lane[1] - max(0.0, self.lane[0]) if self.hidden else self.counted_ms

    @property
    def solid(self) -> tuple[float, float]:
        """The stretch that was waited for."""
        return self.lane[1] - abs(self.counted_ms), self.lane[1]


@dataclass(frozen=True, slots=True)
class WaterfallLayout:
    """A turn to draw. `total_ms` is the heard latency, None if it was typed or nothing was heard."""

    title: str = ""
    total_ms: float | None = None
    bars: tuple[WaterfallBar, ...] = ()
    calls: tuple[CallRecord, ...] = ()
    """Calls of tools in it that have a place."""

    @property
    def span_ms(self) -> tuple[float, float]:
        """First and last ms of the bars, and of what was heard."""
        starts, ends = zip(
            (0.0, max(1.0, self.total_ms or 0.0)), *(bar.lane for bar in self.bars), strict=False
        )
        return min(starts), max(ends)


def lay_out(turn: Turn, calls: tuple[CallRecord, ...] = ()) -> WaterfallLayout:
    """Return a turn, with its calls of tools, as its waterfall: the parts that took time, and what none explains."""
    bars = [
        _bar(
            part,
            lane,
            turn.parts_ms.get(part, 0.0),
            ", ".join(turn.providers.get(STAGE_OF.get(part, ""), ())),
        )
        for part, lane in turn.lanes_ms.items()
        if lane[1] - lane[0] >= LEAST_MS or abs(turn.parts_ms.get(part, 0.0)) >= LEAST_MS
    ]
    total = turn.heard_latency_ms
    if total is not None:
        unexplained = turn.parts_ms.get("unexplained", 0.0)
        bars.append(_bar("unexplained", (total - abs(unexplained), total), unexplained))
    return WaterfallLayout(title(turn), total, tuple(bars), calls)


def _bar(part: str, lane: tuple[float, float], counted_ms: float, provider: str = "") -> WaterfallBar:
    return WaterfallBar(part, part_label(part), part_key(part), lane, counted_ms, provider)


def critical_path_bars(parts_ms: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Return part, start and length, ms, of the parts that were waited for, one after the other from 0."""
    bars, start_ms = [], 0.0
    for part in ORDER:
        length_ms = parts_ms.get(part, 0.0)
        if abs(length_ms) >= LEAST_MS:
            bars.append((part, start_ms, length_ms))
            start_ms += length_ms
    return bars


# --- plain text ------------------------------------------------------------------------------------------------------

_LABEL_CELLS, _FIGURE_CELLS, _LEAST_BAR_CELLS = 16, 9, 8


def waterfall_text(turn: Turn, width: int) -> str:
    """Return the waterfall of a turn as lines of plain text, none wider than `width` cells.

    `█` lies on the critical path, `░` ran hidden beside it; behind it stands whose work it was, where there is room. In
    a narrow place the bars are left out.
    """
    layout = lay_out(turn)
    low, high = layout.span_ms
    room = width - _LABEL_CELLS - _FIGURE_CELLS - 1
    rows = [
        _row(
            bar.label,
            bar.counted_ms,
            "" if bar.part == "unexplained" else _cells(bar, low, high, room),
            width,
        )
        for bar in layout.bars
    ]
    if layout.total_ms is not None:
        rows.append(_row("heard after", layout.total_ms, "", width))
    return "\n".join(rows)


def _row(label: str, value_ms: float, bar: str, width: int) -> str:
    return f"{label:<{_LABEL_CELLS}}{round(value_ms):>{_FIGURE_CELLS - 3}} ms {bar}".rstrip()[: max(0, width)]


def _cells(bar: WaterfallBar, low: float, high: float, room: int) -> str:
    if room < _LEAST_BAR_CELLS:
        return ""
    scale = room / (high - low)
    first = min(round((bar.lane[0] - low) * scale), room - 1)
    last = min(room, max(round((bar.lane[1] - low) * scale), first + 1))
    solid = min(last, max(first, round((bar.solid[0] - low) * scale)))
    if bar.counts and solid == last:
        solid = last - 1
    cells = " " * first + "░" * (solid - first) + "█" * (last - solid)
    provider, last = plain(bar.provider, one_line=True), len(cells)
    if provider and last + 1 + len(provider) <= room:
        return f"{cells} {provider}"
    return (
        f"{' ' * (first - len(provider) - 1)}{provider} {cells[first:]}"
        if 0 < len(provider) < first
        else cells
    )
