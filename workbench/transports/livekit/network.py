"""The transit through the network: WebRTC's own figures, each second, and their part of the waterfall."""

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
    """Asks WebRTC, reports it in the trace, and keeps source and sink informed of how far away the user is.

    The transit in is half the round trip between us and the server, and the jitter buffer; the transit out the other
    half, and a packet. What lies between the server and the user's own device cannot be seen from here.
    """

    def __init__(self, trace: Trace, connection: RoomConnector, source: RoomSource, sink: RoomSink) -> None:
        self._trace = trace
        self._connection = connection
        self._source = source
        self._sink = sink
        self._counters = RtpCounters()
        self._buffer_s = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            if self._connection.flowing:
                with suppress(StageError), foreign("LiveKit", "source"), outside():
                    async with asyncio.timeout(EVERY_S):
                        stats = await self._connection.room.get_rtc_stats()
                    # with one peer connection for both directions, all of it is in the first
                    self._measure([*stats.publisher_stats, *stats.subscriber_stats])

    def _measure(self, stats: list[Any]) -> None:
        before, now = self._counters, rtp_counters(stats)
        self._counters = now
        emitted = now.emitted - before.emitted
        if emitted < 0:  # another connection counts from the beginning
            return
        if emitted:
            self._buffer_s = (now.buffer_s - before.buffer_s) / emitted
        rtt_s = round_trip_s(stats)
        self._source.set_delay(rtt_s / 2, self._buffer_s)
        self._sink.delay_s = rtt_s / 2 + PACKET_S
        lost, samples = max(0, now.lost - before.lost), now.samples - before.samples
        packets = now.received - before.received + lost
        outbound = [stat.remote_inbound_rtp for stat in stats if stat.HasField("remote_inbound_rtp")]
        self._trace.emit(
            NetworkMeasured(
                round(rtt_s * 1000, 2),
                _jitter_ms(_inbound(stats)),
                round(lost / packets, 4) if packets else 0.0,
                round(self._buffer_s * 1000, 2),
                round((now.concealed - before.concealed) / samples, 4) if samples else 0.0,
                _jitter_ms(outbound),
                round(max((rtp.remote_inbound.fraction_lost for rtp in outbound), default=0.0), 4),
            )
        )


def rtp_counters(stats: Iterable[Any]) -> RtpCounters:
    """Return the sums over all voices. Silence that was made up for silence is no concealment."""
    inbound = _inbound(stats)
    return RtpCounters(
        sum(rtp.received.packets_received for rtp in inbound),
        sum(rtp.received.packets_lost for rtp in inbound),
        sum((rtp.inbound.jitter_buffer_delay for rtp in inbound), 0.0),
        sum(rtp.inbound.jitter_buffer_emitted_count for rtp in inbound),
        sum(rtp.inbound.total_samples_received for rtp in inbound),
        sum(rtp.inbound.concealed_samples - rtp.inbound.silent_concealed_samples for rtp in inbound),
    )


def round_trip_s(stats: Iterable[Any]) -> float:
    """Return the round trip of the connection that is in use, s; 0 while it is not known."""
    pairs = [stat.candidate_pair.candidate_pair for stat in stats if stat.HasField("candidate_pair")]
    used = [pair for pair in pairs if pair.nominated and pair.responses_received]
    return max((pair.total_round_trip_time / pair.responses_received for pair in used), default=0.0)


def _inbound(stats: Iterable[Any]) -> list[Any]:
    inbound = [stat.inbound_rtp for stat in stats if stat.HasField("inbound_rtp")]
    return [rtp for rtp in inbound if rtp.stream.kind == "audio"]


def _jitter_ms(streams: list[Any]) -> float:
    return round(max((rtp.received.jitter for rtp in streams), default=0.0) * 1000, 2)
