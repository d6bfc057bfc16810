"""A transport without sound: nobody speaks and nobody listens, for conversations that are typed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Self

from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.model.events import DeviceOpened
from workbench.trace.trace import Trace
from workbench.transports.base import Transport, TransportOptions
from workbench.transports.paced import FRAME, PacedSink, PacedSource


class NullTransport(Transport):
    """Silence at real time, and a sink that plays to nobody at real time."""

    def __init__(self, options: TransportOptions) -> None:
        if options.source:
            self.source = NullSource(options.trace)
        if options.sink:
            self.sink = PacedSink(options.trace)


class NullSource(PacedSource):
    """Silence at real time, until it is left."""

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace, "nobody")

    async def __aenter__(self) -> Self:
        self._trace.emit(DeviceOpened("mic", self.name, INPUT_RATE, 0.0))
        return self

    def blocks(self) -> Iterator[Samples]:
        """Yield silence for ever."""
        return repeat(silence(FRAME))
