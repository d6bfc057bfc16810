"""`tune`: recordings in, the figures of every combination of settings out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from workbench.replay.tune.detectors import Detectors
from workbench.replay.tune.figures import TunePoint, front, latencies_of, pauses_of
from workbench.replay.tune.grid import Combination
from workbench.replay.tune.scoring import ScoredRecording, Scoring, ScoringProgress
from workbench.replay.tune.truth import TrueSilence
from workbench.replay.tune.workers import Workers

CHANGED_MS = 100.0
"""A reply that comes so much sooner or later is another one, ms."""


@dataclass(frozen=True, slots=True)
class ChangedSilence:
    """A silence, and when a reply may be heard in it, ms from its beginning, with the settings in use and with others;
    None where the user speaks first."""

    folder: Path
    number: int
    """Of the silence in its recording, from 1."""
    silence: TrueSilence
    before_ms: float | None
    after_ms: float | None

    @property
    def matters(self) -> bool:
        """Whether the user is cut off, or not any more, or is answered sooner or later by `CHANGED_MS`."""
        before, after = self.before_ms, self.after_ms
        if (before is None) != (after is None):
            return self.silence.label != "unclear"
        return self.silence.label == "end" and abs((before or 0.0) - (after or 0.0)) >= CHANGED_MS


@dataclass(frozen=True)
class TuneResult:
    """The figures of every combination of settings; the first is the one in use."""

    recordings: tuple[ScoredRecording, ...]
    combinations: tuple[Combination, ...]
    points: tuple[TunePoint, ...]

    @cached_property
    def front(self) -> list[TunePoint]:
        """The points that no other one beats in both figures, by latency; of equals that with the fewest changes."""
        return front(sorted(self.points, key=lambda point: len(point.settings)))

    @property
    def in_use(self) -> TunePoint:
        """The settings in use."""
        return self.points[0]

    @cached_property
    def best(self) -> TunePoint:
        """The point of the front that is in neither figure worse than the settings in use, and has the fewest false
        cutoffs; the settings in use where there is none."""
        used = self.in_use
        better = [
            point
            for point in self.front
            if point.latency_ms <= used.latency_ms and point.cutoff_rate <= used.cutoff_rate
        ]
        return min(better, key=lambda point: (point.cutoff_rate, point.latency_ms), default=used)

    def count(self, label: str) -> int:
        """Return how many silences have that label."""
        return sum(silence.label == label for each in self.recordings for silence in each.silences)

    def compared(self, point: TunePoint) -> list[ChangedSilence]:
        """Return every silence, with what becomes of it with the settings in use and with those."""
        return [
            ChangedSilence(recording.folder, row + 1, silence, *_replies(recording, row, point.number))
            for recording in self.recordings
            for row, silence in enumerate(recording.silences)
        ]

    def changes(self, point: TunePoint) -> list[ChangedSilence]:
        """Return the silences in which those settings do something else than those in use, the cutoffs first."""
        changes = [change for change in self.compared(point) if change.matters]
        return sorted(changes, key=lambda change: change.silence.label != "pause")


def _replies(recording: ScoredRecording, row: int, column: int) -> tuple[float | None, float | None]:
    before, after = (float(recording.outcome.replies_ms[row, each]) for each in (0, column))
    return (before if np.isfinite(before) else None), (after if np.isfinite(after) else None)


def tune(
    folders: Sequence[Path],
    detectors: Detectors,
    combinations: Sequence[Combination],
    open_executor: Callable[[], Executor],
    progress: ScoringProgress,
) -> TuneResult:
    """Score every combination of settings on the recordings in those folders. Nothing in them is changed.

    Raises UsageError for a folder that cannot be scored, and where no silence tells anything.
    """
    with Workers(open_executor) as workers:
        scored = Scoring(workers, detectors, combinations, progress).score(folders)
    outcomes = [(each.silences, each.outcome) for each in scored]
    cutoffs, pauses = pauses_of(outcomes)
    latencies = latencies_of(outcomes)
    points = tuple(
        TunePoint(number, each.changes, int(cutoffs[number]), int(pauses[number]), float(latencies[number]))
        for number, each in enumerate(combinations)
    )
    return TuneResult(tuple(scored), tuple(combinations), points)
