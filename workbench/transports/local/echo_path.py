"""From the speaker back into the microphone: is there a way, how long is it, how loud?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np

from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, SILENCE_DB, Samples, level_db, silence
from workbench.model.errors import WorkbenchError
from workbench.trace.trace import Trace
from workbench.transports.local.echo_meter import cross_spectrum
from workbench.transports.local.microphone import Microphone
from workbench.transports.local.speaker import Speaker

CHIRP_S = 0.2
CHIRP_HZ = (400.0, 3600.0)
CHIRP_DB = -20.0
"""Level of the chirp, dBFS: as loud as speech."""
CHIRPS = 4
EVERY_S = 0.6
FIRST_S = 0.8
"""The first chirp comes when the devices run evenly, s."""
EARLIEST_S, LATEST_S = -0.1, 0.4
"""A chirp comes back between these after its time, s; before it only where a device tells a wrong time."""
ALIKE_MS = 5.0
"""More than half of the chirps must come back as late as each other, ms; one may have met a glitch."""
SURE = 6.0
"""Times the spread of the correlation that a peak must stand out by."""


@dataclass(frozen=True, slots=True)
class EchoPath:
    """What comes back into the microphone.

    `delay_ms` ± `error_ms` is what the devices' own times do not hold (hidden buffers, the air), None where nothing
    comes back; `level_db` of what does and `noise_db` of the microphone before, dBFS.
    """

    delay_ms: float | None
    error_ms: float
    level_db: float
    noise_db: float


async def measure_echo_path(
    microphone: str | int | None = None, speaker: str | int | None = None
) -> EchoPath:
    """Play four chirps, 4 s in all, and listen. Errors as of `Microphone` and `Speaker`."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    trace = Trace(lambda: (loop.time() - start) * 1000)
    failure: Exception | None = None
    mic = silence(round((FIRST_S + CHIRPS * EVERY_S + 2 * LATEST_S) * INPUT_RATE))
    async with Microphone(microphone, trace) as source, Speaker(speaker, trace) as sink:
        chirps = ChirpTrack()
        try:
            async with asyncio.TaskGroup() as tasks:
                playing = tasks.create_task(sink.play(chirps.pull))
                async for frame in source.frames():
                    if frame.end > len(mic):
                        break
                    mic[frame.position : frame.end] = frame.samples
                playing.cancel()
        except* WorkbenchError as lost:
            failure = lost.exceptions[0]
        if failure is not None:
            raise failure
        due = [round(source.clock.sample_at(sink.time_of(at))) for at in chirps.starts]
    return echo_path(mic, due)


class ChirpTrack:
    """Chirps at their times, silence between them."""

    def __init__(self) -> None:
        self.starts = [round((FIRST_S + n * EVERY_S) * OUTPUT_RATE) for n in range(CHIRPS)]
        self._track = silence(self.starts[-1] + OUTPUT_RATE)
        for start in self.starts:
            sound = chirp(OUTPUT_RATE)
            self._track[start : start + len(sound)] = sound
        self._position = 0

    def pull(self, count: int) -> Samples:
        """Return the next samples of the track."""
        part = self._track[self._position : self._position + count]
        self._position += count
        return np.concatenate((part, silence(count - len(part))))


def chirp(rate: int) -> Samples:
    """Return a rising tone, faded at both ends so that it does not click."""
    at = np.arange(round(CHIRP_S * rate)) / rate
    low, high = CHIRP_HZ
    wave = np.sin(2 * np.pi * (low * at + (high - low) / (2 * CHIRP_S) * at**2)) * np.hanning(len(at))
    loud = 32768 * 10 ** (CHIRP_DB / 20) / np.sqrt(np.mean(wave**2))
    return np.asarray(np.clip(wave * loud, -32768, 32767), dtype=np.int16)


def echo_path(mic: Samples, due: list[int]) -> EchoPath:
    """Return what the microphone (16 kHz) captured of chirps that left the speaker at its samples `due`."""
    sound = chirp(INPUT_RATE)
    first, last = round(EARLIEST_S * INPUT_RATE), round(LATEST_S * INPUT_RATE)
    delays, levels = [], []
    for at in due:
        window = mic[max(0, at + first) : at + last + len(sound)]
        peaks = np.abs(np.fft.irfft(cross_spectrum(window, sound)))[: last - first]
        lag = int(np.argmax(peaks))
        if peaks[lag] > SURE * float(np.sqrt(np.mean(peaks**2))):
            delays.append((lag + first) * 1000 / INPUT_RATE)
            levels.append(level_db(window[lag : lag + len(sound)]))
    noise_db = level_db(mic[INPUT_RATE // 4 : max(0, due[0] + first)])
    middle = float(np.median(delays)) if delays else 0.0
    delays = [delay for delay in delays if abs(delay - middle) < ALIKE_MS]
    if len(delays) <= len(due) // 2:
        return EchoPath(None, 0.0, SILENCE_DB, noise_db)
    delay = float(np.median(delays))
    error = max(1000 / INPUT_RATE, float(np.max(np.abs(np.array(delays) - delay))))
    return EchoPath(round(delay, 1), round(error, 1), round(float(np.median(levels)), 1), round(noise_db, 1))
