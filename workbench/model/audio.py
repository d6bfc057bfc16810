"""Frames and the level of sound in them.

All audio inside a session is mono PCM16: `INPUT_RATE` towards the engine, `OUTPUT_RATE` towards the listener. A sample
is named by its position on its track, counted from the session's first sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
"""Mono PCM16, shape (n,)."""

INPUT_RATE = 16_000
"""Hz of the tracks `mic` and `user`: what VAD, STT and echo cancellation work at."""
OUTPUT_RATE = 24_000
"""Hz of the track `agent`: what most TTS models speak at."""

BLOCK_MS = 5
"""Resolution of `audible_blocks`, ms."""
AUDIBLE_DB = -50.0
"""dBFS (RMS of a block) below which nothing counts as audible."""
AUDIBLE_ABOVE_NOISE_DB = 12.0
"""dB that a block must stand above the noise floor to count as audible."""
SILENCE_DB = -100.0
"""What digital silence is given as, dBFS."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A stretch of one track: `samples` at `rate` Hz, the first of them at `position` on the track.

    `raw` is the same stretch before echo cancellation, None where nothing was cancelled.
    """

    samples: Samples
    rate: int
    position: int
    raw: Samples | None = None

    @property
    def end(self) -> int:
        """Position of the first sample after this frame."""
        return self.position + len(self.samples)


def silence(count: int) -> Samples:
    """Return `count` samples of digital silence."""
    return np.zeros(count, dtype=np.int16)


def level_db(samples: Samples) -> float:
    """Return the RMS level in dBFS (0 = full-scale square wave), `SILENCE_DB` for nothing at all."""
    if not len(samples):
        return SILENCE_DB
    wave = samples.astype(np.float32)
    power = float(np.dot(wave, wave)) / len(samples)
    return max(SILENCE_DB, 10.0 * math.log10(power / 32768.0**2)) if power else SILENCE_DB


def peak_db(samples: Samples) -> float:
    """Return the peak level in dBFS, `SILENCE_DB` for nothing at all."""
    peak = max(int(samples.max(initial=0)), -int(samples.min(initial=0)))
    return 20.0 * math.log10(peak / 32768.0) if peak else SILENCE_DB


def block_levels(samples: Samples, rate: int) -> NDArray[np.float32]:
    """Return the RMS level in dBFS of each whole block of `BLOCK_MS`; shape (len // block,)."""
    block = rate * BLOCK_MS // 1000
    count = len(samples) // block
    waves = samples[: count * block].astype(np.float32).reshape(count, block)
    power = np.einsum("ij,ij->i", waves, waves) / (block * 32768.0**2)
    return np.asarray(10.0 * np.log10(np.maximum(power, 10.0 ** (SILENCE_DB / 10))), dtype=np.float32)


def noise_floor_db(levels: NDArray[np.float32]) -> float:
    """Return the level that a tenth of the blocks stay below, dBFS: that of the pauses in speech."""
    return float(np.quantile(levels, 0.1)) if len(levels) else SILENCE_DB


def audible_blocks(samples: Samples, rate: int, noise_db: float) -> NDArray[np.intp]:
    """Return the indices of the audible blocks of `BLOCK_MS`: above max(`noise_db` + 12 dB, −50 dBFS)."""
    threshold = max(noise_db + AUDIBLE_ABOVE_NOISE_DB, AUDIBLE_DB)
    return np.flatnonzero(block_levels(samples, rate) >= threshold)


def first_audible(samples: Samples, rate: int, noise_db: float = SILENCE_DB) -> int | None:
    """Return the offset of the first sample of the first audible block, None if all is silent."""
    audible = audible_blocks(samples, rate, noise_db)
    return int(audible[0]) * (rate * BLOCK_MS // 1000) if len(audible) else None


def last_audible(samples: Samples, rate: int, noise_db: float = SILENCE_DB) -> int | None:
    """Return the offset of the first sample after the last audible block, None if all is silent."""
    audible = audible_blocks(samples, rate, noise_db)
    return (int(audible[-1]) + 1) * (rate * BLOCK_MS // 1000) if len(audible) else None
