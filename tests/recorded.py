"""Recorded speech for tests: `tests/data/README.md` says what each file says."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from workbench.model.audio import Samples

DATA = Path(__file__).parent / "data"


def recorded(name: str) -> Samples:
    """Return the samples of that file, 16 kHz."""
    with wave.open(str(DATA / name)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
