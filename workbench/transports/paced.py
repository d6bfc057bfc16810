"""Files in the place of a microphone and a speaker, and a speaker that nobody hears: all by the loop's clock."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import numpy as np

from workbench.engine.interfaces import Pull, Sink, Source
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Frame, Samples, silence
from workbench.model.errors import UsageError
from workbench.model.events import ClockMapped, DeviceOpened, Notice, TrackName
from workbench.trace.trace import Trace
from workbench.transports.file.wavfile import WavFile, WavWriter

FRAME = INPUT_RATE // 50
"""Samples in a frame of 20 ms."""
BLOCK = OUTPUT_RATE // 50
"""Samples that a sink by the clock pulls at a time: 20 ms."""
DOZE_AFTER = OUTPUT_RATE // 5
"""Samples of silence after which it dozes: 200 ms."""
DOZE_S = 0.1
"""How far the track may lag behind the clock while it dozes, s."""


def log_mapping(trace: Trace, track: TrackName, rate: int, sample: int = 0) -> None:
    """Log that this sample of `track` is now."""
    trace.emit(ClockMapped(track, sample, round(trace.now(), 3), float(rate)))


class WavSource(Source):
    """A wav file as a source: spoken from its start when its frames are asked for, and then over.

    `realtime`: a frame comes when its last sample would have been spoken, by a schedule that does not drift; a loop
    that was late gets what is due at once. Otherwise as fast as frames are taken, for measuring. `UsageError` as of
    `WavFile`.
    """

    def __init__(self, path: Path, trace: Trace, *, realtime: bool = True) -> None:
        self.name = path.name
        self.realtime = realtime
        self._path = path
        self._trace = trace
        self._file: WavFile | None = None
        self._start = 0.0

    async def __aenter__(self) -> Self:
        self._file = WavFile(self._path)
        shape = self._file.format
        if shape.note:
            self._trace.emit(
                Notice("warning", "source", f"{self.name}: {shape.note}", "what is in the file is played")
            )
        self._trace.emit(DeviceOpened("mic", self.name, shape.rate, 0.0))
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    async def frames(self) -> AsyncIterator[Frame]:
        """Frames of 20 ms; the last one is filled up with silence."""
        assert self._file is not None, "enter it first"
        loop = asyncio.get_running_loop()
        self._start = loop.time()
        log_mapping(self._trace, "user", INPUT_RATE)
        position, rest = 0, silence(0)
        for block in self._file.blocks(INPUT_RATE):
            rest = np.concatenate((rest, block)) if len(rest) else block
            whole = len(rest) // FRAME * FRAME
            for at in range(0, whole, FRAME):
                if self.realtime:
                    due = self._start + (position + FRAME) / INPUT_RATE
                    await asyncio.sleep(max(0.0, due - loop.time()))
                yield Frame(rest[at : at + FRAME], INPUT_RATE, position)
                position += FRAME
            rest = rest[whole:]
            if not self.realtime:
                self._start = loop.time() - position / INPUT_RATE
                await asyncio.sleep(0)
        if len(rest):
            if self.realtime:
                await asyncio.sleep(max(0.0, self._start + (position + FRAME) / INPUT_RATE - loop.time()))
            yield Frame(np.concatenate((rest, silence(FRAME - len(rest)))), INPUT_RATE, position)

    def time_of(self, sample: int) -> float:
        """When that sample is spoken, on the loop's clock; not in real time: as if what is read ended now."""
        return self._start + sample / INPUT_RATE


class PacedSink(Sink):
    """A sink that plays to nobody, at real time, from position `start` of the track on.

    While something plays it pulls 20 ms when their first sample is due. Through silence it dozes, and pulls the silence
    that has passed every 100 ms; `wake` pulls what has passed up to now, to the sample, and the block after it is
    pulled as soon as the loop runs. So call `wake` before the first sample of a reply can be pulled: then it never
    waits for a grid, and is never taken for a part of the past.
    """

    name = "none"

    def __init__(self, trace: Trace, start: int = 0) -> None:
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

    async def __aexit__(self, *error: object) -> None:
        pass

    async def play(self, pull: Pull) -> None:
        """Pull until cancelled; the first position is now."""
        loop = asyncio.get_running_loop()
        self._pull, self._start = pull, loop.time() - self._position / OUTPUT_RATE
        log_mapping(self._trace, "agent", OUTPUT_RATE, self._position)
        while True:
            if self._quiet >= DOZE_AFTER:
                await self._doze()
            else:
                await asyncio.sleep(max(0.0, self.due(self._position) - loop.time()))
                self._take(BLOCK)

    def wake(self) -> None:
        """Something will be played: pull the silence up to now, and go on from here."""
        self._quiet = 0
        if self._dozing:
            self._dozing = False
            self._catch_up()
            self._quiet = 0
            self._woken.set()

    def due(self, sample: int) -> float:
        """When that sample is pulled, on the loop's clock, s."""
        return self._start + sample / OUTPUT_RATE

    def time_of(self, sample: int) -> float:
        """When that sample is played, on the loop's clock: when it is pulled."""
        return self.due(sample)

    async def _doze(self) -> None:
        self._dozing = True
        self._woken.clear()
        over = asyncio.get_running_loop().call_later(DOZE_S, self._woken.set)  # half of what a timeout costs
        try:
            await self._woken.wait()
            if self._dozing:
                self._catch_up()
        finally:
            over.cancel()
            self._dozing = False

    def _catch_up(self) -> None:
        """Pull what has passed, to the sample; the tiny sum makes up for the rounding of the clock's floats."""
        passed = int((asyncio.get_running_loop().time() - self._start) * OUTPUT_RATE + 1e-3)
        if passed > self._position:
            self._take(passed - self._position)

    def _take(self, count: int) -> None:
        samples = self._pull(count)
        self._position += count
        self._quiet = 0 if samples.any() else self._quiet + count
        self.heard(samples)

    def heard(self, samples: Samples) -> None:
        """Samples were played: for those that do something with them."""


class WavSink(PacedSink):
    """A sink that writes what it plays to a wav file (mono, 16 bit, 24 kHz), at real time."""

    def __init__(self, path: Path, trace: Trace) -> None:
        super().__init__(trace)
        self.name = path.name
        self._path = path
        self._writer: WavWriter | None = None

    async def __aenter__(self) -> Self:
        try:
            self._writer = WavWriter(self._path, OUTPUT_RATE)
        except OSError as error:
            raise UsageError(
                f"{self._path}: {error.strerror or error}",
                "give the path of a wav file in a folder that you may write to",
            ) from error
        return await super().__aenter__()

    async def __aexit__(self, *error: object) -> None:
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError as failed:
                self._say(failed)

    def heard(self, samples: Samples) -> None:
        """Write them; when that fails, say so once and go on without: the conversation is worth more."""
        if self._writer is None:
            return
        try:
            self._writer.write(samples)
        except OSError as failed:
            self._say(failed)
            broken, self._writer = self._writer, None
            with contextlib.suppress(OSError):
                broken.close()

    def _say(self, failed: OSError) -> None:
        hint = f"what was written until now is in {self._path}; make room and start again"
        self._trace.emit(Notice("error", "sink", f"{self.name}: {failed.strerror or failed}", hint))
