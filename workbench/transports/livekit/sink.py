"""The room as a sink: an audio track of ours with a small queue whose depth is known."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Self

from workbench.engine.interfaces import Transit
from workbench.model.audio import OUTPUT_RATE, Samples, silence
from workbench.model.events import DeviceOpened, Glitch
from workbench.trace.trace import Trace
from workbench.transports.livekit.sdk import event_router, rtc
from workbench.transports.paced import BLOCK, DOZE_AFTER, PacedSink, log_mapping

LEAD_S, MOST_LEAD_S = 0.03, 0.12
"""How far what is handed over is ahead of what is sent, s; more where the loop was late."""
DOZE_S = 0.25
"""How far the track may lag behind the clock through silence, s."""
AHEAD_S = 0.4
"""Silence sent in advance, s: the stream must not stop, or the other side's jitter buffer would grow."""
BITRATE = 64_000
"""From here on Opus encodes in the way that costs least: 0.6 % of a core for silence instead of 1.5 %, bit/s."""
QUEUE_MS = 500
"""What the SDK's own queue may hold, ms; we keep it far shorter."""


class RoomSink(PacedSink):
    """Publishes one microphone track and paces what goes into it.

    While the connection is lost nothing is pulled, so that what is to be said waits; the track goes on where it
    stopped, later by the clock.
    """

    def __init__(self, trace: Trace, name: str) -> None:
        super().__init__(trace, name=name)
        self.track_sid = ""
        """Of the published track; empty while there is none."""
        self.disconnected = True
        self.delay_s = 0.0
        """What the transit to the listener's ear takes beyond us, s; see `network`."""
        self._source: Any = None
        self._track: Any = None
        self._starts: deque[tuple[int, float]] = deque([(0, 0.0)], maxlen=64)
        """Positions from which the track ran without a gap, and when each was due, on the loop's clock."""
        self._lead_s = LEAD_S
        self._last_block = 0
        """Number of the block that was handed over last."""
        self._sent_until = 0.0
        """Loop time at which the SDK's queue will be empty, s."""

    async def __aenter__(self) -> Self:
        self._source = rtc().AudioSource(OUTPUT_RATE, 1, queue_size_ms=QUEUE_MS)
        self._trace.emit(DeviceOpened("agent", self.name, OUTPUT_RATE, LEAD_S * 1000))
        return self

    async def __aexit__(self, *error: object) -> None:
        self.disconnected = True
        if self._source is not None:
            await self._source.aclose()

    async def publish(self, room: Any) -> None:
        """Publish the track in a room that was joined."""
        sdk = rtc()
        track = sdk.LocalAudioTrack.create_audio_track("agent", self._source)
        options = sdk.TrackPublishOptions(source=sdk.TrackSource.SOURCE_MICROPHONE, dtx=True, red=True)
        options.audio_encoding.max_bitrate = BITRATE
        publication = await room.local_participant.publish_track(track, options)
        self._track, self.track_sid = track, publication.sid

    def set_connected(self, on: bool) -> None:
        """Note whether what is sent arrives."""
        if self.disconnected == on:
            self.disconnected = not on
            self._woken.set()

    def clear(self) -> None:
        """Drop what was handed over and not sent yet: a reply was cut."""
        now = asyncio.get_running_loop().time()
        left_s = self._sent_until - now
        if self._source is None or left_s <= 0 or self._dozing:
            return
        self._source.clear_queue()
        self._sent_until = now
        lost = round(left_s * OUTPUT_RATE)
        self._trace.emit(Glitch("agent", self._position - lost, lost))
        self._begin(self._position)

    @property
    def depth_ms(self) -> float:
        """Sound handed over and not sent yet, ms."""
        return max(0.0, self._sent_until - asyncio.get_running_loop().time()) * 1000

    def wake(self) -> None:
        """Drop the silence that was sent in advance: what comes next goes out at once."""
        dozing = self._dozing
        super().wake()
        if dozing:
            self._clear_queue()

    def due(self, sample: int) -> float:
        """Return when that sample is sent."""
        start = self._starts[0]
        for start in reversed(self._starts):
            if start[0] <= sample:
                break
        return start[1] + (sample - start[0]) / OUTPUT_RATE

    def time_of(self, sample: int) -> float:
        """Return when that sample is played at the other end, as far as is known, on the loop's clock, s."""
        return self.due(sample) + self.delay_s

    def transit(self, sample: int) -> Transit:
        """Return until when that sample is in our queue, and on the network."""
        return [("output_buffer", self.due(sample)), ("network_out", self.time_of(sample))]

    # --- pacing ------------------------------------------------------------------------------------------------------

    def _begin(self, position: int) -> None:
        self._starts.append((position, asyncio.get_running_loop().time()))
        log_mapping(self._trace, "agent", OUTPUT_RATE, position)

    async def _step(self) -> None:
        if self.disconnected:
            await self._reconnected()
        elif self._quiet < DOZE_AFTER:
            due = self.due(self._position) - self._lead_s
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            await self._send(self._take(BLOCK))
        else:
            await self._doze()

    async def _reconnected(self) -> None:
        """Wait until the connection is back; the track goes on from here."""
        while self.disconnected:
            self._woken.clear()
            await self._woken.wait()
        late = asyncio.get_running_loop().time() - self.due(self._position)
        if late > 0:
            self._trace.emit(Glitch("agent", self._position, -round(late * OUTPUT_RATE)))
        self._begin(self._position)
        self._sent_until = 0.0

    async def _doze(self) -> None:
        """Send silence in advance; the track keeps up with the clock."""
        loop = asyncio.get_running_loop()
        self._dozing = True
        self._woken.clear()
        while self._dozing and not self.disconnected:
            ahead = self._sent_until - loop.time()
            if ahead < AHEAD_S:
                await self._send(silence(round((AHEAD_S - max(0.0, ahead)) * OUTPUT_RATE)))
                await event_router().taken(self._last_block)
                if not self._quiet:  # woken meanwhile: this silence is in the way
                    self._clear_queue()
                    break
            await self._nap(DOZE_S)
            if self._dozing:
                self._woken.clear()
        self._dozing = False

    async def _send(self, samples: Samples) -> None:
        now = asyncio.get_running_loop().time()
        if not self._dozing and 0 < self._sent_until < now - 0.005:
            self._underrun(now - self._sent_until)
        self._sent_until = max(self._sent_until, now) + len(samples) / OUTPUT_RATE
        router = event_router()
        await router.taken(self._last_block)  # the one before: they must not overtake each other
        self._last_block = router.hand(self._source, samples, OUTPUT_RATE)

    def _clear_queue(self) -> None:
        self._source.clear_queue()
        self._sent_until = 0.0

    def _underrun(self, gap_s: float) -> None:
        """Note that what comes now is played later, and keep more in the queue from now on."""
        self._lead_s = min(MOST_LEAD_S, self._lead_s + 0.02)
        start = self._position - BLOCK
        self._trace.emit(Glitch("agent", start, -round(gap_s * OUTPUT_RATE)))
        self._begin(start)
