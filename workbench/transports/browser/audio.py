"""A browser page's microphone and speaker as source and sink, over a `PageLink`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Self

import numpy as np

from workbench.engine.interfaces import Pull, Source, Transit
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Frame, Samples, silence
from workbench.model.events import ClockMapped, DeviceLost, DeviceOpened, Glitch, Notice
from workbench.trace.trace import Trace
from workbench.transports.browser.page import CapturedChunk, PageLink, PlaybackChunk
from workbench.transports.clockfit import MappingLog, TrackClock
from workbench.transports.paced import BLOCK, PacedSink
from workbench.transports.resample import Resampler, Wave, to_samples, to_wave

FRAME = INPUT_RATE // 50
"""Samples in a frame of 20 ms."""
TAIL = OUTPUT_RATE // 5
"""Silence after a reply that is still sent, samples: 200 ms."""
WAIT_S = 5.0
"""How long the first words wait for a page that plays, s: it is drawn a second or two after the session began."""
ARRIVALS = 500
"""Chunks whose arrival is remembered: 10 s, longer than any pause that ends a turn."""
BACKLOG_S = 600.0
"""Sound that waits for the loop is at most so long, s: more than any cell keeps a kernel busy."""
AHEAD_S = 60.0
"""Sound that a page says is further ahead of the clock is left out, s."""
GLITCH_S = 1.0
"""Gaps are reported no more often, s; those between are summed."""
STEP_S = 0.003
"""A mapping that is off by so much is logged anew, s."""


class BrowserMicrophone(Source):
    """The page's microphone as a source; whatever its rate, frames of 20 ms at 16 kHz.

    While no page captures, nobody speaks: silence by the clock. While one does, its sound is waited for however late it
    comes, so that what was said while a cell kept the kernel busy is heard afterwards.
    """

    def __init__(
        self, link: PageLink, trace: Trace, on_echo: Callable[[bool | None], None] = lambda cancelled: None
    ) -> None:
        """`on_echo` is called at each capture with whether our echo is taken out of it, which the browser must do: it
        alone has both sides."""
        self.name = "browser"
        """The microphone's, as the browser calls it."""
        self._on_echo = on_echo
        self.clock = TrackClock(INPUT_RATE)
        """When which sample was spoken, on the loop's clock."""
        self._link = link
        self._trace = trace
        self._log = MappingLog(trace, "user", self.clock)
        self._chunks: deque[CapturedChunk] = deque()
        self._backlog = 0
        """Samples of 16 kHz in them; a chunk counts as a frame at least."""
        self._lock = threading.Lock()
        """For both."""
        self._ahead_reported = False
        self._changed = asyncio.Event()
        self._entered = 0.0
        self._position = 0
        self._unreported = 0
        """Samples of the gaps that are not reported yet."""
        self._report_after = 0.0
        self._chunk: CapturedChunk | None = None
        """The last one, or the one that will be the first, without its sound."""
        self._resampler = Resampler(INPUT_RATE, INPUT_RATE)
        self._rest: Wave = np.zeros(0, np.float32)
        self._begin = 0
        self._base = 0
        self._arrivals: deque[tuple[int, float]] = deque(maxlen=ARRIVALS)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._entered = loop.time()
        self._log.start()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed under us
                loop.call_soon_threadsafe(self._changed.set)

        def take(chunk: CapturedChunk) -> None:
            self._enqueue(chunk)
            wake()

        self._link.on_chunk, self._link.on_capture = take, wake
        return self

    async def __aexit__(self, *error: object) -> None:
        self._link.on_chunk, self._link.on_capture = lambda chunk: None, lambda: None

    def time_of(self, sample: int) -> float:
        """Return when that sample was spoken into the microphone, on the loop's clock, s."""
        return self.clock.time_of(sample)

    def transit(self, sample: int) -> Transit:
        """Return until when that sample was on its way from the page."""
        arrivals = [at for end, at in self._arrivals if end >= sample]
        return [("network_in", arrivals[0])] if arrivals else []

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield frames from now on until the source is left; where the positions jump, sound was lost."""
        while True:
            async for frame in self._silence():
                yield frame
            async for frame in self._captured():
                yield frame

    async def _silence(self) -> AsyncIterator[Frame]:
        """Yield silence by the clock, until a page captures."""
        loop = asyncio.get_running_loop()
        self.clock.restart(self._position, loop.time())
        while self._link.capture is None and not self._chunks:
            due = self.clock.time_of(self._position + FRAME)
            await asyncio.sleep(max(0.0, due - loop.time()))
            yield self._frame(silence(FRAME))

    async def _captured(self) -> AsyncIterator[Frame]:
        """Yield what the page sends, until it no longer captures."""
        while self._link.capture is not None or self._chunks:
            self._changed.clear()
            while self._chunks:
                self._take(self._dequeue())
                while len(self._rest) >= FRAME:
                    now, self._rest = self._rest[:FRAME], self._rest[FRAME:]
                    yield self._frame(to_samples(now))
            await self._changed.wait()
        if self._link.owner is None and self._link.leave_reason is not None:
            self._trace.emit(DeviceLost("mic", self.name, *self._link.leave_reason))

    def _enqueue(self, chunk: CapturedChunk) -> None:
        """Let it wait for the loop; where too much does, the oldest is lost."""
        with self._lock:
            self._chunks.append(chunk)
            self._backlog += _weight(chunk)
            while self._backlog > BACKLOG_S * INPUT_RATE:
                self._backlog -= _weight(self._chunks.popleft())

    def _dequeue(self) -> CapturedChunk:
        """Return the oldest that waits; there is one, as a full queue keeps its last."""
        with self._lock:
            chunk = self._chunks.popleft()
            self._backlog -= _weight(chunk)
            return chunk

    def _take(self, chunk: CapturedChunk) -> None:
        """Resample the next stretch; what is missing before it is a gap, what came before is dropped."""
        if self._chunk is None or chunk.capture != self._chunk.capture:
            self._opened(chunk)
        assert self._chunk is not None
        lost = chunk.position - self._chunk.end
        if chunk.rate != self._chunk.rate or lost < 0:
            return
        per_sample = INPUT_RATE / chunk.rate
        if lost and self._ahead(lost * per_sample):
            return
        self._gap(round(lost * per_sample))
        self._chunk = chunk
        end = self._begin + (chunk.end - self._base) * per_sample
        self.clock.observe(end, chunk.ended_at)
        self._arrivals.append((round(end), asyncio.get_running_loop().time()))
        self._rest = np.concatenate((self._rest, self._resampler(to_wave(chunk.samples))))

    def _ahead(self, lost: float) -> bool:
        """Return whether a gap would lead far beyond the clock, where nobody can have spoken; reported once."""
        passed = asyncio.get_running_loop().time() - self._entered
        ahead = (self._position + lost) / INPUT_RATE - passed > AHEAD_S
        if ahead and not self._ahead_reported:
            self._ahead_reported = True
            reason = f"the page's sound is more than {AHEAD_S:.0f} s ahead of the clock, and is left out"
            self._trace.emit(Notice("warning", "page", reason, "reload the page"))
        return ahead

    def _gap(self, lost: int) -> None:
        """Leave out samples that are missing here, maybe none."""
        now = asyncio.get_running_loop().time()
        self._unreported += lost
        if self._unreported and now >= self._report_after:
            self._trace.emit(Glitch("user", self._position, self._unreported))
            self._unreported, self._report_after = 0, now + GLITCH_S
        self._position += lost

    def _opened(self, chunk: CapturedChunk) -> None:
        """Count positions from the first chunk of a capture."""
        self._chunk = replace(chunk, samples=chunk.samples[:0])
        self._resampler, self._rest = Resampler(chunk.rate, INPUT_RATE, live=True), np.zeros(0, np.float32)
        self._begin, self._base = self._position, chunk.position
        self.clock.restart(self._begin, chunk.ended_at - len(chunk.samples) / chunk.rate)
        self.name = f"browser: {self._link.capture}"
        self._trace.emit(DeviceOpened("mic", self.name, chunk.rate))
        self._on_echo(self._link.echo_cancelled)

    def _frame(self, samples: Samples) -> Frame:
        frame = Frame(samples, INPUT_RATE, self._position)
        self._position = frame.end
        if frame.position % (10 * FRAME) < FRAME:
            self._log.log(frame.position)
        return frame


def _weight(chunk: CapturedChunk) -> int:
    """Return how much of the backlog it takes, samples at 16 kHz."""
    return max(FRAME, len(chunk.samples) * INPUT_RATE // chunk.rate)


class BrowserSpeaker(PacedSink):
    """The page's speaker as a sink: sound is pulled by the clock, sent, and due at the ear a delay later.

    The delay is what the page measured that its jitter buffer needs; it changes only between replies, so that the time
    at which a sample is played is known when it is pulled. Where the page says that it was another, that is believed.
    """

    def __init__(self, link: PageLink, trace: Trace, start: int = 0) -> None:
        super().__init__(trace, start)
        self.name = "browser"
        self.clock = TrackClock(OUTPUT_RATE)
        """When which sample is played at the page, on the loop's clock."""
        self._link = link
        self._quiet_sent = TAIL
        self._spurt = 0
        self._playing = asyncio.Event()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()

        def on_played(sample: int, at: float) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed under us
                loop.call_soon_threadsafe(self._correct, sample, at)

        def on_playing() -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._playing.set)

        self._link.on_played, self._link.on_playing = on_played, on_playing
        if self._link.playing:
            self._playing.set()
        self._trace.emit(DeviceOpened("agent", "browser", OUTPUT_RATE))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._link.on_played, self._link.on_playing = lambda sample, at: None, lambda: None

    async def play(self, pull: Pull) -> None:
        """Pull until cancelled; the first words wait for the page for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await self._playing.wait()
        await super().play(pull)

    def time_of(self, sample: int) -> float:
        """Return when that sample leaves the page's speaker, on the loop's clock, s."""
        if self.clock.known:
            return self.clock.time_of(sample)
        return self.due(sample) + self._link.playback.total

    def transit(self, sample: int) -> Transit:
        """Return until when a sample is on the network, in the page's buffer, and in the browser's output."""
        delay, played = self._link.playback, self.time_of(sample)
        arrived = min(played, self.due(sample) + delay.network)
        buffered = max(arrived, played - delay.output)
        return [("network_out", arrived), ("playback_buffer", buffered), ("output_buffer", played)]

    def deliver(self, samples: Samples) -> None:
        """Send what is no silence, and the silence after it for 200 ms."""
        position = self._position - len(samples)
        first = self._quiet_sent >= TAIL
        if samples.any():
            self._quiet_sent = 0
        elif first:
            return
        else:
            self._quiet_sent += len(samples)
        if first:
            self._spurt = position
            self._map(position, self.due(position) + self._link.playback.total)
        pulled = self.due(position)
        for at in range(0, len(samples), BLOCK):
            due = self.time_of(position + at)
            self._link.post(
                PlaybackChunk(samples[at : at + BLOCK], position + at, pulled, due, first and at == 0)
            )

    def _correct(self, sample: int, at: float) -> None:
        """Believe the page, but of what came before the words that began last."""
        if self._spurt <= sample <= self._position and abs(at - self.time_of(sample)) > STEP_S:
            self._map(sample, at)

    def _map(self, sample: int, at: float) -> None:
        self.clock.restart(sample, at)
        ahead_ms = (at - asyncio.get_running_loop().time()) * 1000
        at_ms = round(self._trace.now() + ahead_ms, 3)
        self._trace.emit(ClockMapped("agent", sample, at_ms, float(OUTPUT_RATE)))
