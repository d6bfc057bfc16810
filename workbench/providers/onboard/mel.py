"""Log-mel features for Whisper: the logarithm of the energy in 80 mel bands, 100 times a second."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from workbench.model.audio import INPUT_RATE, Samples

BANDS = 80
FFT = 400
HOP = 160
RANGE = 8.0
"""Energy this many powers of ten below the loudest counts as silence."""

Floats = NDArray[np.float32]


def features(samples: Samples, frames: int) -> Floats:
    """Return the log-mel spectrogram of 16 kHz sound, filled up with silence; shape (80, `frames`), contiguous.

    The same as computing it over the sound with zeros behind, without the work: 2 ms for 4 s.
    """
    return wave_features(samples.astype(np.float32) / np.float32(32768.0), frames)


def wave_features(wave: Floats, frames: int) -> Floats:
    """Return the same of a waveform of any scale."""
    out = np.empty((BANDS, frames), dtype=np.float32)
    mels = _log_mels(wave[: frames * HOP])[:, :frames]
    floor = np.float32(mels.max() - RANGE)
    out[:, : mels.shape[1]] = np.maximum(mels, floor)
    out[:, mels.shape[1] :] = max(floor, np.float32(-10.0))
    return np.asarray((out + 4.0) / 4.0, dtype=np.float32)


def _log_mels(samples: Floats) -> Floats:
    """Return log10 of the energies of each frame with sound in it; shape (80, len / 160 + 2)."""
    wave = np.pad(np.pad(samples, (FFT // 2, 0), mode="reflect"), (0, FFT))
    windows = np.lib.stride_tricks.sliding_window_view(wave, FFT)[::HOP][
        : (len(samples) + FFT // 2) // HOP + 1
    ]
    spectrum = np.fft.rfft(windows * _window())
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return np.asarray(np.log10(np.maximum(_filters() @ power.T, np.float32(1e-10))), dtype=np.float32)


@cache
def _window() -> Floats:
    return np.hanning(FFT + 1)[:-1].astype(np.float32)


@cache
def _filters() -> Floats:
    """Return Slaney's mel filters: linear below 1 kHz, logarithmic above, each of the same area; shape (80, 201)."""
    bins = np.fft.rfftfreq(FFT, 1 / INPUT_RATE)
    top = 15.0 + 27.0 * np.log(INPUT_RATE / 2 / 1000.0) / np.log(6.4)
    mels = np.linspace(0.0, top, BANDS + 2)
    edges = np.where(mels < 15.0, mels * 200.0 / 3.0, 1000.0 * 6.4 ** ((mels - 15.0) / 27.0))
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low)
    return np.asarray(weights, dtype=np.float32)
