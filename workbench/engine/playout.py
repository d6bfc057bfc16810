"""Playout: what the sink plays, sample by sample.

The sink pulls from its own thread, so everything here is guarded by one lock that is held for microseconds. A reply
that is buffered plays on even while the loop is busy.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from math import ceil

import numpy as np
from numpy.typing import NDArray

from workbench.engine.acoustics import HeardLatency
from workbench.engine.buffer import ReplyAudio
from workbench.engine.settings import BargeInSettings
from workbench.model.audio import OUTPUT_RATE, Samples, silence
from workbench.trace.trace import Trace
from workbench.trace.track import LevelMeter, LiveTrack


class Playout:
    """The track `agent`: the sound of the current reply with its fades, silence otherwise.

    Each sample of a reply is played once, in order, times the gain of its moment: 1, or on a ramp of `fade_ms` between
    1 and 0, both excluded. So a reply that is held goes on from the very sample after the last one that sounded.
    """

    def __init__(
        self,
        trace: Trace,
        track: LiveTrack,
        settings: BargeInSettings,
        heard_latency: HeardLatency | None = None,
    ) -> None:
        self._trace = trace
        self._track = track
        self._settings = settings
        self._heard_latency = heard_latency
        self._lock = threading.Lock()
        self._audio: ReplyAudio | None = None
        self._held = False
        self._gain = 1.0
        """Of the last sample of the current reply; 0 while it is silent because it is held."""
        self._tail: Samples = silence(0)
        """The end of a reply that was taken off, fading out."""
        self._quiet_since = 0
        self._meter = LevelMeter(track)
        self._started: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()

    @property
    def position(self) -> int:
        """Samples of `agent` handed to the sink so far."""
        return self._track.end

    def sounding(self, tail_ms: float) -> bool:
        """Whether a reply is on the sink, or was until less than `tail_ms` ago."""
        return self._quiet_since < 0 or (
            self._quiet_since > 0 and (self.position - self._quiet_since) * 1000 / OUTPUT_RATE < tail_ms
        )

    @property
    def quiet_ms(self) -> float:
        """Time since a reply was last on the sink, ms."""
        return 0.0 if self._quiet_since < 0 else (self.position - self._quiet_since) * 1000 / OUTPUT_RATE

    def begin(self, audio: ReplyAudio, started: Callable[[], None]) -> None:
        """Play this from the next pull on; `started` is called on the loop once an audible sample of it was pulled."""
        with self._lock:
            self._audio, self._started = audio, started
            self._gain = 0.0 if self._held else 1.0

    def end(self, audio: ReplyAudio) -> None:
        """Take the reply off the sink, if it is still on it: faded out, if it was sounding."""
        with self._lock:
            if self._audio is audio:
                if audio.played and len(faded := self._faded(audio, self._ramp(), self.position)):
                    self._tail = faded
                    audio.ended_at = self.position + len(faded)
                self._audio = None

    def hold(self) -> int:
        """Fade out and hold; return the position on `agent` from which the sound fades."""
        with self._lock:
            self._held = True
            if self._audio is None or not self._audio.played:
                self._gain = 0.0
            return self.position

    def release(self) -> int:
        """Go on from the very sample after the faded ones; return the position on `agent`."""
        with self._lock:
            self._held = False
            if self._audio is None or not self._audio.played:
                self._gain = 1.0
            return self.position

    def pull(self, count: int) -> Samples:
        """Return the next `count` samples of `agent`. Called by the sink, from any thread; never blocks."""
        out, started = silence(count), None
        with self._lock:
            at = min(len(self._tail), count)
            if at:
                out[:at], self._tail = self._tail[:at], self._tail[at:]
            if (audio := self._audio) is not None and at < count:
                begun = audio.audible
                at += self._fill(audio, out, at)
                if not begun and audio.audible:
                    started = self._started
            if at:
                self._quiet_since = -1
            elif self._quiet_since < 0:
                self._quiet_since = self.position
            self._track.append(out)
        if started is not None:
            self._loop.call_soon_threadsafe(started)
        if (levels := self._meter.measure(out)) is not None:
            entry = self._trace.emit(levels)
            if self._heard_latency is not None:
                self._loop.call_soon_threadsafe(self._heard_latency.played, levels.upto_sample, entry.t_ms)
        return out

    def _fill(self, audio: ReplyAudio, out: Samples, at: int) -> int:
        """Put the reply into `out` from `at` on, and return how many samples there were."""
        room, first = len(out) - at, self.position + at
        if self._held:
            part = self._faded(audio, min(room, self._ramp()), first)
        else:
            part = self._risen(audio.take(room, first))
        if len(part):
            audio.ended_at = first + len(part)
            out[at : at + len(part)] = part
        return len(part)

    @property
    def _step(self) -> float:
        """By how much the gain changes from sample to sample in a fade."""
        return 1.0 / (int(self._settings.fade_ms * OUTPUT_RATE / 1000) + 1)

    def _ramp(self) -> int:
        """Return the number of samples from the present gain down to 0."""
        return max(0, ceil(self._gain / self._step - 1e-6) - 1)

    def _faded(self, audio: ReplyAudio, count: int, at: int) -> Samples:
        """Take samples of the reply, up to `count` on the ramp that leads to 0, for position `at` on `agent`."""
        part = audio.take(count, at) if count else silence(0)
        gains = self._gain - self._step * np.arange(1, len(part) + 1)
        complete = len(part) < count or count == self._ramp()
        self._gain = 0.0 if complete else float(gains[-1])
        return _times(part, gains)

    def _risen(self, part: Samples) -> Samples:
        """Put samples of the reply on the ramp that leads to 1, unless that is reached."""
        if self._gain >= 1.0 or not len(part):
            return part
        gains = np.minimum(1.0, self._gain + self._step * np.arange(1, len(part) + 1))
        self._gain = float(gains[-1])
        return _times(part, gains)


def _times(part: Samples, gains: NDArray[np.floating]) -> Samples:
    return np.asarray(part * gains, dtype=np.int16)
