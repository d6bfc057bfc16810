"""Percentiles of heard latency, of turns that can be compared."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.readers.timeline import Turn

TurnKind = Literal["done", "cold", "cut", "failed", "unheard", "running"]
PERCENTILES = (50, 90, 95, 99)
KEPT_POINTS = 300
"""Points kept of a history: more than any screen has columns for."""


def kind_of(turn: Turn) -> TurnKind:
    """Decide what a turn's latency can be compared with: only `done` ones go into the percentiles.

    `failed` and `cut` by status; `unheard`: done without a latency (typed, or silent); `cold`: a provider's first.
    """
    if turn.status != "done":
        return turn.status
    if turn.heard_latency_ms is None:
        return "unheard"
    return "cold" if turn.cold else "done"


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Interpolate linearly between the two nearest ranks, as numpy does by default; None of nothing."""
    if not values:
        return None
    ranked = sorted(values)
    rank = (len(ranked) - 1) * percent / 100
    below = int(rank)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (ranked[above] - ranked[below]) * (rank - below)


class LatencySummary:
    """Counts turns that have ended, and collects the latencies of those that compare; 8 bytes a turn."""

    def __init__(self, turns: Iterable[Turn] = ()) -> None:
        self.kinds: Counter[TurnKind] = Counter()
        self.values_ms = array("d")
        """Heard latency of the turns that are `done` by `kind_of`, in their order."""
        self._done = 0
        for turn in turns:
            self.add(turn)

    def add(self, turn: Turn) -> None:
        """Take a turn in."""
        kind = kind_of(turn)
        self.kinds[kind] += 1
        self._done += turn.status == "done"
        if kind == "done" and turn.heard_latency_ms is not None:
            self.values_ms.append(turn.heard_latency_ms)

    def percentile(self, percent: float) -> float | None:
        """Return a percentile of `values_ms`, ms, rounded to 0.1; None while there are none."""
        value = percentile(self.values_ms, percent)
        return None if value is None else round(value, 1)

    def to_json(self) -> dict[str, Any]:
        """Return the last line of `--json`.

        `turns` = `done` + `cut` + `failed`; the percentiles (ms, null where n is 0) are of `n` turns: those done and
        heard that were not cold.
        """
        counts = {
            "turns": self.kinds.total(),
            "done": self._done,
            "cut": self.kinds["cut"],
            "failed": self.kinds["failed"],
            "n": len(self.values_ms),
        }
        return {"summary": counts | {f"p{percent}": self.percentile(percent) for percent in PERCENTILES}}


@dataclass(frozen=True, slots=True)
class LatencyPoint:
    """A turn's heard latency; only the kind `done` is in the percentiles."""

    turn: int
    ms: float
    kind: TurnKind = "done"


@dataclass(frozen=True, slots=True)
class LatencyHistory:
    """All turns so far, and the percentiles over the `n` that compare; None before there is one."""

    points: tuple[LatencyPoint, ...] = ()
    p50: float | None = None
    p95: float | None = None
    n: int = 0
    chosen: int | None = None
    """The turn that is looked at, in a recording."""

    def add(self, turn: Turn, summary: LatencySummary) -> LatencyHistory:
        """Return the history with one more turn, which `summary` has counted."""
        points = self.points
        if turn.heard_latency_ms is not None:
            point = LatencyPoint(turn.turn, turn.heard_latency_ms, kind_of(turn))
            points = (*points[1 - KEPT_POINTS :], point)
        return LatencyHistory(points, summary.percentile(50), summary.percentile(95), len(summary.values_ms))
