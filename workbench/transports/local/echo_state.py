"""How well echo is cancelled and how late it comes back, from the sound itself; and whether a sound is our echo."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples
from workbench.model.events import EchoState
from workbench.trace.trace import Trace

FRAME_S = 0.01
LOOK_FRAMES = 100
"""Frames between two looks: 1 s."""
KEEP_FRAMES = 1_000
"""Levels kept: 10 s."""
DELAY_FRAMES = 200
"""Sound that the delay is looked for in: 2 s; 3 ms of work a look."""
ENOUGH_FRAMES = 50
"""Frames with sound of ours that a look needs."""
ACTIVE_POWER = (32768.0 * 10 ** (-50 / 20)) ** 2
"""Power of a frame from which we speak: −50 dBFS."""
ABOVE_NOISE = 4.0
"""Times the power of the noise (6 dB) from which echo can be told from it."""
MAX_DELAY_S = 0.5
"""The longest delay that is looked for, s."""
MISSING_LOOKS, MISSING_AGAIN_LOOKS = 3, 10
"""Looks in a row without an echo from which there is none: at first, and after one was found."""
SAME_MS = 3.0
"""An echo comes back as late as at the look before, give or take this; a chance likeness does not, ms."""
SURE = 8.0
"""Times the spread of the correlation that its peak must stand out by."""

Powers = NDArray[np.float64]


class EchoMeter:
    """Follows an echo canceller; logs an `EchoState` every second in which we spoke.

    `lead_s`: so far is the reverse stream ahead of the microphone, s.
    """

    def __init__(self, trace: Trace, lead_s: float) -> None:
        self.erle_db: float | None = None
        """Echo return loss enhancement, dB; None where no echo can be heard to begin with."""
        self.delay_ms: float | None = None
        """From leaving the speaker to coming into the microphone, ms; None where it can't be told."""
        self.present = True
        """Whether our sound comes back at all; with headphones it does not."""
        self._missing = 0
        self._missing_limit = MISSING_LOOKS
        self._trace = trace
        self._lead_s = lead_s
        self._powers: deque[tuple[float, float, float]] = deque(maxlen=KEEP_FRAMES)
        self._sound: deque[tuple[Samples, Samples]] = deque(maxlen=DELAY_FRAMES)
        self._count = 0

    def add(self, near: Samples, clean: Samples, far: Samples) -> None:
        """Add 10 ms of the microphone, of what was made of it, and of the reverse stream."""
        self._powers.append((power(near), power(clean), power(far)))
        self._sound.append((near, far))
        self._count += 1
        if self._count % LOOK_FRAMES == 0:
            self._measure()

    def _measure(self) -> None:
        near, clean, far = np.array(self._powers).T
        active = far > ACTIVE_POWER
        if np.count_nonzero(active[-DELAY_FRAMES:]) < ENOUGH_FRAMES:
            return
        before, self.delay_ms = self.delay_ms, self._delay_ms()
        self._decide(before)
        self.erle_db = erle_db(near, clean, self._echoing(active)) if self.present else None
        self._trace.emit(EchoState(self.erle_db, self.delay_ms, active=self.present))

    def _decide(self, before: float | None) -> None:
        """Decide whether there is an echo. A user who speaks over it may hide it for some looks."""
        if self.delay_ms is not None and before is not None and abs(self.delay_ms - before) <= SAME_MS:
            self._missing, self._missing_limit = 0, MISSING_AGAIN_LOOKS
        else:
            self._missing += 1
        self.present = self._missing < self._missing_limit

    def _echoing(self, active: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the frames in which our sound comes back."""
        late = round(((self.delay_ms or 0.0) / 1000 + self._lead_s) / FRAME_S)
        return np.concatenate((np.zeros(late, np.bool_), active))[: len(active)]

    def _delay_ms(self) -> float | None:
        near = np.concatenate([near for near, _ in self._sound])
        far = np.concatenate([far for _, far in self._sound])
        lag = echo_lag(near, far)
        return None if lag is None else round((lag / INPUT_RATE - self._lead_s) * 1000, 1)


def power(samples: Samples) -> float:
    """Return the mean square of the samples."""
    wave = samples.astype(np.float32)
    return float(np.dot(wave, wave)) / max(1, len(samples))


def erle_db(near: Powers, clean: Powers, echoing: NDArray[np.bool_]) -> float | None:
    """Return by how much echo was lowered, dB, None where there is too little of it.

    The median over the frames with echo that stand out of the noise: a user who speaks over some does not matter.
    """
    quiet = near[~echoing]
    noise = float(np.quantile(quiet, 0.2)) if len(quiet) >= ENOUGH_FRAMES else 0.0
    audible = echoing & (near > max(noise * ABOVE_NOISE, 1.0))
    if np.count_nonzero(audible) < ENOUGH_FRAMES:
        return None
    return round(float(np.median(10 * np.log10(near[audible] / np.maximum(clean[audible], 1.0)))), 1)


def echo_lag(near: Samples, far: Samples) -> int | None:
    """Return by how many samples `far` comes back in `near`, 0 to 0.5 s; None if none stands out. 3 ms for 2 s."""
    whitened = cross_spectrum(near, far)
    peaks = np.abs(np.fft.irfft(whitened / np.maximum(np.abs(whitened), 1e-3)))[
        : int(MAX_DELAY_S * INPUT_RATE)
    ]
    lag = int(np.argmax(peaks))
    return lag if peaks[lag] > SURE * float(np.sqrt(np.mean(peaks**2))) else None


def cross_spectrum(late: NDArray[Any], early: NDArray[Any]) -> NDArray[np.complex128]:
    """Return the cross spectrum; its inverse transform is the correlation at the lags 0, 1, …, −2, −1 by which `late`
    follows `early`."""
    size = 1 << (len(late) + len(early) - 1).bit_length()
    spectrum = np.fft.rfft(late.astype(np.float64), size) * np.conj(
        np.fft.rfft(early.astype(np.float64), size)
    )
    return np.asarray(spectrum, dtype=np.complex128)


# --- is it our echo? -------------------------------------------------------------------------------------------------

BANDS_HZ = (200, 350, 500, 700, 900, 1150, 1450, 1800, 2200, 2700, 3300, 4000)
"""Edges of the bands that are compared: what a room and a small speaker leave of speech."""
FLOOR_DB = 30.0
"""So far below the loudest, nothing is compared, dB."""
LAGS = 30
"""Frames of 10 ms by which an echo may be late."""
LEAST = 15
"""Frames of 10 ms that are needed to tell."""
MOST = 60
"""The last frames of 10 ms that are looked at."""
SAME_WAVE = 0.3
"""Correlation of the waves that an echo has even in a room with much reverberation; other speech rarely has 0.2."""
SIZE = 16_384
"""Of the transforms at 16 kHz: more than `MOST` and `LAGS` together."""


def echo_correlation(mic: Samples, played: Samples) -> float:
    """Return how much a sound in the microphone is what we played, 0 to 1.

    `mic` (16 kHz) is the microphone before echo cancellation, its last 600 ms count; `played` (24 kHz) ends when `mic`
    ends and begins up to 300 ms before it: the lags that are tried. 0.0 for less than 150 ms. Two signs, both needed:
    the levels of 11 bands move alike, and so do the waves. An echo of speech has 0.7 to 0.9, in a bad room 0.5; other
    speech, or a user who speaks over the echo, mostly less than 0.4. Costs 3 ms.
    """
    count = min(len(mic) * 100 // INPUT_RATE, MOST)
    span = min(len(played) * 100 // OUTPUT_RATE, count + LAGS)
    if count < LEAST or span < count:
        return 0.0
    mic, played = mic[-count * INPUT_RATE // 100 :], played[-span * OUTPUT_RATE // 100 :]
    levels = level_correlation(band_levels(mic, INPUT_RATE), band_levels(played, OUTPUT_RATE))
    return levels * min(1.0, wave_correlation(mic, played) / SAME_WAVE)


def level_correlation(captured: Powers, ours: Powers) -> float:
    """Return the best correlation, over the lags, of how the levels of the bands stray from their means."""
    count = len(captured)
    captured = captured - captured.mean(axis=0)
    best = 0.0
    for lag in range(len(ours) - count + 1):
        then = ours[len(ours) - count - lag : len(ours) - lag]
        then = then - then.mean(axis=0)
        norm = float(np.sqrt(np.sum(captured**2) * np.sum(then**2)))
        best = max(best, float(np.sum(captured * then)) / norm if norm > 1e-9 else 0.0)
    return best


def wave_correlation(mic: Samples, played: Samples) -> float:
    """Return the best correlation of the waves over the lags, whitened, between 200 and 4000 Hz."""
    low, high = BANDS_HZ[0] * SIZE // INPUT_RATE, BANDS_HZ[-1] * SIZE // INPUT_RATE
    captured, ours = np.zeros((2, SIZE // 2 + 1), np.complex128)
    captured[low:high] = np.fft.rfft(mic.astype(np.float64), SIZE)[low:high]
    ours[low:high] = np.fft.rfft(played.astype(np.float64), SIZE * OUTPUT_RATE // INPUT_RATE)[low:high]
    loud = np.abs(ours)
    white = 1 / np.sqrt(np.maximum(loud, loud.max() * 0.02 + 1e-9))
    products = np.fft.irfft(captured * white * np.conj(ours * white), SIZE)
    count, span = len(mic), len(played) * INPUT_RATE // OUTPUT_RATE
    starts = np.arange(span - count + 1)
    energy = np.concatenate(([0.0], np.cumsum(np.fft.irfft(ours * white, SIZE)[:span] ** 2)))
    energy_captured = float(np.sum(np.fft.irfft(captured * white, SIZE)[:count] ** 2))
    norm = np.sqrt(energy_captured * np.maximum(energy[starts + count] - energy[starts], 0.0))
    return float(np.max(np.abs(products[-starts]) / np.maximum(norm, 1e-9)))


def band_levels(samples: Samples, rate: int) -> Powers:
    """Return dB in each band in windows of 20 ms every 10 ms, shape (frames, bands)."""
    hop = rate // 100
    at = np.arange(len(samples) // hop - 1)[:, None] * hop + np.arange(2 * hop)
    powers = np.abs(np.fft.rfft(samples[at] * np.hanning(2 * hop), axis=1)) ** 2
    bands = np.add.reduceat(powers, np.array(BANDS_HZ) * 2 * hop // rate, axis=1)[:, :-1]
    levels = 10 * np.log10(np.maximum(bands, 1.0))
    return np.asarray(np.maximum(levels, levels.max() - FLOOR_DB), dtype=np.float64)
