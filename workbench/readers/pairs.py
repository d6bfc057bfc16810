"""Two sessions turn by turn: which turns belong together, and how sure a difference of heard latency is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

import numpy as np

from workbench.model.audio import INPUT_RATE
from workbench.model.events import Entry, ReplyPlaying, SpeechStarted, TurnDecided
from workbench.readers.latency import LatencySummary, kind_of, percentile
from workbench.readers.timeline import Timeline, Turn

RESAMPLES = 2_000
"""Of the bootstrap: the ends of a 95 % interval move by about 2 % of its width between seeds."""
FEWEST = 5
"""Differences below which an interval would claim more than they say."""
GOES_ON_SAMPLES = INPUT_RATE * 3 // 2
"""A user who speaks again within 1.5 s of the end of a turn had not finished."""


@dataclass(frozen=True, slots=True)
class TurnPair:
    """The same moment in two sessions; None where only one of them has it."""

    a: Turn | None
    b: Turn | None

    @property
    def difference_ms(self) -> float | None:
        """How much later the answer of b was heard, ms; None unless both turns compare."""
        if self.a is None or self.b is None or {kind_of(self.a), kind_of(self.b)} != {"done"}:
            return None
        assert self.a.heard_latency_ms is not None
        assert self.b.heard_latency_ms is not None
        return self.b.heard_latency_ms - self.a.heard_latency_ms


def pair_turns(a: Sequence[Turn], b: Sequence[Turn]) -> Iterator[TurnPair]:
    """Yield the turns of both in order: those with the same words belong together, others by their place between."""
    said = [[" ".join(turn.user_text.casefold().split()) for turn in turns] for turns in (a, b)]
    for _, a0, a1, b0, b1 in SequenceMatcher(None, said[0], said[1], autojunk=False).get_opcodes():
        for pair in zip_longest(a[a0:a1], b[b0:b1]):
            yield TurnPair(*pair)


def words_changed(a: str, b: str) -> list[tuple[str, str]]:
    """Return what stands in a and what in b, piece by piece; equal pieces are the same text twice."""
    before, after = a.split(), b.split()
    codes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [(" ".join(before[a0:a1]), " ".join(after[b0:b1])) for _, a0, a1, b0, b1 in codes]


@dataclass(frozen=True, slots=True)
class DifferenceEstimate:
    """A percentile of paired differences, ms, and its 95 % interval; no interval of fewer than five."""

    ms: float
    low_ms: float | None = None
    high_ms: float | None = None


def estimate(differences_ms: Sequence[float], percent: float) -> DifferenceEstimate | None:
    """Return the percentile with its interval by the percentile bootstrap (Efron 1979); None of nothing."""
    value = percentile(differences_ms, percent)
    if value is None:
        return None
    if len(differences_ms) < FEWEST:
        return DifferenceEstimate(round(value, 1))
    values = np.array(differences_ms)
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(np.percentile(values[drawn], percent, axis=1), (2.5, 97.5))
    return DifferenceEstimate(round(value, 1), round(float(low), 1), round(float(high), 1))


class SessionFigures:
    """The turns of one session, and the figures that a gate may ask for."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        timeline, cutoffs = Timeline(keep=None), CutoffFold()
        for entry in entries:
            timeline.feed(entry)
            cutoffs.feed(entry)
        self.turns: list[Turn] = [*timeline.turns]
        self.latency = LatencySummary(self.turns)
        self._cutoffs = cutoffs

    def figures(self) -> dict[str, float | None]:
        """Return each figure by name: counts, ms, and the cost; None where it is not known."""
        summary: dict[str, float | None] = self.latency.to_json()["summary"]
        costs = [turn.usage.get("cost") for turn in self.turns]
        known = [cost for cost in costs if cost is not None]
        return {
            **summary,
            "cutoffs": self._cutoffs.count,
            "discarded": sum(turn.discarded_replies for turn in self.turns),
            "cost": sum(known) if len(known) == len(costs) else None,
        }


class CutoffFold:
    """Counts the turns whose answer was heard though the user had not finished: a false cutoff."""

    def __init__(self) -> None:
        self.count = 0
        self._onsets: dict[int, int] = {}
        self._last: tuple[int, int] | None = None
        """The turn before, and where its speech ended."""
        self._audible: int | None = None

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        match entry.event:
            case SpeechStarted(utterance=utterance, at_sample=sample):
                self._onsets[utterance] = sample
            case ReplyPlaying(turn=turn):
                self._audible = turn
            case TurnDecided(turn=turn, utterance=utterance, end_sample=int(end)):
                onset = self._onsets.pop(utterance, None)
                if onset is not None and self._last is not None and self._audible == self._last[0]:
                    self.count += onset - self._last[1] < GOES_ON_SAMPLES
                self._last = turn, end


def paired(a: SessionFigures, b: SessionFigures) -> dict[str, Any]:
    """Return the p50 and p95 of the differences of heard latency, ms, with intervals; `n` pairs compare."""
    differences = [
        pair.difference_ms for pair in pair_turns(a.turns, b.turns) if pair.difference_ms is not None
    ]
    return {"n": len(differences), "p50": estimate(differences, 50), "p95": estimate(differences, 95)}
