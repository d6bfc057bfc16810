"""Turns as the instruments draw them: a waterfall for one, a history of latency for all."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from workbench.readers.folds.calls import Call
from workbench.readers.latency import Kind, Latency, kind_of
from workbench.readers.timeline import Turn

KEPT_POINTS = 300
"""Points kept: more than any screen has columns for."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a turn, in ms from the end of the user's speech.

    It ran during `lane`; of that `counted_ms`, at its end, lay on the critical path.
    """

    part: str
    counted_ms: float
    lane: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Falls:
    """A turn to draw. `total_ms` is the heard latency, None if it was typed or nothing was heard."""

    title: str = ""
    total_ms: float | None = None
    bars: tuple[Bar, ...] = ()
    calls: tuple[Call, ...] = ()
    """Calls of tools in it that have a place."""


@dataclass(frozen=True, slots=True)
class Point:
    """A turn's heard latency; only the kind `done` is in the percentiles."""

    turn: int
    ms: float
    kind: Kind = "done"


@dataclass(frozen=True, slots=True)
class History:
    """All turns so far, and the percentiles over the `n` that compare; None before there is one."""

    points: tuple[Point, ...] = ()
    p50: float | None = None
    p95: float | None = None
    n: int = 0
    chosen: int | None = None
    """The turn that is looked at, in a recording."""


class HistoryFold:
    """Give it every turn that has ended; `now` is the history."""

    def __init__(self) -> None:
        self._latency = Latency()
        self._points: deque[Point] = deque(maxlen=KEPT_POINTS)
        self.now = History()

    def add(self, turn: Turn) -> None:
        """Take a turn in."""
        self._latency.add(turn)
        if turn.heard_latency_ms is not None:
            self._points.append(Point(turn.turn, turn.heard_latency_ms, kind_of(turn)))
        p50, p95 = self._latency.percentile(50), self._latency.percentile(95)
        self.now = History(tuple(self._points), p50, p95, len(self._latency.values_ms))


def falls(turn: Turn, calls: tuple[Call, ...] = ()) -> Falls:
    """A turn, with its calls of tools, as its waterfall."""
    marks: list[str] = [turn.status] if turn.status != "done" else []
    marks += ["cold"] if turn.cold else []
    marks += [f"{turn.discarded_replies} discarded"] if turn.discarded_replies else []
    bars = [Bar(part, turn.parts_ms.get(part, 0.0), lane) for part, lane in turn.lanes_ms.items()]
    total = turn.heard_latency_ms
    if total is not None:
        unexplained = turn.parts_ms.get("unexplained", 0.0)
        bars.append(Bar("unexplained", unexplained, (total - abs(unexplained), total)))
    return Falls(" · ".join([f"Turn {turn.turn}", *marks]), total, tuple(bars), calls)
