"""From one sample rate to another, once at each edge of a session."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from workbench.model.audio import Samples

Wave = NDArray[np.float32]
"""Mono, shape (n,), full scale ±1."""


def to_wave(samples: Samples) -> Wave:
    """Return PCM16 as a wave."""
    return samples.astype(np.float32) / np.float32(32768.0)


def to_samples(wave: Wave) -> Samples:
    """Return a wave as PCM16, clipped at full scale."""
    scaled = np.clip(np.rint(wave * np.float32(32768.0)), -32768, 32767)
    return np.asarray(scaled, dtype=np.int16)


class Resampler:
    """A stream of waves at `source` Hz made into one at `target` Hz.

    Sample k of the output is the sound of sample k · source / target of the input: soxr takes its delay off by keeping
    samples back, and `flush` gives them. How many it keeps is what `live` chooses.
    """

    def __init__(self, source: float, target: float, *, live: bool = False) -> None:
        """`live` keeps back a steady 10–14 ms (30 µs a 10 ms block, positions true to 0.12 ms); otherwise up to 40 ms
        come out at once, which is no matter for a file (4 µs, positions exact)."""
        self.source = source
        self.target = target
        self._stream = None
        if source != target:
            import soxr  # 15 ms

            self._stream = soxr.ResampleStream(source, target, 1, dtype="float32", quality="HQ", vr=live)

    def __call__(self, wave: Wave) -> Wave:
        """Take the next input, shape (n,); return as much of the output as is ready, shape (m,)."""
        return wave if self._stream is None else cast(Wave, self._stream.resample_chunk(wave, last=False))

    def flush(self) -> Wave:
        """Return the end of the output, when no more input comes."""
        rest = np.zeros(0, np.float32)
        return rest if self._stream is None else cast(Wave, self._stream.resample_chunk(rest, last=True))
