"""Whether a sound in the microphone is our own echo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.engine.barge_in import EchoOf
from workbench.engine.stages import Stages, Tracks
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples

LAG = OUTPUT_RATE * 3 // 10
"""How late an echo may come back, samples of `agent`: 300 ms."""
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

Powers = NDArray[np.float64]


def echo_detector(tracks: Tracks, stages: Stages) -> EchoOf:
    """Return a function: how much a stretch of `user` (samples) looks like what was played at that time, 0…1."""

    def correlation(start: int, stop: int) -> float:
        captured = tracks.mic if tracks.mic is not None else tracks.user
        end = tracks.agent.end
        ahead_s = stages.sink.time_of(end) - stages.source.time_of(stop)
        last = end - round(ahead_s * OUTPUT_RATE)
        length = (stop - start) * OUTPUT_RATE // INPUT_RATE
        played = tracks.agent.read(last - length - LAG, last)
        return echo_correlation(captured.read(start, stop), played) if played.any() else 0.0

    return correlation


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
