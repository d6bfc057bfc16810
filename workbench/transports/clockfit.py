"""When a sample of a track was at the device: a running fit of (position, time) that forgives late observations.

Whoever serves a device learns again and again that the device was at position p when the clock said t. Such a look
comes late (a thread waited for the processor, a server moves sound in blocks of 10 ms), never early. So the truth is
the lower edge of the observations; its slope is the device's own rate, and where the edge steps, sound was lost or put
in.
"""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

import numpy as np

from workbench.model.events import ClockMapped, TrackName
from workbench.trace.trace import Trace

BUCKET_S = 0.25
"""Of the observations within this time, s, only the earliest counts."""
WINDOW = 40
"""Buckets that the fit looks back: 10 s."""
SLOPE_FROM = 20
"""Buckets before the rate is fitted; until then the device is believed to run at its nominal rate."""
MAX_DRIFT = 0.005
"""No device is further off its nominal rate: a crystal is off by 0.0001, a virtual card by 0.002."""
STEP_S = 0.008
"""A step of the edge from which sound counts as lost or put in, s: sound servers wander by up to 4 ms."""
STEP_BUCKETS = 3
"""Buckets for which the edge must stay there: longer than any catching up after a stall."""
FREEZE_S = 30.0
"""What is known of samples so old no longer changes, s: a new rate must not move them."""
MOST_SEGMENTS = 100
"""Segments remembered."""
LOG_S = 1.0
"""The mapping is logged so often, s, …"""
LOG_CHANGE_S = 0.001
"""… and when it changed by more, s."""


@dataclass(frozen=True, slots=True)
class ClockSegment:
    """From sample `start` on, sample s is at `origin + s · period`, seconds."""

    start: int
    origin: float
    period: float

    def time_of(self, sample: float) -> float:
        """When that sample is at the device, s."""
        return self.origin + sample * self.period


class TrackClock:
    """The mapping of one track, written by the thread that serves the device, read by any."""

    def __init__(self, rate: int) -> None:
        self.nominal = rate
        self.estimated = False
        """To be set where the device gives no time of its own."""
        self._segments: tuple[ClockSegment, ...] = ()
        self._edge: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._strayed: list[tuple[float, float]] = []
        self._bucket = (0.0, math.inf)
        self._bucket_ends = -math.inf

    @property
    def known(self) -> bool:
        """Whether anything was observed yet."""
        return bool(self._segments)

    @property
    def rate(self) -> float:
        """The track's measured rate, samples a second of the clock."""
        return 1 / self._segments[-1].period if self._segments else float(self.nominal)

    def time_of(self, sample: float) -> float:
        """When that sample was (is, will be) at the device, s; 0.0 as long as nothing is known."""
        segments = self._segments
        if not segments:
            return 0.0
        at = bisect_right(segments, sample, key=lambda segment: segment.start) - 1
        return segments[max(0, at)].time_of(sample)

    def sample_at(self, time: float) -> float:
        """The position at the device at that time, with its fraction of a sample; 0.0 as long as nothing is known."""
        sample = 0.0
        for segment in reversed(self._segments):
            sample = (time - segment.origin) / segment.period
            if sample >= segment.start:
                break
        return sample

    def restart(self, position: int, time: float) -> None:
        """The device was opened (again), and `position` is at it at about `time`: what it did before does not count."""
        self._edge.clear()
        self._strayed.clear()
        self._bucket_ends = -math.inf
        self._begin(position, time - position / self.nominal, 1 / self.nominal)

    def observe(self, position: float, time: float) -> float:
        """The device came to `position` at `time` or before.

        Returns by how much, s, the edge was found to have stepped: > 0 where the device fell behind the clock (a
        microphone lost sound, a speaker put silence in), < 0 where it jumped ahead; nearly always 0.0.
        """
        late = time - position / self.nominal
        step = 0.0
        if time >= self._bucket_ends:
            if self._bucket_ends > -math.inf:
                step = self._close_bucket(*self._bucket)
            self._bucket, self._bucket_ends = (position, late), time + BUCKET_S
        elif late < self._bucket[1]:
            self._bucket = (position, late)
        if not self._edge and not step:  # the first quarter of a second: better than nothing
            start = self._segments[-1].start if self._segments else 0
            self._begin(start, self._bucket[1], 1 / self.nominal)
        return step

    def _close_bucket(self, position: float, late: float) -> float:
        off = late + position / self.nominal - self._segments[-1].time_of(position)
        if not self._edge or abs(off) < STEP_S:
            self._strayed.clear()
            self._edge.append((position, late))
            self._fit()
            return 0.0
        self._strayed.append((position, late))
        lates = [late for _, late in self._strayed[-STEP_BUCKETS:]]
        if len(lates) < STEP_BUCKETS or max(lates) - min(lates) >= STEP_S:
            return 0.0  # one late look, or still on the move
        start = self._strayed[-STEP_BUCKETS][0]
        before = self.time_of(start)
        self._edge.clear()
        self._edge.extend(self._strayed[-STEP_BUCKETS:])
        self._strayed.clear()
        self._begin(int(start), min(lates), 1 / self.nominal)
        return self.time_of(start) - before

    def _fit(self) -> None:
        points = np.array(self._edge)
        slope = 0.0
        if len(points) >= SLOPE_FROM:
            x, y = (points - points.mean(axis=0)).T
            bound = MAX_DRIFT / self.nominal
            slope = float(np.clip(np.dot(x, y) / np.dot(x, x), -bound, bound))
        origin = float(np.quantile(points[:, 1] - slope * points[:, 0], 0.1))
        start = self._segments[-1].start
        if points[-1, 0] - start > FREEZE_S * self.nominal:
            start = int(points[-1, 0])
        self._begin(start, origin, 1 / self.nominal + slope)

    def _begin(self, start: int, origin: float, period: float) -> None:
        segments = tuple(segment for segment in self._segments if segment.start < start)
        self._segments = (*segments[-MOST_SEGMENTS:], ClockSegment(start, origin, period))


class MappingLog:
    """Logs a track's mapping to the session's clock: every second, and when it changed."""

    def __init__(self, trace: Trace, track: TrackName, clock: TrackClock) -> None:
        self._trace = trace
        self._track: TrackName = track
        self._clock = clock
        self._session_start = 0.0
        """When the session's clock was 0, on the loop's clock, s."""
        self._last: tuple[int, float] | None = None

    def start(self) -> None:
        """Note how the session's clock stands to the loop's; called on the loop."""
        self._session_start = asyncio.get_running_loop().time() - self._trace.now() / 1000

    def log(self, sample: int) -> None:
        """Log that the track has come to `sample`, if that is due; callable from any thread."""
        at = self._clock.time_of(sample)
        if self._last is not None:
            passed = sample - self._last[0]
            change = at - self._last[1] - passed / self._clock.nominal
            if passed < LOG_S * self._clock.nominal and abs(change) < LOG_CHANGE_S:
                return
        self._last = (sample, at)
        at_ms = round((at - self._session_start) * 1000, 3)
        rate = round(self._clock.rate, 3)
        self._trace.emit(ClockMapped(self._track, sample, at_ms, rate, self._clock.estimated))
