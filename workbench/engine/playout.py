"""What is on the sink, sample by sample.

The sink pulls from its own thread, so everything here is guarded by one lock that is held for microseconds. A reply
that is buffered plays on even while the loop is busy.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

import numpy as np

from workbench.model.audio import OUTPUT_RATE, SILENCE_DB, Samples, level_db, silence
from workbench.model.events import Levels
from workbench.trace.bus import Trace
from workbench.trace.tape import Tape

LEVEL_SAMPLES = OUTPUT_RATE // 10
"""Samples between two `Levels` events: 10 Hz."""


class ReplyAudio:
    """The sound of one reply (24 kHz) on its way from the TTS to the sink, at most about `buffer_s` ahead."""

    def __init__(self, buffer_s: float) -> None:
        self._limit = int(buffer_s * OUTPUT_RATE)
        self._parts: deque[Samples] = deque()
        self._buffered = 0
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self.played = 0
        """Samples handed to the sink."""
        self.finished = False
        """No more sound will be made."""
        self.began_at: int | None = None
        """Position on `agent` of the first sample."""
        self.ready_at: float | None = None
        """Loop time at which the first samples were there, s."""
        self.missing = 0
        """Samples of silence that were played because the next sound was not made yet."""

    @property
    def empty(self) -> bool:
        """Nothing is buffered."""
        return self._buffered == 0

    async def put(self, samples: Samples) -> None:
        """Append sound; waits while enough is buffered."""
        if not len(samples):
            return
        while self._buffered >= self._limit:
            self._changed.clear()
            await self._changed.wait()
        with self._lock:
            self._parts.append(samples)
            self._buffered += len(samples)
        if self.ready_at is None:
            self.ready_at = self._loop.time()
        self._changed.set()

    def finish(self) -> None:
        """All has been made."""
        self.finished = True
        self._changed.set()

    async def ready(self) -> None:
        """Wait until there is something to play, or nothing will ever be."""
        while not self._buffered and not self.finished and not self.played:
            self._changed.clear()
            await self._changed.wait()

    async def drained(self) -> None:
        """Wait until everything was handed to the sink."""
        while not (self.finished and self.empty):
            self._changed.clear()
            await self._changed.wait()

    def take(self, count: int) -> Samples:
        """Up to `count` samples; called by the sink."""
        with self._lock:
            taken: list[Samples] = []
            left = count
            while left and self._parts:
                part = self._parts[0]
                if len(part) <= left:
                    taken.append(self._parts.popleft())
                else:
                    taken.append(part[:left])
                    self._parts[0] = part[left:]
                left -= len(taken[-1])
            was, self._buffered = self._buffered, self._buffered - (count - left)
            self.played += count - left
        if was and (was >= self._limit > self._buffered or not self._buffered):
            self._loop.call_soon_threadsafe(self._changed.set)
        return taken[0] if len(taken) == 1 else np.concatenate(taken) if taken else silence(0)


class Playout:
    """The track `agent`: the sound of the current reply with its fades, silence otherwise."""

    def __init__(self, trace: Trace, tape: Tape, fade_ms: Callable[[], float]) -> None:
        self._trace = trace
        self._tape = tape
        self._fade_ms = fade_ms
        self._lock = threading.Lock()
        self._audio: ReplyAudio | None = None
        self._tail: Samples = silence(0)
        self._held = False
        self._fade_in = 0
        self._quiet_since = 0
        self._level_parts: list[Samples] = []
        self._started: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()

    @property
    def position(self) -> int:
        """Samples of `agent` handed to the sink so far."""
        return self._tape.end

    @property
    def held(self) -> bool:
        """Paused: nothing of a reply is handed out."""
        return self._held

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
        """Play this from the next pull on; `started` is called on the loop when its first sample was pulled."""
        with self._lock:
            self._audio, self._started, self._fade_in = audio, started, 0

    def end(self, audio: ReplyAudio) -> None:
        """Take the reply off the sink, if it is still on it: faded out, if it was sounding."""
        with self._lock:
            if self._audio is audio:
                if not self._held:
                    self._tail = self._faded()
                self._audio = None

    def hold(self) -> int:
        """Fade out and wait; the position on `agent` from which the sound fades."""
        with self._lock:
            if not self._held:
                self._tail = self._faded()
                self._held = True
            return self.position

    def release(self) -> int:
        """Go on from the very sample after the faded ones; the position on `agent`."""
        with self._lock:
            if self._held:
                self._held = False
                self._fade_in = self._fade_samples() if self._audio and self._audio.played else 0
            return self.position

    def pull(self, count: int) -> Samples:
        """The next `count` samples of `agent`. Called by the sink, from any thread; never blocks."""
        out = silence(count)
        with self._lock:
            at = min(len(self._tail), count)
            if at:
                out[:at], self._tail = self._tail[:at], self._tail[at:]
            if self._audio is not None and not self._held and at < count:
                at += self._fill(self._audio, out, at)
            if at:
                self._quiet_since = -1
            elif self._quiet_since < 0:
                self._quiet_since = self.position
            self._tape.append(out)
        self._levels(out)
        return out

    def _fill(self, audio: ReplyAudio, out: Samples, at: int) -> int:
        part = audio.take(len(out) - at)
        if audio.began_at is None and len(part):
            audio.began_at = self.position + at
            self._loop.call_soon_threadsafe(self._started)
        if audio.played and not audio.finished:
            audio.missing += len(out) - at - len(part)
        if self._fade_in and len(part):
            total = self._fade_samples()
            ramp = np.minimum(1.0, (total - self._fade_in + np.arange(1, len(part) + 1)) / total)
            part = (part * ramp).astype(np.int16)
            self._fade_in = max(0, self._fade_in - len(part))
        out[at : at + len(part)] = part
        return len(part)

    def _faded(self) -> Samples:
        """The next samples of the reply, falling to nothing."""
        if self._audio is None or not self._audio.played:
            return self._tail
        part = self._audio.take(self._fade_samples())
        ramp = 1.0 - np.arange(1, len(part) + 1) / max(1, len(part))
        return (part * ramp).astype(np.int16)

    def _fade_samples(self) -> int:
        return int(self._fade_ms() * OUTPUT_RATE / 1000)

    def _levels(self, out: Samples) -> None:
        self._level_parts.append(out)
        end = self.position
        if end // LEVEL_SAMPLES > (end - len(out)) // LEVEL_SAMPLES:
            recent = np.concatenate(self._level_parts)
            self._level_parts.clear()
            peak = int(np.abs(recent.astype(np.int32)).max(initial=0))
            peak_db = 20 * float(np.log10(peak / 32768)) if peak else SILENCE_DB
            self._trace.emit(Levels("agent", end, round(level_db(recent), 1), round(peak_db, 1)))
