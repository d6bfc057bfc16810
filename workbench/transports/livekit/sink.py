"""The room as a sink: an audio track of ours with a small queue whose depth is known."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Self

from workbench.engine.interfaces import Pull, Sink, Transit
from workbench.model.audio import OUTPUT_RATE, Samples, silence
from workbench.model.events import DeviceOpened, Glitch
from workbench.trace.trace import Trace
from workbench.transports.livekit.sdk import event_router, rtc
from workbench.transports.paced import log_mapping

BLOCK = OUTPUT_RATE // 50
"""Samples handed over at a time: 20 ms."""
LEAD_S, MOST_LEAD_S = 0.03, 0.12
"""How far what is handed over is ahead of what is sent, s; more where the loop was late."""
DOZE_AFTER = OUTPUT_RATE // 5
"""Samples of silence after which nothing is handed over but silence in advance: 200 ms."""
DOZE_S = 0.25
"""How far the track may lag behind the clock meanwhile, s."""
AHEAD_S = 0.4
"""Silence sent in advance, s: the stream must not stop, or the other side's jitter buffer would grow."""
BITRATE = 64_000
"""From here on Opus encodes in the way that costs least: 0.6 % of a core for silence instead of 1.5 %, bit/s."""
QUEUE_MS = 500
"""What the SDK's own queue may hold, ms; we keep it far shorter."""


class RoomSink(Sink):
    """Publishes one microphone track and paces what goes into it.

    While the connection is lost nothing is pulled, so that what is to be said waits; the track goes on where it
    stopped, later by the clock.
    """

    def __init__(self, trace: Trace, name: str) -> None:
        self.name = name
        self.track_sid = ""
        """Of the published track; empty while there is none."""
        self.disconnected = True
        self.delay_s = 0.0
        """What the way to the listener's ear takes beyond us, s; see `network`."""
        self._trace = trace
        self._source: Any = None
        self._track: Any = None
        self._pull: Pull = silence
        self._position = 0
        self._starts: deque[tuple[int, float]] = deque([(0, 0.0)], maxlen=64)
        self._lead_s = LEAD_S
        self._quiet = 0
        self._handed = 0
        """Number of the block that was handed over last."""
        self._sent_until = 0.0
        """Loop time at which the SDK's queue will be empty, s."""
        self._dozing = False
        self._woken = asyncio.Event()

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
        published = await room.local_participant.publish_track(track, options)
        self._track, self.track_sid = track, published.sid

    def flow(self, on: bool) -> None:
        """Whether what is sent arrives."""
        if self.disconnected == on:
            self.disconnected = not on
            self._woken.set()

    def clear(self) -> None:
        """What was handed over and not sent yet is not to be heard: a reply was cut."""
        left_s = self._sent_until - asyncio.get_running_loop().time()
        if self._source is None or left_s <= 0 or self._dozing:
            return
        self._source.clear_queue()
        self._sent_until -= left_s
        lost = round(left_s * OUTPUT_RATE)
        self._trace.emit(Glitch("agent", self._position - lost, lost))
        self._begin(self._position)

    @property
    def depth_ms(self) -> float:
        """Sound handed over and not sent yet, ms."""
        return max(0.0, self._sent_until - asyncio.get_running_loop().time()) * 1000

    async def play(self, pull: Pull) -> None:
        """Pull until cancelled; the first position is now."""
        self._pull = pull
        self._begin(self._position)
        loop = asyncio.get_running_loop()
        while True:
            if self.disconnected:
                await self._back()
            elif self._quiet >= DOZE_AFTER:
                await self._doze()
            else:
                due = self._leaves(self._position) - self._lead_s
                await asyncio.sleep(max(0.0, due - loop.time()))
                await self._send(self._next(BLOCK))

    def wake(self) -> None:
        """Something will be played: the silence up to now has passed, what comes next goes out at once."""
        self._quiet = 0
        if self._dozing:
            self._dozing = False
            self._catch_up()
            self._quiet = 0
            self._source.clear_queue()
            self._sent_until = 0.0
            self._woken.set()

    def time_of(self, sample: int) -> float:
        """When that sample is heard at the other end, as far as is known, on the loop's clock, s."""
        return self._leaves(sample) + self.delay_s

    def transit(self, sample: int) -> Transit:
        """Until when that sample is in our queue, and on the network."""
        leaves = self._leaves(sample)
        return [("output_buffer", leaves), ("network_out", leaves + self.delay_s)]

    # --- pacing ------------------------------------------------------------------------------------------------------

    def _leaves(self, sample: int) -> float:
        """When that sample is sent."""
        start = self._starts[0]
        for start in reversed(self._starts):
            if start[0] <= sample:
                break
        return start[1] + (sample - start[0]) / OUTPUT_RATE

    def _begin(self, position: int, at: float | None = None) -> None:
        """From `position` on, the track runs from `at` (now)."""
        now = asyncio.get_running_loop().time()
        self._starts.append((position, now if at is None else at))
        log_mapping(self._trace, "agent", OUTPUT_RATE, position)

    async def _back(self) -> None:
        """Wait until the connection is back; the track goes on from here."""
        while self.disconnected:
            self._woken.clear()
            await self._woken.wait()
        late = asyncio.get_running_loop().time() - self._leaves(self._position)
        if late > 0:
            self._trace.emit(Glitch("agent", self._position, -round(late * OUTPUT_RATE)))
        self._begin(self._position)
        self._sent_until = 0.0

    async def _doze(self) -> None:
        """Silence, sent in advance; the track keeps up with the clock."""
        loop = asyncio.get_running_loop()
        self._dozing = True
        self._woken.clear()
        while self._dozing and not self.disconnected:
            ahead = self._sent_until - loop.time()
            if ahead < AHEAD_S:
                await self._send(silence(round((AHEAD_S - max(0.0, ahead)) * OUTPUT_RATE)))
                await event_router().taken(self._handed)
                if not self._quiet:  # woken meanwhile: this silence is in the way
                    self._source.clear_queue()
                    self._sent_until = 0.0
                    break
            over = loop.call_later(DOZE_S, self._woken.set)
            try:
                await self._woken.wait()
            finally:
                over.cancel()
            if self._dozing:
                self._woken.clear()
                self._catch_up()
        self._dozing = False

    def _catch_up(self) -> None:
        passed = self._position + int(
            (asyncio.get_running_loop().time() - self._leaves(self._position)) * OUTPUT_RATE + 1e-3
        )
        if passed > self._position:
            self._next(passed - self._position)

    def _next(self, count: int) -> Samples:
        samples = self._pull(count)
        self._position += count
        self._quiet = 0 if samples.any() else self._quiet + count
        return samples

    async def _send(self, samples: Samples) -> None:
        now = asyncio.get_running_loop().time()
        if not self._dozing and 0 < self._sent_until < now - 0.005:
            self._late(now - self._sent_until)
        self._sent_until = max(self._sent_until, now) + len(samples) / OUTPUT_RATE
        post = event_router()
        await post.taken(self._handed)  # the one before: they must not overtake each other
        self._handed = post.hand(self._source, samples, OUTPUT_RATE)

    def _late(self, gap_s: float) -> None:
        """The queue had run dry: what comes now is heard later, and the next time there is more in it."""
        self._lead_s = min(MOST_LEAD_S, self._lead_s + 0.02)
        start = self._position - BLOCK
        self._trace.emit(Glitch("agent", start, -round(gap_s * OUTPUT_RATE)))
        self._begin(start)
