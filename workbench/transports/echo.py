"""Whether a sound in the microphone is our own echo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.engine.barge_in import EchoOf
from workbench.engine.stages import Stages, Tracks
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples

LAG = OUTPUT_RATE * 3 // 10
"""How late an echo may come back, samples of `agent`: 300 ms."""
LAGS = 38
"""The same in steps of 8 ms."""
LEAST = INPUT_RATE * 15 // 100
"""Sound that is needed to tell, samples."""
MOST = INPUT_RATE * 6 // 10
"""The last samples that are looked at."""
WINDOW, HOP = 512, 128
"""Of the spectra, samples: 32 ms every 8 ms."""
TAPS = np.array([0, 2, 4, 8, 12, 16])
"""How much later than its first sound, in steps of 8 ms, a room still answers: up to 128 ms."""
DAMPING = 0.075
"""How much less a later answer is believed in, for each step of 8 ms, as a share of what was played."""
CHANCE = 8.5
"""So many windows of anything would be explained by chance, with so many answers of a room to choose."""
BINS = slice(7, 129)
"""Frequencies that are compared, 220 to 4000 Hz: what a room and a small speaker leave of speech."""
FLOOR = 1e-3
"""Of the mean power of what we played: frequencies in which there is less explain nothing."""

Spectra = NDArray[np.complex128]


def echo_detector(tracks: Tracks, stages: Stages) -> EchoOf:
    """Return a function: the share of a stretch of `user` (samples) that is what was played at that time, 0…1."""

    def share(start: int, stop: int) -> float:
        captured = tracks.mic if tracks.mic is not None else tracks.user
        end = tracks.agent.end
        ahead_s = stages.sink.time_of(end) - stages.source.time_of(stop)
        last = end - round(ahead_s * OUTPUT_RATE)
        length = (stop - start) * OUTPUT_RATE // INPUT_RATE
        played = tracks.agent.read(last - length - LAG, last)
        return echo_share(captured.read(start, stop), played) if played.any() else 0.0

    return share


def echo_share(mic: Samples, played: Samples) -> float:
    """Return how much of the power of a sound in the microphone is what we played, 0 to 1.

    `mic` (16 kHz) is the microphone before echo cancellation, its last 600 ms count; `played` (24 kHz) ends when `mic`
    ends and begins up to 300 ms before it: the lags that are tried. 0.0 for less than 150 ms. For each frequency, what
    is played, and the answers of the room to it, are scaled to what is captured; what that leaves is somebody else, so
    that a tone or music of ours, which is in a few frequencies only, never explains a voice. What would be explained by
    chance counts for nothing. From 200 ms on an echo has 0.8 or more, 0.5 in a room with much reverberation; other
    speech, or a user who speaks over the echo, less than 0.45. Costs 3 ms.
    """
    mic = mic[-MOST:]
    if (
        len(mic) < LEAST
        or len(played) * INPUT_RATE // OUTPUT_RATE < len(mic)
        or not (mic.any() and played.any())
    ):
        return 0.0
    captured, ours = spectra(mic, INPUT_RATE), spectra(played, OUTPUT_RATE)
    count = len(captured)
    floor = FLOOR * float((np.abs(ours) ** 2).mean()) * count + 1e-9
    share = explained(captured, ours, best_lag(captured, ours, floor), floor)
    chance = min(0.9, CHANCE / count)
    return max(0.0, (share - chance) / (1 - chance))


def best_lag(captured: Spectra, ours: Spectra, floor: float) -> int:
    """Return from which window on what is played explains most of what is captured, by one gain for each frequency."""
    count, power = len(captured), np.abs(ours) ** 2

    def explains(lag: int) -> float:
        then = slice(lag, lag + count)
        shared = np.abs(np.sum(captured * np.conj(ours[then]), axis=0)) ** 2
        return float(np.sum(shared / (np.sum(power[then], axis=0) + floor)))

    return max(range(max(0, len(ours) - count - LAGS), len(ours) - count + 1), key=explains)


def explained(captured: Spectra, ours: Spectra, lag: int, floor: float) -> float:
    """Return the share of the power of `captured` that `ours` explains, from window `lag` on and with a room's answers
    to what came before."""
    count = len(captured)
    padded = np.concatenate((np.zeros((TAPS[-1], ours.shape[1])), ours))
    answers = np.stack([padded[lag + TAPS[-1] - tap :][:count] for tap in TAPS], axis=-1).swapaxes(0, 1)
    adjoint, heard = np.conj(answers.swapaxes(1, 2)), captured.T[:, :, None]
    played = np.sum(np.abs(answers[:, :, 0]) ** 2, axis=1)
    damping = (played[:, None] * TAPS * DAMPING + floor)[:, :, None] * np.eye(len(TAPS))
    rest = heard - answers @ np.linalg.solve(adjoint @ answers + damping, adjoint @ heard)
    return 1.0 - float(np.sum(np.abs(rest) ** 2)) / max(float(np.sum(np.abs(captured) ** 2)), 1e-9)


def spectra(samples: Samples, rate: int) -> Spectra:
    """Return the spectra of windows that end with the last sample, shape (windows, frequencies)."""
    count = len(samples) * INPUT_RATE // rate
    at = np.arange(count) * (rate / INPUT_RATE)
    wave = (
        np.interp(at, np.arange(len(samples)), samples.astype(np.float64)) if rate != INPUT_RATE else samples
    )
    first = (count - WINDOW) % HOP
    starts = np.arange(first, count - WINDOW + 1, HOP)
    windows = wave[starts[:, None] + np.arange(WINDOW)] * np.hanning(WINDOW)
    return np.asarray(np.fft.rfft(windows, axis=1)[:, BINS], dtype=np.complex128)
