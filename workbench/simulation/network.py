"""A simulated bad network between a user and the engine: loss, delay, jitter and reordering, by a seed.

    source = TroubledSource(ArraySource(score), Trouble(loss=0.05, delay_ms=80, jitter_ms=20, seed=1))
    sink = TroubledSink(PacedSink(trace), Trouble(loss=0.05, delay_ms=80))      # sink.heard: the sound that arrived

Sound travels in packets of 20 ms. The receiver plays a packet `delay_ms + buffer_ms` after it was sent; one that is
lost, or comes later than that, is silence. All waits are on the loop's clock, so that under the virtual one every run
is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from workbench.engine.interfaces import Pull, Sink, Source, Transit
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Frame, Samples, silence

PACKET_S = 0.02


@dataclass(frozen=True, slots=True)
class Trouble:
    """Properties of a network. `loss` and `reorder` are shares of the packets, 0…1; a reordered one comes `reorder_ms`
    later. Jitter is the standard deviation of the delay, never below zero."""

    loss: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    reorder: float = 0.0
    reorder_ms: float = 30.0
    buffer_ms: float = 40.0
    """Of the receiver, against jitter."""
    seed: int = 0

    @property
    def behind_s(self) -> float:
        """How much later than it was sent a packet is played, s."""
        return (self.delay_ms + self.buffer_ms) / 1000


class Line:
    """One direction of a network: decides of each packet in turn whether it is there when it has to be played."""

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble
        self._chance = np.random.default_rng(trouble.seed)
        self.sent = self.lost = self.late = 0
        """Packets so far: all, the lost ones, and the late ones."""

    @property
    def missing(self) -> float:
        """The share of packets that were silence at the receiver."""
        return (self.lost + self.late) / self.sent if self.sent else 0.0

    def arrives(self) -> bool:
        """Decide on the next packet; it always draws the same numbers, so that one trouble does not shift another."""
        trouble = self._trouble
        lost, reordered, shaken = (*self._chance.random(2), self._chance.normal())
        extra_ms = max(0.0, shaken * trouble.jitter_ms + trouble.reorder_ms * (reordered < trouble.reorder))
        self.sent += 1
        if lost < trouble.loss:
            self.lost += 1
        elif extra_ms > trouble.buffer_ms:
            self.late += 1
        else:
            return True
        return False


class TroubledSource(Source):
    """A source whose frames came over such a network. `time_of` says when a sample was spoken, at the far end."""

    def __init__(self, source: Source, trouble: Trouble) -> None:
        self.line = Line(trouble)
        self.name = source.name
        self._source = source
        self._trouble = trouble

    async def __aenter__(self) -> Self:
        await self._source.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._source.__aexit__(*error)

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield every frame of the source, later; lost packets are silence."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[tuple[float, Frame] | None] = asyncio.Queue()

        async def send() -> None:
            async for frame in self._source.frames():
                waiting.put_nowait((loop.time() + self._trouble.behind_s, frame))
            waiting.put_nowait(None)

        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(send())
            try:
                while (item := await waiting.get()) is not None:
                    due, frame = item
                    await asyncio.sleep(max(0.0, due - loop.time()))
                    yield self._receive(frame)
            finally:
                sending.cancel()

    def _receive(self, frame: Frame) -> Frame:
        samples = frame.samples.copy()
        packet = round(PACKET_S * INPUT_RATE)
        for at in range(0, len(samples), packet):
            if not self.line.arrives():
                samples[at : at + packet] = 0
        return Frame(samples, frame.rate, frame.position)

    def time_of(self, sample: int) -> float:
        """Return when that sample was spoken, on the loop's clock, s."""
        return self._source.time_of(sample)

    def transit(self, sample: int) -> Transit:
        """Return its transit over the network and through the receiver's buffer."""
        before = self._source.transit(sample)
        sent = before[-1][1] if before else self._source.time_of(sample)
        arrived = sent + self._trouble.delay_ms / 1000
        return [*before, ("network_in", arrived), ("jitter_buffer", sent + self._trouble.behind_s)]


class TroubledSink(Sink):
    """A sink with such a network behind it; `heard` is the sound that arrived."""

    def __init__(self, sink: Sink, trouble: Trouble) -> None:
        self.line = Line(trouble)
        self.name = sink.name
        self._sink = sink
        self._trouble = trouble
        self._parts: list[Samples] = []
        self._rest = silence(0)

    @property
    def heard(self) -> Samples:
        """The sound that arrived, from the track's first sample on; shape (n,)."""
        return np.concatenate(self._parts) if self._parts else silence(0)

    async def __aenter__(self) -> Self:
        await self._sink.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._sink.__aexit__(*error)

    async def play(self, pull: Pull) -> None:
        """Play on the sink, and send the same over the network."""

        def pull_and_send(count: int) -> Samples:
            samples = pull(count)
            self._send(samples)
            return samples

        await self._sink.play(pull_and_send)

    def wake(self) -> None:
        """Wake the sink."""
        self._sink.wake()

    def time_of(self, sample: int) -> float:
        """Return when that sample is played at the far end, on the loop's clock, s."""
        return self._sink.time_of(sample) + self._trouble.behind_s

    def transit(self, sample: int) -> Transit:
        """Return its transit through the sink and over the network."""
        return [*self._sink.transit(sample), ("network_out", self.time_of(sample))]

    def _send(self, samples: Samples) -> None:
        packet = round(PACKET_S * OUTPUT_RATE)
        rest = np.concatenate((self._rest, samples))
        for at in range(0, len(rest) - packet + 1, packet):
            part = rest[at : at + packet]
            self._parts.append(part if self.line.arrives() else silence(packet))
        self._rest = rest[len(rest) // packet * packet :]
