"""The microphone as a source."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Self

import numpy as np

from workbench.engine.interfaces import Source
from workbench.model.audio import INPUT_RATE, Frame
from workbench.model.events import Glitch
from workbench.trace.trace import Trace
from workbench.transports.clockfit import MappingLog, TrackClock
from workbench.transports.local.device_stream import DeviceStream
from workbench.transports.resample import Resampler, Wave, to_samples, to_wave

FRAME = INPUT_RATE // 100
"""Samples in a frame of 10 ms."""
KEEP_FRAMES = 1_000
"""Frames that wait for a loop that is behind: 10 s; then the oldest are lost."""


class Microphone(Source):
    """A sound device as a source, by name, index or default; whatever its rate, frames of 10 ms at 16 kHz.

    Entering raises MissingError (no PortAudio, no such device, no usable rate) or UsageError (a name of several).
    A lost device is opened again if it comes back within 5 s; otherwise `frames` raises MissingError.
    """

    def __init__(self, choice: str | int | None, trace: Trace) -> None:
        self.clock = TrackClock(INPUT_RATE)
        """When which sample was spoken, on the loop's clock."""
        self._trace = trace
        self._device = DeviceStream("input", choice, trace)
        self.name = self._device.name
        self._log = MappingLog(trace, "user", self.clock)
        self._queue: deque[Frame] = deque(maxlen=KEEP_FRAMES)
        self._position = 0
        self._overflow: tuple[int, int] | None = None
        """Position and samples of what the full queue lost."""

    async def __aenter__(self) -> Self:
        self._log.start()
        await self._device.open()
        self.name = self._device.name
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._device.close()

    def time_of(self, sample: int) -> float:
        """Return when that sample was spoken into the microphone, on the loop's clock, s."""
        return self.clock.time_of(sample)

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield frames from now on until the source is left; where the positions jump, sound was lost."""
        self._device.start(self._serve)
        while True:
            await self._device.wait()
            while self._queue:
                yield self._queue.popleft()

    # --- in the device's thread --------------------------------------------------------------------------------------

    def _serve(self, stream: Any) -> None:
        device = self._device
        resampler = Resampler(device.rate, INPUT_RATE, live=True)
        per_sample = INPUT_RATE / device.rate
        self._begin()
        begin, read, rest = self._position, 0, np.zeros(0, np.float32)
        while not device.stopping.is_set():
            data, _ = stream.read(device.block)  # PortAudio's overflow flag stays 0 through real losses
            ahead, now = stream.read_available, time.monotonic()
            device.moved()
            read += device.block
            begin += self._observe(begin + (read + ahead) * per_sample, now - device.beyond_s)
            rest = np.concatenate((rest, resampler(mono(data, device.channels))))
            while len(rest) >= FRAME:
                self._deliver(Frame(to_samples(rest[:FRAME]), INPUT_RATE, self._position))
                rest = rest[FRAME:]

    def _begin(self) -> None:
        """Let a gap stand for what was said while the device was not open."""
        now = time.monotonic()
        if self.clock.known:
            lost = max(0, round(self.clock.sample_at(now)) - self._position)
            self._trace.emit(Glitch("user", self._position, lost))
            self._position += lost
        self.clock.restart(self._position, now)

    def _observe(self, position: float, at: float) -> int:
        """Feed the clock; return the samples that were lost, by which all positions from here on jump."""
        step = self.clock.observe(position, at)
        if not step:
            return 0
        lost = round(step * INPUT_RATE)
        self._trace.emit(Glitch("user", self._position, lost))
        if lost < 0:
            return 0
        self.clock.restart(int(position) + lost, self.clock.time_of(int(position)))
        self._position += lost
        return lost

    def _deliver(self, frame: Frame) -> None:
        self._position = frame.end
        if len(self._queue) == KEEP_FRAMES:
            first, count = self._overflow or (self._queue[0].position, 0)
            self._overflow = first, count + FRAME
        elif self._overflow is not None:
            self._trace.emit(Glitch("user", *self._overflow))
            self._overflow = None
        self._queue.append(frame)
        if frame.position % (10 * FRAME) < FRAME:
            self._log.log(frame.position)
        self._device.notify()


def mono(data: Any, channels: int) -> Wave:
    """Return interleaved PCM16 as one wave: the mean of the channels."""
    wave = to_wave(np.frombuffer(data, np.int16))
    return wave if channels == 1 else np.asarray(wave.reshape(-1, channels).mean(axis=1), dtype=np.float32)
