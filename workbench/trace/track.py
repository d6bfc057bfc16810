"""A track: a continuous recording of the microphone, of the user, or of the agent; live, its last seconds in a ring."""

from __future__ import annotations

import threading
from typing import Protocol

import numpy as np

from workbench.model.audio import Samples, level_db, peak_db, silence
from workbench.model.events import Levels, TrackName


class Track(Protocol):
    """What readers need of a track, live or recorded."""

    @property
    def rate(self) -> int:
        """Hz."""

    @property
    def start(self) -> int:
        """Position of the oldest sample that is there."""

    @property
    def end(self) -> int:
        """Position after the last sample that is there."""

    def read(self, start: int, stop: int) -> Samples:
        """Return a copy of the samples from `start` to `stop`, silence where there is none; shape (stop − start,)."""


class LiveTrack:
    """The last `keep_s` seconds of a track at `rate` Hz. Written by one thread, read by any.

    A stretch that is no longer (or not yet) there reads as silence; `start` and `end` bound what is there.
    """

    def __init__(self, track: TrackName, rate: int, keep_s: float = 12.0) -> None:
        self.track = track
        self.rate = rate
        self._ring = silence(int(rate * keep_s))
        self._lock = threading.Lock()
        self.end = 0
        """Position after the last sample written."""

    @property
    def start(self) -> int:
        """Position of the oldest sample that is still kept."""
        return max(0, self.end - len(self._ring))

    def append(self, samples: Samples) -> None:
        """Write the next samples of the track."""
        size, count = len(self._ring), len(samples)
        with self._lock:
            at = self.end % size
            if count <= size - at:  # nearly always
                self._ring[at : at + count] = samples
                self.end += count
                return
            tail = samples[-size:]
            at = (self.end + len(samples) - len(tail)) % size
            head = min(len(tail), size - at)
            self._ring[at : at + head] = tail[:head]
            self._ring[: len(tail) - head] = tail[head:]
            self.end += len(samples)

    def read(self, start: int, stop: int) -> Samples:
        """Return a copy of the samples from `start` up to `stop`, shape (stop − start,)."""
        out = silence(max(0, stop - start))
        size = len(self._ring)
        with self._lock:
            first, last = max(start, self.start), min(stop, self.end)
            if first < last:
                at = np.arange(first, last) % size if (first % size) + (last - first) > size else None
                part = (
                    self._ring[first % size : first % size + last - first] if at is None else self._ring[at]
                )
                out[first - start : last - start] = part
        return out


class LevelMeter:
    """Measures the level of a track, ten times a second."""

    def __init__(self, track: LiveTrack) -> None:
        self._track = track
        self._parts: list[Samples] = []

    def measure(self, samples: Samples) -> Levels | None:
        """Take samples that were just appended, and return the level once another 100 ms are over."""
        self._parts.append(samples)
        end, step = self._track.end, self._track.rate // 10
        if end // step == (end - len(samples)) // step:
            return None
        recent = np.concatenate(self._parts)
        self._parts.clear()
        return Levels(self._track.track, end, round(level_db(recent), 1), round(peak_db(recent), 1))
