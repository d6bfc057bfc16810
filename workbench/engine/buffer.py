"""The sound of one reply on its way from the TTS to the sink."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

import numpy as np

from workbench.model.audio import OUTPUT_RATE, Samples, silence


class ReplyAudio:
    """Buffered sound at 24 kHz, at most about `buffer_s` ahead of what is played.

    Filled on the loop, taken by the sink's thread; neither waits for the other: one lock is held for microseconds.
    """

    def __init__(self, buffer_s: float) -> None:
        self._limit = int(buffer_s * OUTPUT_RATE)
        self._parts: deque[Samples] = deque()
        self._buffered = 0
        self._silent = 0
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self.wake: Callable[[], None] = lambda: None
        """Called when there is sound again; set by the floor."""
        self.played = 0
        """Samples handed to the sink."""
        self.finished = False
        """No more sound will come."""
        self.began_at: int | None = None
        """Position on `agent` of the first sample."""
        self.ended_at: int | None = None
        """Position on `agent` after the last one so far."""
        self.ready_at: float | None = None
        """Loop time at which the first samples were there, s."""
        self.inaudible = 0
        """Samples at its head that are known to be silent."""
        self.held = False
        """Nothing of it may be played."""
        self.underrun = 0
        """Samples of silence that were played within the reply because its next sound was not there yet."""

    @property
    def empty(self) -> bool:
        """Whether nothing is buffered."""
        return self._buffered == 0

    @property
    def audible(self) -> bool:
        """Whether an audible sample was handed to the sink, so that it cannot be taken back."""
        return self.played > self.inaudible

    def hold(self) -> bool:
        """Give the sink nothing; silence that was handed out will come again. False once it is audible."""
        with self._lock:
            if self.audible:
                return False
            if self.played:
                self._parts.appendleft(silence(self.played))
                self._buffered += self.played
            self.played, self._silent, self.began_at, self.held = 0, 0, None, True
            return True

    def release(self) -> None:
        """Let the sink have it."""
        self.held = False

    async def put(self, samples: Samples) -> None:
        """Append sound; wait while enough is buffered."""
        if not len(samples):
            return
        while self._buffered >= self._limit:
            await self._change()
        if self.empty:
            self.wake()
        with self._lock:
            self._parts.append(samples)
            self._buffered += len(samples)
        if self.ready_at is None:
            self.ready_at = self._loop.time()
        self._changed.set()

    def withdraw(self, start: int) -> bool:
        """Take back the sound from sample `start` on; where some of that was played, nothing is, and False returned."""
        with self._lock:
            if self.played > start:
                return False
            kept = np.concatenate(self._parts)[: start - self.played] if self._parts else silence(0)
            self._parts = deque([kept] if len(kept) else [])
            self._buffered = len(kept)
        self._changed.set()
        return True

    def finish(self) -> None:
        """Mark the end: no more sound will come."""
        self.finished = True
        self._changed.set()

    async def ready(self) -> None:
        """Wait until there is something to play, or nothing will ever be."""
        while not self._buffered and not self.finished and not self.played:
            await self._change()

    async def drained(self) -> None:
        """Wait until everything was handed to the sink."""
        while not (self.finished and self.empty):
            await self._change()

    def take(self, count: int, at: int) -> Samples:
        """Return up to `count` samples, the first of which goes to `at` on `agent`; called by the sink."""
        with self._lock:
            if self.held:
                return silence(0)
            parts: list[Samples] = []
            missing = count
            while missing and self._parts:
                part = self._parts[0]
                if len(part) <= missing:
                    parts.append(self._parts.popleft())
                else:
                    parts.append(part[:missing])
                    self._parts[0] = part[missing:]
                missing -= len(parts[-1])
            before, self._buffered = self._buffered, self._buffered - (count - missing)
            self.played += count - missing
            if parts and self.began_at is None:
                self.began_at = at
            if parts:  # silence counts once sound follows: what comes after the last sound is the reply's end
                self.underrun += self._silent
                self._silent = 0
            if self.played:
                self._silent += missing
        if before and (before >= self._limit > self._buffered or not self._buffered):
            self._loop.call_soon_threadsafe(self._changed.set)
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else silence(0)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
