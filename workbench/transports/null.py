"""A transport without sound: nobody speaks and nobody listens, for conversations that are typed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Self

from workbench.engine.interfaces import Source
from workbench.model.audio import INPUT_RATE, Frame, silence
from workbench.model.events import ClockMapped, DeviceOpened
from workbench.trace.trace import Trace
from workbench.transports.base import Transport, TransportOptions
from workbench.transports.paced import PacedSink


class NullTransport(Transport):
    """Silence at real time, and a sink that plays to nobody at real time."""

    def __init__(self, options: TransportOptions) -> None:
        if options.source:
            self.source = NullSource(options.trace)
        if options.sink:
            self.sink = PacedSink(options.trace)


FRAME = INPUT_RATE // 50
"""Samples in a frame of 20 ms."""


class NullSource(Source):
    """Silence at real time, until it is left."""

    name = "nobody"

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._start = 0.0

    async def __aenter__(self) -> Self:
        self._trace.emit(DeviceOpened("mic", self.name, INPUT_RATE, 0.0))
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def frames(self) -> AsyncIterator[Frame]:
        """Frames of 20 ms."""
        loop = asyncio.get_running_loop()
        self._start = loop.time()
        self._trace.emit(ClockMapped("user", 0, round(self._trace.now(), 3), float(INPUT_RATE)))
        position = 0
        while True:
            await asyncio.sleep(max(0.0, self.time_of(position + FRAME) - loop.time()))
            yield Frame(silence(FRAME), INPUT_RATE, position)
            position += FRAME

    def time_of(self, sample: int) -> float:
        """When that sample is due, on the loop's clock, s."""
        return self._start + sample / INPUT_RATE
