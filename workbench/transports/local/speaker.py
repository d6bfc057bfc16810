"""The speaker as a sink."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from workbench.engine.interfaces import Pull, Sink
from workbench.model.audio import OUTPUT_RATE, Samples, silence
from workbench.model.events import Glitch
from workbench.trace.trace import Trace
from workbench.transports.clockfit import MappingLog, TrackClock
from workbench.transports.local.device_stream import DeviceStream
from workbench.transports.resample import Resampler, to_samples, to_wave

BLOCK = OUTPUT_RATE // 100
"""Samples pulled at a time: 10 ms."""
LONGEST_BUFFER_S = 5.0
"""No device's buffer is longer, s."""

OnPlayed = Callable[[Samples, int], None]
"""Called with what goes to the speaker, in the device's thread: samples of `agent` and the position of the first."""


class Speaker(Sink):
    """A sound device as a sink, by name, index or default; whatever its rate, the track is pulled at 24 kHz.

    Entering raises MissingError (no PortAudio, no such device, no usable rate) or UsageError (a name of several).
    A lost device is opened again if it comes back within 5 s; otherwise `play` raises MissingError.
    """

    def __init__(self, choice: str | int | None, trace: Trace) -> None:
        self.clock = TrackClock(OUTPUT_RATE)
        """When which sample leaves the speaker, on the loop's clock."""
        self._trace = trace
        self._device = DeviceStream("output", choice, trace)
        self.name = self._device.name
        self._log = MappingLog(trace, "agent", self.clock)
        self._pull: Pull = silence
        self.on_played: OnPlayed | None = None
        self._position = 0

    async def __aenter__(self) -> Self:
        self._log.start()
        await self._device.open()
        self.name = self._device.name
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._device.close()

    async def play(self, pull: Pull) -> None:
        """Play what `pull` gives, through silence too, until cancelled. MissingError when the device is gone."""
        self._pull = pull
        self._device.start(self._serve)
        try:
            while True:
                await self._device.wait()
        finally:
            self._device.stopping.set()

    def time_of(self, sample: int) -> float:
        """Return when that sample leaves (left, will leave) the speaker, on the loop's clock, s."""
        return self.clock.time_of(sample)

    # --- in the device's thread --------------------------------------------------------------------------------------

    def _serve(self, stream: Any) -> None:
        device = self._device
        resampler = Resampler(OUTPUT_RATE, device.rate, live=True)
        per_sample = OUTPUT_RATE / device.rate
        begin, written, head = self._position, 0, 0
        room = self._begin(stream)
        ready = np.zeros(0, np.float32)
        now = time.monotonic()
        while not device.stopping.is_set():
            while len(ready) < device.block:
                ready = np.concatenate((ready, resampler(to_wave(self._next()))))
            block = to_samples(ready[: device.block])
            ready = ready[device.block :]
            stream.write(np.repeat(block, device.channels).tobytes())
            free, before, now = stream.write_available, now, time.monotonic()
            if now - before > room / device.rate:
                self._underrun(begin + written * per_sample, now + device.beyond_s)
            written += device.block
            if written + free - room > head:
                head = written + free - room
                device.moved()
                self._observe(begin + head * per_sample, now + device.beyond_s)

    def _begin(self, stream: Any) -> int:
        """The length of the device's buffer in its samples: all of it is free before the first write."""
        room = int(stream.write_available)
        rate = self._device.rate
        self.clock.estimated = not 0 < room < LONGEST_BUFFER_S * rate
        if self.clock.estimated:
            room = round(stream.latency * rate)
        self.clock.restart(self._position, time.monotonic() + room / rate + self._device.beyond_s)
        return room

    def _next(self) -> Samples:
        samples = self._pull(BLOCK)
        if self.on_played is not None:
            self.on_played(samples, self._position)
        self._position += len(samples)
        return samples

    def _observe(self, position: float, at: float) -> None:
        """Feed the clock. Silence that the device put in is no part of the track: what follows is heard later."""
        step = self.clock.observe(position, at)
        if step:
            self._trace.emit(Glitch("agent", int(position), -round(step * OUTPUT_RATE)))
        if position % (10 * BLOCK) < BLOCK:
            self._log.log(int(position))

    def _underrun(self, position: float, now: float) -> None:
        """We were away for longer than the buffer lasts: what was written last is heard now, after a silence.

        The clock would find out by itself, but only when the step has lasted for a while.
        """
        late = now - self.clock.time_of(position)
        if late > 0:
            self._trace.emit(Glitch("agent", int(position), -round(late * OUTPUT_RATE)))
            self.clock.restart(int(position), now)
