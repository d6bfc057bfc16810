"""The room as a source: the voices that are listened to, mixed, and silence while nobody is there."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import numpy as np

from workbench.engine.interfaces import Source, Transit
from workbench.model.audio import INPUT_RATE, Frame, Samples, silence
from workbench.model.errors import WorkbenchError
from workbench.model.events import DeviceOpened, Glitch
from workbench.trace.trace import Trace
from workbench.transports.clockfit import MappingLog, TrackClock
from workbench.transports.livekit.sdk import event_router, rtc

FRAME = INPUT_RATE // 50
"""Samples in a frame of 20 ms, as long as what WebRTC sends; 10 ms cost a fifth more CPU and were not heard earlier."""
FRAME_S = FRAME / INPUT_RATE
STARVED_S = 0.08
"""A voice from which nothing came for so long is taken for silent, s."""
TOGETHER_S = 0.03
"""Voices are mixed when all have a frame, or when one has waited so long, s."""
MOST = 100
"""Frames that wait for a loop that is behind: 2 s; then the oldest are lost."""

Clean = Callable[[Samples], Samples]


def noise_suppressor() -> Clean:
    """Return a function that lowers steady noise in a frame, by WebRTC's audio processing."""
    sdk = rtc()
    module = sdk.apm.AudioProcessingModule(noise_suppression=True, high_pass_filter=True)

    half = FRAME // 2  # what it takes at a time: 10 ms

    def clean(samples: Samples) -> Samples:
        cleaned = []
        for part in (samples[:half], samples[half:]):
            frame = sdk.AudioFrame(bytearray(part.tobytes()), INPUT_RATE, 1, half)
            module.process_stream(frame)
            cleaned.append(np.frombuffer(frame.data, dtype=np.int16))
        return np.concatenate(cleaned)

    return clean


class Voice:
    """The sound of one participant's track on its way in. Frames come from the SDK's stream."""

    def __init__(self, identity: str, track: Any) -> None:
        self.identity = identity
        self.track_sid: str = track.sid
        self.frames: deque[Samples] = deque(maxlen=MOST)
        self._track = track

    async def read(self, notify: Callable[[], None]) -> None:
        """Take frames until the track ends or the task is cancelled."""

        def take(samples: Samples) -> None:
            if len(samples) == FRAME:
                self.frames.append(samples)
                notify()

        with event_router().listening(self._track, INPUT_RATE, FRAME * 1000 // INPUT_RATE, take) as ended:
            await ended.wait()


class RoomSource(Source):
    """Frames of 20 ms, in real time, from the room's voices; whoever comes and goes, the track goes on."""

    def __init__(self, trace: Trace, name: str, clean: Clean | None = None) -> None:
        self.name = name
        self.clock = TrackClock(INPUT_RATE)
        """When a sample came in."""
        self.voices: dict[str, Voice] = {}
        """Those that are listened to, by the track's sid."""
        self._trace = trace
        self._clean = clean
        self._changed = asyncio.Event()
        self._delays: deque[tuple[int, float, float]] = deque([(0, 0.0, 0.0)], maxlen=64)
        self._failure: WorkbenchError | None = None
        self._starved = 0
        self._position = 0
        self._before: deque[Samples] = deque()

    async def __aenter__(self) -> Self:
        self._trace.emit(DeviceOpened("mic", self.name, INPUT_RATE, 0.0))
        return self

    async def __aexit__(self, *error: object) -> None:
        self.voices.clear()

    def fail(self, error: WorkbenchError) -> None:
        """End it: the room is lost for good, and `frames` raises this."""
        self._failure = error
        self._changed.set()

    def notify(self) -> None:
        """Wake `frames`: there is a new frame, or a voice less to wait for."""
        self._changed.set()

    def insert(self, samples: Samples) -> None:
        """Insert sound that ends now before what comes next, at once; its times lie in the past."""
        self._before.append(samples[len(samples) % FRAME :])
        self._changed.set()

    def set_delay(self, network_s: float, buffer_s: float) -> None:
        """Set how long sound is on the network and in the jitter buffer from now on, before it comes in."""
        self._delays.append((self._position, network_s, buffer_s))

    def time_of(self, sample: int) -> float:
        """Return when that sample was spoken, as far as is known, on the loop's clock, s."""
        return self.clock.time_of(sample) - sum(self._delay(sample))

    def transit(self, sample: int) -> Transit:
        """Return until when that sample was on the network and in the jitter buffer."""
        _, buffer_s = self._delay(sample)
        arrived = self.clock.time_of(sample)
        return [("network_in", arrived - buffer_s), ("jitter_buffer", arrived)]

    def _delay(self, sample: int) -> tuple[float, float]:
        """Return what `set_delay` set for it, s."""
        since = (delay for delay in reversed(self._delays) if delay[0] <= sample)
        return next(since, (0, 0.0, 0.0))[1:]

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield frames until the room is lost; raises the WorkbenchError that it was lost for."""
        loop = asyncio.get_running_loop()
        log = MappingLog(self._trace, "user", self.clock)
        log.start()
        self.clock.restart(0, loop.time())
        last = loop.time()
        while self._failure is None:
            if self._before:
                samples, last = self._before.popleft(), loop.time()
                self.clock.restart(self._position, last - len(samples) / INPUT_RATE)
                for frame in self._framed(samples):
                    self._position = frame.end
                    log.log(frame.position)
                    yield frame
                    await asyncio.sleep(0)  # seconds of it: others get their turn in between
                self._starved = 0
                continue
            if (mixed := self._mixed(loop.time() - last >= FRAME_S + TOGETHER_S)) is not None:
                samples, last = mixed, loop.time()
            elif count := await self._waited(last):
                samples = silence(count * FRAME)
                last += count * FRAME_S
            else:
                continue
            for frame in self._framed(samples):
                self._position = frame.end
                self.clock.observe(frame.end, last)
                log.log(frame.position)
                yield frame
        raise self._failure

    async def _waited(self, last: float) -> int:
        """Wait for a frame; return 0 if one came, else how many frames of silence have passed."""
        loop = asyncio.get_running_loop()
        behind = any(voice.frames for voice in self.voices.values())
        wait_s = FRAME_S
        if self.voices and not self._starved:
            wait_s = FRAME_S + TOGETHER_S if behind else STARVED_S
        self._changed.clear()
        timer = loop.call_later(max(0.0, last + wait_s - loop.time()), self._changed.set)
        try:
            await self._changed.wait()
        finally:
            timer.cancel()
        now = loop.time()
        if now - last < wait_s or self._before or any(voice.frames for voice in self.voices.values()):
            return 0
        count = int((now - last) / FRAME_S + 1e-6)
        if self.voices:
            self._starved += count * FRAME
        return count

    def _mixed(self, late: bool) -> Samples | None:
        """Return the next frame of all voices mixed, if it is there."""
        voices = self.voices.values()
        ready = [voice for voice in voices if voice.frames]
        if not ready or (len(ready) < len(self.voices) and not late):
            return None
        if self._starved:
            self._drop_late(ready)
        parts = [voice.frames.popleft() for voice in ready]
        mixed = parts[0]
        if len(parts) > 1:
            total = np.sum(parts, axis=0, dtype=np.int32)
            mixed = np.clip(total, -32768, 32767).astype(np.int16)
        return self._clean(mixed) if self._clean is not None else mixed

    def _drop_late(self, ready: list[Voice]) -> None:
        """Drop sound that comes after silence was put in its place, or the track would run ahead of the clock."""
        for voice in ready:
            extra = min(len(voice.frames) - 1, self._starved // FRAME)
            for _ in range(extra):
                voice.frames.popleft()
            if extra:
                self._trace.emit(Glitch("user", self._position, extra * FRAME))
        self._starved = 0

    def _framed(self, samples: Samples) -> list[Frame]:
        return [
            Frame(samples[at : at + FRAME], INPUT_RATE, self._position + at)
            for at in range(0, len(samples), FRAME)
        ]
