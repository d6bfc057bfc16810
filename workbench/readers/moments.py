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
DEFAULT_RATE = 16_000
"""Hz of a track of which nothing is known."""
LEAST_RATE, GREATEST_RATE = 1_000.0, 400_000.0
"""Hz that a device may have; another one is damage, and would ask for more sound than memory holds."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of the session's clock, ms. `zero_ms` is what the turn's `lanes_ms` count from."""

    start_ms: float
    end_ms: float
    zero_ms: float


class MomentsFold:
    """A fold: `of` gives the moment of a turn that has ended, of the last `keep` (None: all).

    Samples of a track and times of the session's clock are told from each other by the recorded mappings; before the
    first of them the track began with the session, at the rate in `rates`.
    """

    def __init__(self, rates: Mapping[TrackName, int], *, keep: int | None = KEPT) -> None:
        self._rates = rates
        self._keep = keep
        self._mappings: defaultdict[TrackName, list[ClockMapped]] = defaultdict(list)
        self._onsets: dict[int, float] = {}
        self._starts: dict[int, float] = {}
        self._zeros: dict[int, float] = {}
        self._reply_ends: dict[int, float] = {}
        self._moments: dict[int, Moment] = {}

    def of(self, turn: int) -> Moment | None:
        """Return the time from the user's first to the agent's last sound in it."""
        return self._moments.get(turn)

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        match entry.event:
            case ClockMapped(track=track, rate=rate) as mapped if LEAST_RATE <= rate <= GREATEST_RATE:
                self._mappings[track].append(mapped)
            case SpeechStarted(utterance=utterance, at_sample=sample):
                self._onsets[utterance] = self.time_ms("user", sample)
            case TurnDecided(turn=turn, utterance=utterance):
                self._starts[turn] = self._onsets.pop(utterance, entry.t_ms)
                self._zeros[turn] = entry.t_ms
            case Heard(turn=turn, user_end_ms=ms) if ms is not None:
                self._zeros[turn] = ms
            case ReplyPlaying(turn=int(turn)):
                self._reply_ends[turn] = entry.t_ms
            case ReplyEnded(turn=int(turn), end_sample=sample):
                self._reply_ends[turn] = entry.t_ms if sample is None else self.time_ms("agent", sample)
            case TurnEnded(turn=turn):
                self._end(turn, entry.t_ms)
            case _:
                pass

    def _end(self, turn: int, now_ms: float) -> None:
        start = self._starts.pop(turn, now_ms)
        end = max(start, self._reply_ends.pop(turn, now_ms))
        zero = self._zeros.pop(turn, start)
        self._moments[turn] = Moment(max(0.0, start - AROUND_MS), end + AROUND_MS, zero)
        if self._keep is not None and len(self._moments) > self._keep:
            del self._moments[next(iter(self._moments))]

    def time_ms(self, track: TrackName, sample: int) -> float:
        """Return when that sample was at the device, by the mapping before it."""
        if not (mappings := self._mappings[track]):
            return sample * 1000 / self._rates.get(track, DEFAULT_RATE)
        near = mappings[max(0, bisect_right(mappings, sample, key=lambda mapped: mapped.sample) - 1)]
        return near.at_ms + (sample - near.sample) * 1000 / near.rate

    def sample(self, track: TrackName, ms: float) -> int:
        """Return the position on the track at that time of the session's clock; below 0 before its first sample."""
        if not (mappings := self._mappings[track]):
            return round(ms * self._rates.get(track, DEFAULT_RATE) / 1000)
        near = mappings[max(0, bisect_right(mappings, ms, key=lambda mapped: mapped.at_ms) - 1)]
        return near.sample + round((ms - near.at_ms) * near.rate / 1000)
