"""Echo cancellation: our own voice, noise and wrong level are taken out of the microphone by WebRTC's processing."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Self

import numpy as np

from workbench.engine.interfaces import Source
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Frame, Samples, silence
from workbench.model.errors import MissingError
from workbench.trace.trace import Trace
from workbench.transports.clockfit import TrackClock
from workbench.transports.local.echo_meter import EchoMeter, cross_spectrum
from workbench.transports.local.microphone import Microphone
from workbench.transports.resample import Resampler, Wave, to_samples, to_wave

FRAME = INPUT_RATE // 100
"""What the audio processing module takes at a time: 10 ms."""
LEAD_S = 0.02
"""The reverse stream is ahead of the microphone by this, s: so much may the times of the devices be wrong."""
FOLLOW = 0.02
"""The part of its error by which the reverse stream moves in a frame: the clocks' own jitter must not shake it."""
SLIP = 1.0
"""Samples by which a frame of it is stretched at most."""
KEEP = INPUT_RATE * 4
"""Samples of what was played that are kept."""
PER_PLAYED = INPUT_RATE / OUTPUT_RATE


class EchoCanceller:
    """WebRTC's audio processing at 16 kHz, its reverse stream fed with what the speaker really plays and when.

    `played` belongs to the speaker's thread, `clean` to the loop's. Costs 80–200 µs a frame of 10 ms. MissingError if
    it can't start.
    """

    def __init__(
        self,
        trace: Trace,
        captured_clock: TrackClock,
        played_clock: TrackClock,
        *,
        echo: bool = True,
        noise: bool = True,
        gain: bool = True,
    ) -> None:
        """The clocks are those of the microphone and of the speaker."""
        self._captured_clock, self._played_clock = captured_clock, played_clock
        self._echo = echo
        self._only_echo = echo and not (noise or gain)
        self._module = make_module(echo, noise, gain)
        self.delay = module_delay(echo, noise, gain)
        """Samples that the processing takes; they are taken off the positions."""
        self._far = PlayedTrack()
        self._far_next: float | None = None
        self.meter = EchoMeter(trace, LEAD_S)
        self._pending: deque[Frame] = deque()
        self._ready = silence(0)
        self._early = self.delay

    def played(self, samples: Samples, position: int) -> None:
        """The speaker was noise_bursts these samples of `agent`. Called in its thread."""
        self._far.append(samples, position)

    def clean(self, frame: Frame) -> Frame | None:
        """Take a frame; return the oldest that is ready, cleaned and at its own position, with what came in as `raw`.

        None for the first two frames of 10 ms, which the processing keeps back. A gap in the positions stays one.
        """
        self._pending.append(frame)
        out = np.concatenate([self._process(frame, at) for at in range(0, len(frame.samples), FRAME)])
        self._ready = np.concatenate((self._ready, out[self._early :]))
        self._early = max(0, self._early - len(out))
        oldest = self._pending[0]
        count = len(oldest.samples)
        if len(self._ready) < count:
            return None
        self._pending.popleft()
        cleaned, self._ready = self._ready[:count], self._ready[count:]
        if self._only_echo and not self.meter.present:
            cleaned = oldest.samples  # where nothing comes back, the module would take the user for our echo
        return Frame(cleaned, INPUT_RATE, oldest.position, oldest.samples)

    def _process(self, frame: Frame, at: int) -> Samples:
        near = frame.samples[at : at + FRAME]
        far = self._reverse(frame.position + at) if self._echo else silence(FRAME)
        out = run_module(self._module, near, far if self._echo else None)
        if self._echo:
            self.meter.add(near, out, far)
        return out

    def _reverse(self, position: int) -> Samples:
        """Return what leaves the speaker `LEAD_S` after the microphone's sample `position`, 10 ms of it."""
        if not (self._captured_clock.known and self._played_clock.known):
            return silence(FRAME)
        due = self._played_clock.sample_at(self._captured_clock.time_of(position) + LEAD_S) * PER_PLAYED
        start = self._far_next
        if start is None or abs(due - start) > FRAME:
            start = due
        length = FRAME + min(SLIP, max(-SLIP, FOLLOW * (due - start)))
        self._far_next = start + length
        return self._far.read(start, length)


class PlayedTrack:
    """The played track at 16 kHz, by position."""

    def __init__(self) -> None:
        self._resampler = Resampler(OUTPUT_RATE, INPUT_RATE, live=True)
        self._ring: Wave = np.zeros(KEEP, np.float32)
        self._end = 0
        self._expected = 0

    def append(self, samples: Samples, position: int) -> None:
        """Append the next samples of `agent` at 24 kHz."""
        if position != self._expected:
            self._resampler = Resampler(OUTPUT_RATE, INPUT_RATE, live=True)
            self._end = round(position * PER_PLAYED)
        self._expected = position + len(samples)
        wave = self._resampler(to_wave(samples))
        at = np.arange(self._end, self._end + len(wave)) % KEEP
        self._ring[at] = wave
        self._end += len(wave)

    def read(self, start: float, length: float) -> Samples:
        """Return `FRAME` samples made from `length` ones from `start` on (16 kHz); silence where nothing was played."""
        at = start + np.arange(FRAME) * (length / FRAME)
        index = np.floor(at).astype(np.int64)
        stored = (index >= max(0, self._end - KEEP + FRAME)) & (index + 1 < self._end)
        before, after = self._ring[index % KEEP], self._ring[(index + 1) % KEEP]
        return to_samples(np.where(stored, before + (after - before) * (at - index), 0.0).astype(np.float32))


class CleanMicrophone(Source):
    """A microphone whose frames go through an echo canceller: a source."""

    def __init__(self, microphone: Microphone, canceller: EchoCanceller) -> None:
        self.name = microphone.name
        self._microphone = microphone
        self._canceller = canceller

    async def __aenter__(self) -> Self:
        await self._microphone.__aenter__()
        self.name = self._microphone.name
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._microphone.__aexit__(*error)

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield the microphone's frames, cleaned, with what came in as `raw`."""
        async for frame in self._microphone.frames():
            cleaned = self._canceller.clean(frame)
            if cleaned is not None:
                yield cleaned

    def time_of(self, sample: int) -> float:
        """Return when that sample was spoken into the microphone."""
        return self._microphone.time_of(sample)


def make_module(echo: bool, noise: bool, gain: bool) -> Any:
    """Return the audio processing module. MissingError if it can't be loaded or started."""
    try:
        from livekit.rtc.apm import AudioProcessingModule  # 0.6 s: it loads a library of 30 MB

        return AudioProcessingModule(
            echo_cancellation=echo, noise_suppression=noise, high_pass_filter=True, auto_gain_control=gain
        )
    except (ImportError, OSError, RuntimeError) as error:
        raise MissingError(
            f"echo cancellation can't start: {error}",
            "install the package `livekit` again; without it, use headphones",
        ) from error


def run_module(module: Any, near: Samples, far: Samples | None) -> Samples:
    """Return 10 ms of the microphone, processed after 10 ms of the reverse stream; shape (160,)."""
    from livekit.rtc import AudioFrame

    if far is not None:
        module.process_reverse_stream(AudioFrame(bytearray(far.tobytes()), INPUT_RATE, 1, FRAME))
        module.set_stream_delay_ms(round(LEAD_S * 1000))
    frame = AudioFrame(bytearray(near.tobytes()), INPUT_RATE, 1, FRAME)
    module.process_stream(frame)
    return np.frombuffer(frame.data, np.int16)


@functools.cache
def module_delay(echo: bool, noise: bool, gain: bool) -> int:
    """Return by how many samples the module's output is late, measured with bursts of noise: 20 ms of work."""
    module = make_module(echo, noise, gain)
    count = FRAME * 128
    noise_bursts = (
        np.random.default_rng(1).standard_normal(count) * 3000 * (np.arange(count) // (FRAME * 8) % 2)
    )
    nothing = silence(FRAME) if echo else None
    near = noise_bursts.astype(np.int16)
    output = np.concatenate(
        [run_module(module, near[at : at + FRAME], nothing) for at in range(0, count, FRAME)]
    )
    return int(np.argmax(np.fft.irfft(cross_spectrum(output, near))[: FRAME * 10]))
