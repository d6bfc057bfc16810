"""False cutoffs and latency of settings, the front of what no other beats in both, and eot-bench's operating points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from workbench.model.audio import INPUT_RATE
from workbench.replay.tune.decisions import NEVER
from workbench.replay.tune.truth import TrueSilence

LATE = INPUT_RATE // 10
"""A reply so soon after a pause was begun in it: speech is noticed with a delay, samples."""
LONGEST_MS = 5_000.0
"""A turn that nothing has ended is taken as ended after so long."""
ROUNDING_MS = 10.0
"""Decisions come at the ends of frames of 20 ms: half of one."""
LATENCY_BUDGETS_MS, CUTOFF_BUDGETS = (300, 600), (0.05, 0.10)


class Scored(Protocol):
    """Settings with their figures."""

    @property
    def cutoff_rate(self) -> float:
        """The share of pauses within turns in which the turn was ended."""

    @property
    def latency_ms(self) -> float:
        """From the end of a turn to the reply that may be heard, mean, ms."""


S = TypeVar("S", bound=Scored)


@dataclass(frozen=True, slots=True)
class TunePoint:
    """How the turn detector fares with certain settings. `settings` are those that differ from the ones in use."""

    number: int
    settings: Mapping[str, Any]
    cutoffs: int
    pauses: int
    latency_ms: float

    @property
    def cutoff_rate(self) -> float:
        """The share of pauses within turns in which the turn was ended."""
        return self.cutoffs / max(1, self.pauses)

    def to_json(self) -> dict[str, Any]:
        """Return it as `--json` shows it."""
        return {
            "point": self.number,
            "settings": dict(self.settings),
            "latency_ms": round(self.latency_ms, 1),
            "false_cutoffs_percent": round(self.cutoff_rate * 100, 2),
            "false_cutoffs": self.cutoffs,
            "pauses": self.pauses,
        }


@dataclass(frozen=True, slots=True)
class SilenceOutcome:
    """What became of each silence with each of the settings: `replies_ms` from its beginning to when a reply may be
    heard, infinite where the user speaks first; shape (silences, settings). `stray` counts replies into speech."""

    replies_ms: NDArray[np.float32]
    stray: NDArray[np.int64]


def outcome(silences: Sequence[TrueSilence], positions: NDArray[np.int64]) -> SilenceOutcome:
    """Return what became of the true silences where replies may be heard at those positions (rows: silences as the VAD
    heard them; columns: settings)."""
    replies = np.full((len(silences), positions.shape[1]), np.inf, dtype=np.float32)
    inside = np.zeros(positions.shape, dtype=bool)
    for row, silence in enumerate(silences):
        late = LATE if silence.label == "pause" else 0
        here = (positions >= silence.start - LATE) & (positions <= silence.stop + late)
        first = np.where(here, positions, NEVER).min(axis=0, initial=NEVER)
        decided = here.any(axis=0)
        replies[row, decided] = np.maximum(0, first[decided] - silence.start) * 1000 / INPUT_RATE
        inside |= here
    stray = ((positions < NEVER) & ~inside).sum(axis=0)
    return SilenceOutcome(replies, stray.astype(np.int64))


def front(points: Sequence[S]) -> list[S]:
    """Return the points that no other one beats in both, by latency."""
    best, result = math.inf, list[S]()
    for point in sorted(points, key=lambda point: (point.latency_ms, point.cutoff_rate)):
        if point.cutoff_rate < best:
            best = point.cutoff_rate
            result.append(point)
    return result


def operating_points(points: Sequence[Scored]) -> dict[str, float | None]:
    """Return eot-bench's: false cutoffs within budgets of mean latency, mean latency within budgets of cutoffs; None
    where no settings keep within a budget."""
    figures: dict[str, float | None] = {}
    for budget in LATENCY_BUDGETS_MS:
        rates = [point.cutoff_rate for point in points if point.latency_ms <= budget + ROUNDING_MS]
        figures[f"false_cutoffs_at_{budget}_ms_percent"] = round(min(rates) * 100, 1) if rates else None
    for share in CUTOFF_BUDGETS:
        waits = [point.latency_ms for point in points if point.cutoff_rate <= share]
        figures[f"latency_at_{share * 100:.0f}_percent_cutoffs_ms"] = round(min(waits)) if waits else None
    return figures


def pauses_of(
    outcomes: Sequence[tuple[Sequence[TrueSilence], SilenceOutcome]],
) -> tuple[NDArray[np.int64], ...]:
    """Return false cutoffs and pauses of each of the settings, of all recordings; shape (settings,) each. A reply into
    speech is a false cutoff in a pause of its own."""
    cutoffs = pauses = np.zeros(1, dtype=np.int64)
    for silences, result in outcomes:
        rows = [row for row, silence in enumerate(silences) if silence.label == "pause"]
        cutoffs = cutoffs + np.isfinite(result.replies_ms[rows]).sum(axis=0) + result.stray
        pauses = pauses + len(rows) + result.stray
    return cutoffs, pauses


def latencies_of(outcomes: Sequence[tuple[Sequence[TrueSilence], SilenceOutcome]]) -> NDArray[np.float64]:
    """Return the mean latency of each of the settings, ms, of all recordings; what nothing ended counts with 5 s."""
    rows = [
        np.minimum(result.replies_ms[row], min(silence.ms, LONGEST_MS))
        for silences, result in outcomes
        for row, silence in enumerate(silences)
        if silence.label == "end"
    ]
    mean: NDArray[np.float64] = np.array(rows, dtype=np.float64).mean(axis=0)
    return mean
