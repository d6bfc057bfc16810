"""What the way through the network takes: WebRTC's own figures, each second, and their part of the waterfall."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from workbench.model.clock import outside
from workbench.model.errors import StageError, foreign
from workbench.model.events import NetworkMeasured
from workbench.trace.trace import Trace
from workbench.transports.livekit.connection import RoomConnector
from workbench.transports.livekit.sink import RoomSink
from workbench.transports.livekit.source import RoomSource

EVERY_S = 1.0
"""WebRTC is asked so often, s."""
PACKET_S = 0.02
"""A packet is sent when its last sample is there: the first one waits so long, s."""


@dataclass(frozen=True, slots=True)
class RtpCounters:
    """What WebRTC has counted of what comes in since the beginning, over all voices."""

    received: int = 0
    lost: int = 0
    buffer_s: float = 0.0
    """Time in the jitter buffer, summed over `emitted` samples."""
    emitted: int = 0
    samples: int = 0
    concealed: int = 0


class NetworkMonitor:
    """Asks WebRTC, tells the trace, and keeps source and sink informed of how far away the user is.

    The way in is half the round trip between us and the server, and the jitter buffer; the way out the other half, and
    a packet. What lies between the server and the user's own device cannot be seen from here.
    """

    def __init__(self, trace: Trace, connection: RoomConnector, source: RoomSource, sink: RoomSink) -> None:
        self._trace = trace
        self._connection = connection
        self._source = source
        self._sink = sink
        self._counted = RtpCounters()
        self._buffer_s = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            if self._connection.flowing:
                with suppress(StageError), foreign("LiveKit", "source"), outside():
                    async with asyncio.timeout(EVERY_S):
                        stats = await self._connection.room.get_rtc_stats()
                    # with one peer connection for both ways, all of it is in the first
                    self._measured([*stats.publisher_stats, *stats.subscriber_stats])

    def _measured(self, stats: list[Any]) -> None:
        was, now = self._counted, counted(stats)
        self._counted = now
        emitted = now.emitted - was.emitted
        if emitted < 0:  # another connection counts from the beginning
            return
        if emitted:
            self._buffer_s = (now.buffer_s - was.buffer_s) / emitted
        rtt_s = round_trip_s(stats)
        self._source.delayed(rtt_s / 2, self._buffer_s)
        self._sink.delay_s = rtt_s / 2 + PACKET_S
        packets, samples = (
            now.received - was.received + max(0, now.lost - was.lost),
            now.samples - was.samples,
        )
        out = [one.remote_inbound_rtp for one in stats if one.HasField("remote_inbound_rtp")]
        self._trace.emit(
            NetworkMeasured(
                round(rtt_s * 1000, 2),
                round(
                    max((one.received.jitter for one in _inbound(stats)), default=0.0) * 1000,
                    2,
                ),
                round(max(0, now.lost - was.lost) / packets, 4) if packets else 0.0,
                round(self._buffer_s * 1000, 2),
                round((now.concealed - was.concealed) / samples, 4) if samples else 0.0,
                round(max((one.received.jitter for one in out), default=0.0) * 1000, 2),
                round(max((one.remote_inbound.fraction_lost for one in out), default=0.0), 4),
            )
        )


def counted(stats: Iterable[Any]) -> RtpCounters:
    """The sums over everything audible that comes in. Silence that was made up for silence is no concealment."""
    received = lost = emitted = samples = concealed = 0
    buffer_s = 0.0
    for one in _inbound(stats):
        received += one.received.packets_received
        lost += one.received.packets_lost
        buffer_s += one.inbound.jitter_buffer_delay
        emitted += one.inbound.jitter_buffer_emitted_count
        samples += one.inbound.total_samples_received
        concealed += one.inbound.concealed_samples - one.inbound.silent_concealed_samples
    return RtpCounters(received, lost, buffer_s, emitted, samples, concealed)


def round_trip_s(stats: Iterable[Any]) -> float:
    """Of the way that is in use, s; 0 while it is not known."""
    pairs = [one.candidate_pair.candidate_pair for one in stats if one.HasField("candidate_pair")]
    used = [pair for pair in pairs if pair.nominated and pair.responses_received]
    return max((pair.total_round_trip_time / pair.responses_received for pair in used), default=0.0)


def _inbound(stats: Iterable[Any]) -> list[Any]:
    found = [one.inbound_rtp for one in stats if one.HasField("inbound_rtp")]
    return [one for one in found if one.stream.kind == "audio"]
