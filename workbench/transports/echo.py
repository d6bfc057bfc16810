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
"""Of the spectra, samples: 32 ms every 8 ms. A room that answers within a window is a gain for each frequency."""
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
    is played is scaled to what is captured; what that leaves is somebody else, so that a tone or music of ours, which
    is in a few frequencies only, never explains a voice. An echo has 0.7 or more, 0.3 in a room with much
    reverberation; other speech, or a user who speaks over the echo, less than 0.25 from 250 ms on. Costs 3 ms.
    """
    if len(mic) < LEAST or len(played) * INPUT_RATE // OUTPUT_RATE < len(mic):
        return 0.0
    mic = mic[-MOST:]
    captured, ours = spectra(mic, INPUT_RATE), spectra(played, OUTPUT_RATE)
    power = np.abs(ours) ** 2
    count, floor = len(captured), FLOOR * float(power.mean()) * len(captured) + 1e-9
    explained = 0.0
    for lag in range(max(0, len(ours) - count - LAGS), len(ours) - count + 1):
        then = slice(lag, lag + count)
        shared = np.abs(np.sum(captured * np.conj(ours[then]), axis=0)) ** 2
        explained = max(explained, float(np.sum(shared / (np.sum(power[then], axis=0) + floor))))
    return min(1.0, explained / max(float(np.sum(np.abs(captured) ** 2)), 1e-9))


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
