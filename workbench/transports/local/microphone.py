"""The microphone as a source."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Self

import numpy as np

from workbench.engine.interfaces import Source
from workbench.model.audio import INPUT_RATE, Frame
from workbench.model.errors import WorkbenchError
from workbench.model.events import Glitch
from workbench.trace.trace import Trace
from workbench.transports.clockfit import MappingLog, TrackClock
from workbench.transports.local.device_stream import DeviceStream
from workbench.transports.resample import Resampler, Wave, to_samples, to_wave

FRAME = INPUT_RATE // 100
"""Samples in a frame of 10 ms."""
KEEP_FRAMES = 1_000
"""Frames that wait for a loop that is behind: 10 s; then the oldest are lost."""
LOOK_S = 1.0
"""How often a device from which nothing comes is looked at, s."""


class Microphone(Source):
    """A sound device as a source, by name, index or default; whatever its rate, frames of 10 ms at 16 kHz.

    Entering raises MissingError (no PortAudio, no such device, no usable rate) or UsageError (a name of several).
    A lost device is opened again if it comes back within 5 s; otherwise `frames` raises MissingError.
    """

    def __init__(self, wanted: str | int | None, trace: Trace) -> None:
        self.clock = TrackClock(INPUT_RATE)
        """When which sample was spoken, on the loop's clock."""
        self._trace = trace
        self._line = DeviceStream("input", wanted, trace)
        self.name = self._line.name
        self._log: MappingLog | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: deque[Frame] = deque(maxlen=KEEP_FRAMES)
        self._come = asyncio.Event()
        self._called = False
        self._failure: WorkbenchError | None = None
        self._position = 0
        self._dropped: tuple[int, int] | None = None

    async def __aenter__(self) -> Self:
        self._loop = loop = asyncio.get_running_loop()
        self._log = MappingLog(self._trace, "user", self.clock, loop.time() - self._trace.now() / 1000)
        await self._line.opened()
        self.name = self._line.name
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._line.close()

    def time_of(self, sample: int) -> float:
        """When that sample was spoken into the microphone, on the loop's clock, s."""
        return self.clock.time_of(sample)

    async def frames(self) -> AsyncIterator[Frame]:
        """Frames from now on until the source is left; where the positions jump, sound was lost."""
        self._line.start(self._serve, self._fail)
        while True:
            self._called = False
            self._come.clear()
            while self._queue:
                yield self._queue.popleft()
            if self._failure is not None:
                raise self._failure
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._come.wait()
            except TimeoutError:
                self._line.look()

    # --- in the device's thread --------------------------------------------------------------------------------------

    def _serve(self, stream: Any) -> None:
        line = self._line
        resampler = Resampler(line.rate, INPUT_RATE, live=True)
        per_sample = INPUT_RATE / line.rate
        self._begin()
        begin, read, rest = self._position, 0, np.zeros(0, np.float32)
        while not line.stopping.is_set():
            data, _ = stream.read(line.block)  # PortAudio's overflow flag stays 0 through real losses
            ahead, now = stream.read_available, time.monotonic()
            line.moved()
            read += line.block
            begin += self._observed(begin + (read + ahead) * per_sample, now - line.beyond_s)
            rest = np.concatenate((rest, resampler(mono(data, line.channels))))
            while len(rest) >= FRAME:
                self._deliver(Frame(to_samples(rest[:FRAME]), INPUT_RATE, self._position))
                rest = rest[FRAME:]

    def _begin(self) -> None:
        """Opened (again): what was said meanwhile is a gap."""
        now = time.monotonic()
        if self.clock.known:
            lost = max(0, round(self.clock.sample_at(now)) - self._position)
            self._trace.emit(Glitch("user", self._position, lost))
            self._position += lost
        self.clock.restart(self._position, now)

    def _observed(self, position: float, at: float) -> int:
        """Tell the clock; the samples that were lost, by which all positions from here on jump."""
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
            first, count = self._dropped or (self._queue[0].position, 0)
            self._dropped = first, count + FRAME
        elif self._dropped is not None:
            self._trace.emit(Glitch("user", *self._dropped))
            self._dropped = None
        self._queue.append(frame)
        if self._log is not None and frame.position % (10 * FRAME) < FRAME:
            self._log.tell(frame.position)
        self._call()

    def _fail(self, error: WorkbenchError) -> None:
        self._failure = error
        self._call()

    def _call(self) -> None:
        if not self._called and self._loop is not None:
            self._called = True
            with contextlib.suppress(RuntimeError):  # the loop was closed under us
                self._loop.call_soon_threadsafe(self._come.set)


def mono(data: Any, channels: int) -> Wave:
    """Interleaved PCM16 as one wave: the mean of the channels."""
    wave = to_wave(np.frombuffer(data, np.int16))
    return wave if channels == 1 else np.asarray(wave.reshape(-1, channels).mean(axis=1), dtype=np.float32)
