"""The speaker as a sink."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from workbench.engine.interfaces import Pull, Sink
from workbench.model.audio import OUTPUT_RATE, Samples, silence
from workbench.model.errors import WorkbenchError
from workbench.model.events import Glitch
from workbench.trace.trace import Trace
from workbench.transports.clockfit import MappingLog, TrackClock
from workbench.transports.local.device_stream import DeviceStream
from workbench.transports.resample import Resampler, to_samples, to_wave

BLOCK = OUTPUT_RATE // 100
"""Samples pulled at a time: 10 ms."""
LOOK_S = 1.0
"""How often the device is looked at, s."""
ABSURD_S = 5.0
"""No device's buffer is longer, s."""

Played = Callable[[Samples, int], None]
"""Is told what goes to the speaker: samples of `agent` and the position of the first. Called in the device's thread."""


class Speaker(Sink):
    """A sound device as a sink, by name, index or default; whatever its rate, the track is pulled at 24 kHz.

    Entering raises MissingError (no PortAudio, no such device, no usable rate) or UsageError (a name of several).
    A lost device is opened again if it comes back within 5 s; otherwise `play` raises MissingError.
    """

    def __init__(self, wanted: str | int | None, trace: Trace) -> None:
        self.clock = TrackClock(OUTPUT_RATE)
        """When which sample leaves the speaker, on the loop's clock."""
        self._trace = trace
        self._line = DeviceStream("output", wanted, trace)
        self.name = self._line.name
        self._log: MappingLog | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pull: Pull = silence
        self.on_played: Played | None = None
        self._position = 0
        self._over = asyncio.Event()
        self._failure: WorkbenchError | None = None

    async def __aenter__(self) -> Self:
        self._loop = loop = asyncio.get_running_loop()
        self._log = MappingLog(self._trace, "agent", self.clock, loop.time() - self._trace.now() / 1000)
        await self._line.opened()
        self.name = self._line.name
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._line.close()

    async def play(self, pull: Pull) -> None:
        """Play what `pull` gives, through silence too, until cancelled. MissingError when the device is gone."""
        self._pull = pull
        self._line.start(self._serve, self._fail)
        try:
            while self._failure is None:
                self._line.look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._over.wait()
            raise self._failure
        finally:
            self._line.stopping.set()

    def time_of(self, sample: int) -> float:
        """When that sample leaves (left, will leave) the speaker, on the loop's clock, s."""
        return self.clock.time_of(sample)

    # --- in the device's thread --------------------------------------------------------------------------------------

    def _serve(self, stream: Any) -> None:
        line = self._line
        resampler = Resampler(OUTPUT_RATE, line.rate, live=True)
        per_sample = OUTPUT_RATE / line.rate
        begin, written, head = self._position, 0, 0
        room = self._begin(stream)
        ready = np.zeros(0, np.float32)
        now = time.monotonic()
        while not line.stopping.is_set():
            while len(ready) < line.block:
                ready = np.concatenate((ready, resampler(to_wave(self._next()))))
            block = to_samples(ready[: line.block])
            ready = ready[line.block :]
            stream.write(np.repeat(block, line.channels).tobytes())
            free, before, now = stream.write_available, now, time.monotonic()
            if now - before > room / line.rate:
                self._ran_dry(begin + written * per_sample, now + line.beyond_s)
            written += line.block
            if written + free - room > head:
                head = written + free - room
                line.moved()
                self._observed(begin + head * per_sample, now + line.beyond_s)

    def _begin(self, stream: Any) -> int:
        """The length of the device's buffer in its samples: all of it is free before the first write."""
        room = int(stream.write_available)
        rate = self._line.rate
        self.clock.estimated = not 0 < room < ABSURD_S * rate
        if self.clock.estimated:
            room = round(stream.latency * rate)
        self.clock.restart(self._position, time.monotonic() + room / rate + self._line.beyond_s)
        return room

    def _next(self) -> Samples:
        samples = self._pull(BLOCK)
        if self.on_played is not None:
            self.on_played(samples, self._position)
        self._position += len(samples)
        return samples

    def _observed(self, position: float, at: float) -> None:
        """Tell the clock. Silence that the device put in is no part of the track: what follows is heard later."""
        step = self.clock.observe(position, at)
        if step:
            self._trace.emit(Glitch("agent", int(position), -round(step * OUTPUT_RATE)))
        if self._log is not None and position % (10 * BLOCK) < BLOCK:
            self._log.tell(int(position))

    def _ran_dry(self, position: float, now: float) -> None:
        """We were away for longer than the buffer lasts: what was written last is heard now, after a silence.

        The clock would find out by itself, but only when the step has lasted for a while.
        """
        late = now - self.clock.time_of(position)
        if late > 0:
            self._trace.emit(Glitch("agent", int(position), -round(late * OUTPUT_RATE)))
            self.clock.restart(int(position), now)

    def _fail(self, error: WorkbenchError) -> None:
        self._failure = error
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed under us
                self._loop.call_soon_threadsafe(self._over.set)
