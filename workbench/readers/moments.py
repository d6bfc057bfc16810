"""When each turn was, and where that is on the tracks: what a recording needs to be played turn by turn."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from workbench.model.events import (
    ClockMapped,
    Entry,
    Heard,
    ReplyEnded,
    ReplyPlaying,
    SpeechStarted,
    TrackName,
    TurnDecided,
    TurnEnded,
)

KEPT = 1000
"""Moments that a fold keeps by default, as a timeline does turns."""
AROUND_MS = 150.0
"""Sound before and after a turn that belongs to hearing it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of the session's clock, ms. `zero_ms` is what the turn's `lanes_ms` count from."""

    start_ms: float
    end_ms: float
    zero_ms: float


class MomentsFold:
    """Feed it every entry in order; `of` gives the moment of a turn that has ended; the last `keep` (None: all)."""

    def __init__(self, rates: Mapping[TrackName, int], *, keep: int | None = KEPT) -> None:
        self._rates = rates
        self._keep = keep
        self._maps: defaultdict[TrackName, list[ClockMapped]] = defaultdict(list)
        self._onsets: dict[int, float] = {}
        self._started: dict[int, float] = {}
        self._zeros: dict[int, float] = {}
        self._replied: dict[int, float] = {}
        self._moments: dict[int, Moment] = {}

    def of(self, turn: int) -> Moment | None:
        """From the user's first to the agent's last sound in it."""
        return self._moments.get(turn)

    def feed(self, entry: Entry) -> None:
        """Take one entry in."""
        match entry.event:
            case ClockMapped(track=track) as mapped:
                self._maps[track].append(mapped)
            case SpeechStarted(utterance=utterance, at_sample=sample):
                self._onsets[utterance] = self._ms("user", sample)
            case TurnDecided(turn=turn, utterance=utterance):
                self._started[turn] = self._onsets.pop(utterance, entry.t_ms)
                self._zeros[turn] = entry.t_ms
            case Heard(turn=turn, user_end_ms=ms) if ms is not None:
                self._zeros[turn] = ms
            case ReplyPlaying(turn=int(turn)):
                self._replied[turn] = entry.t_ms
            case ReplyEnded(turn=int(turn), end_sample=sample):
                self._replied[turn] = entry.t_ms if sample is None else self._ms("agent", sample)
            case TurnEnded(turn=turn):
                self._over(turn, entry.t_ms)
            case _:
                pass

    def _over(self, turn: int, now_ms: float) -> None:
        start = self._started.pop(turn, now_ms)
        end = max(start, self._replied.pop(turn, now_ms))
        zero = self._zeros.pop(turn, start)
        self._moments[turn] = Moment(max(0.0, start - AROUND_MS), end + AROUND_MS, zero)
        if self._keep is not None and len(self._moments) > self._keep:
            del self._moments[next(iter(self._moments))]

    def sample(self, track: TrackName, ms: float) -> int:
        """The position on the track at that time of the session's clock; below 0 before its first sample."""
        maps = self._maps[track]
        at = bisect_right(maps, ms, key=lambda mapped: mapped.at_ms) - 1
        if not maps:
            return round(ms * self._rates.get(track, 16_000) / 1000)
        near = maps[max(0, at)]
        return near.sample + round((ms - near.at_ms) * near.rate / 1000)

    def _ms(self, track: TrackName, sample: int) -> float:
        if not self._maps[track]:
            return sample * 1000 / self._rates.get(track, 16_000)
        near = self._maps[track][-1]
        return near.at_ms + (sample - near.sample) * 1000 / near.rate
