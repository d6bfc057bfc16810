"""Percentiles of heard latency, of turns that can be compared."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from workbench.readers.timeline import Turn

Kind = Literal["done", "cold", "cut", "failed", "unheard"]
PERCENTILES = (50, 90, 95, 99)


def kind_of(turn: Turn) -> Kind:
    """What a turn's latency can be compared with: only `done` ones go into the percentiles.

    `failed` and `cut` by status; `unheard`: done without a latency (typed, or silent); `cold`: a provider's first.
    """
    if turn.status != "done":
        return turn.status
    if turn.heard_latency_ms is None:
        return "unheard"
    return "cold" if turn.cold else "done"


def percentile(values: Sequence[float], percent: float) -> float | None:
    """By linear interpolation between the two nearest ranks, as numpy's default; None of nothing."""
    if not values:
        return None
    ranked = sorted(values)
    rank = (len(ranked) - 1) * percent / 100
    below = int(rank)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (ranked[above] - ranked[below]) * (rank - below)


class Latency:
    """Counts turns and collects the latencies of those that count; 8 bytes a turn."""

    def __init__(self) -> None:
        self.kinds: Counter[Kind] = Counter()
        self.discarded = 0
        """Replies thrown away unheard, of all turns."""
        self.values_ms = array("d")
        """Heard latency of the turns that are `done` by `kind_of`, in their order."""
        self._done = 0

    def add(self, turn: Turn) -> None:
        """Take a turn that has ended."""
        kind = kind_of(turn)
        self.kinds[kind] += 1
        self.discarded += turn.discarded_replies
        self._done += turn.status == "done"
        if kind == "done" and turn.heard_latency_ms is not None:
            self.values_ms.append(turn.heard_latency_ms)

    def percentile(self, percent: float) -> float | None:
        """Of `values_ms`, ms, rounded to 0.1; None while there are none."""
        found = percentile(self.values_ms, percent)
        return None if found is None else round(found, 1)

    def summary(self) -> dict[str, Any]:
        """The last line of `--json`.

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
