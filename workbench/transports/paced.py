"""Sources and sinks that run by the loop's clock, 20 ms at a time: what files, silence, pages and rooms build on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Self

import numpy as np

from workbench.engine.interfaces import Pull, Sink, Source
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Frame, Samples, silence
from workbench.model.events import ClockMapped, DeviceOpened, TrackName
from workbench.trace.trace import Trace

FRAME = INPUT_RATE // 50
"""Samples in a frame of 20 ms."""
BLOCK = OUTPUT_RATE // 50
"""Samples that a paced sink pulls at a time: 20 ms."""
YIELD_EVERY = 12 * FRAME
"""Samples between which others get their turn, where nothing is waited for."""
DOZE_AFTER = OUTPUT_RATE // 5
"""Samples of silence after which it dozes: 200 ms."""
DOZE_S = 0.1
"""How far the track may lag behind the clock while it dozes, s."""


def log_mapping(trace: Trace, track: TrackName, rate: int, sample: int = 0) -> None:
    """Log that this sample of `track` is now."""
    trace.emit(ClockMapped(track, sample, round(trace.now(), 3), float(rate)))


class PacedSource(Source):
    """A source whose sound is there before it is due.

    With `realtime` a frame comes when its last sample would have been spoken, by a schedule that does not drift; a loop
    that was late gets what is due at once. Without, as fast as frames are taken, for measuring.
    """

    def __init__(self, trace: Trace, name: str, *, realtime: bool = True) -> None:
        self.name = name
        self.realtime = realtime
        self._trace = trace
        self._start = 0.0

    def blocks(self) -> Iterator[Samples]:
        """Yield the sound at 16 kHz in blocks of any length."""
        raise NotImplementedError

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield frames of 20 ms; the last one is filled up with silence."""
        loop = asyncio.get_running_loop()
        self._start = loop.time()
        log_mapping(self._trace, "user", INPUT_RATE)
        position = 0
        for samples in self._frames():
            if self.realtime:
                await asyncio.sleep(max(0.0, self.time_of(position + FRAME) - loop.time()))
            yield Frame(samples, INPUT_RATE, position)
            position += FRAME
            if not self.realtime and position % YIELD_EVERY == 0:
                self._start = loop.time() - position / INPUT_RATE
                await asyncio.sleep(0)

    def time_of(self, sample: int) -> float:
        """Return when that sample is spoken, s; not in real time: as if what is read ended now."""
        return self._start + sample / INPUT_RATE

    def _frames(self) -> Iterator[Samples]:
        rest = silence(0)
        for block in self.blocks():
            rest = np.concatenate((rest, block)) if len(rest) else block
            end = len(rest) // FRAME * FRAME
            yield from rest[:end].reshape(-1, FRAME)
            rest = rest[end:]
        if len(rest):
            yield np.concatenate((rest, silence(FRAME - len(rest))))


class PacedSink(Sink):
    """A sink that pulls at real time, from position `start` of the track on, and by itself plays to nobody.

    While something plays it pulls 20 ms when their first sample is due. Through silence it dozes, and pulls the silence
    that has passed every 100 ms; `wake` pulls what has passed up to now, to the sample, and the block after it is
    pulled as soon as the loop runs. So call `wake` before the first sample of a reply can be pulled: then it never
    waits for a grid, and is never taken for a part of the past.
    """

    def __init__(self, trace: Trace, start: int = 0, name: str = "none") -> None:
        self.name = name
        self._trace = trace
        self._pull: Pull = silence
        self._start = 0.0
        self._position = start
        self._quiet = 0
        self._dozing = False
        self._woken = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._trace.emit(DeviceOpened("agent", self.name, OUTPUT_RATE, 0.0))
        return self

    async def play(self, pull: Pull) -> None:
        """Pull until cancelled; the first position is now."""
        self._pull = pull
        self._begin(self._position)
        while True:
            await self._step()

    def wake(self) -> None:
        """Pull the silence up to now, and go on from here: something will be played."""
        self._quiet = 0
        if self._dozing:
            self._dozing = False
            self._catch_up()
            self._quiet = 0
            self._woken.set()

    def due(self, sample: int) -> float:
        """Return when that sample is pulled, on the loop's clock, s."""
        return self._start + sample / OUTPUT_RATE

    def time_of(self, sample: int) -> float:
        """Return when that sample is played: when it is pulled."""
        return self.due(sample)

    def deliver(self, samples: Samples) -> None:
        """Take what was pulled: for sinks that do something with it."""

    def _begin(self, position: int) -> None:
        """Let `position` be due now."""
        self._start = asyncio.get_running_loop().time() - position / OUTPUT_RATE
        log_mapping(self._trace, "agent", OUTPUT_RATE, position)

    async def _step(self) -> None:
        if self._quiet >= DOZE_AFTER:
            await self._doze()
        else:
            await asyncio.sleep(max(0.0, self.due(self._position) - asyncio.get_running_loop().time()))
            self._take(BLOCK)

    async def _doze(self) -> None:
        self._dozing = True
        self._woken.clear()
        try:
            await self._nap(DOZE_S)
        finally:
            self._dozing = False

    async def _nap(self, seconds: float) -> None:
        """Wait so long or until woken, then pull the silence that has passed."""
        over = asyncio.get_running_loop().call_later(seconds, self._woken.set)  # half of what a timeout costs
        try:
            await self._woken.wait()
        finally:
            over.cancel()
        if self._dozing:
            self._catch_up()

    def _catch_up(self) -> None:
        """Pull what has passed, to the sample; the tiny sum makes up for the rounding of the clock's floats."""
        late_s = asyncio.get_running_loop().time() - self.due(self._position)
        if (passed := int(late_s * OUTPUT_RATE + 1e-3)) > 0:
            self._take(passed)

    def _take(self, count: int) -> Samples:
        samples = self._pull(count)
        self._position += count
        self._quiet = 0 if samples.any() else self._quiet + count
        self.deliver(samples)
        return samples
