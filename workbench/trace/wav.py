"""The sound of a recording: mono PCM16 whose length is that of the file, whatever the header says."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from workbench.model.audio import Samples, silence
from workbench.model.events import TrackName
from workbench.trace.files import open_regular

HEADER_BYTES = 44
"""Of the files that we write: RIFF, fmt and data without anything else."""


def wav_header(rate: int, samples: int) -> bytes:
    """Return the first `HEADER_BYTES` of a mono PCM16 wav of `samples`; sizes stop at the format's limit (4 GiB)."""
    size = min(samples * 2, 0xFFFFFFFF - HEADER_BYTES)
    return b"".join(
        (
            struct.pack("<4sI4s", b"RIFF", size + HEADER_BYTES - 8, b"WAVE"),
            struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16),
            struct.pack("<4sI", b"data", size),
        )
    )


class RecordedTrack:
    """A track of a recording: read from its file whenever samples are asked for.

    Raises OSError where there is no such file, ValueError with the reason where it is not mono PCM16.
    """

    def __init__(self, path: Path, track: TrackName, rate: int) -> None:
        self.track = track
        self.start = 0
        self._path = path
        with open_regular(path) as file:
            self.rate, self._offset = _wav_start(file, rate)

    @property
    def end(self) -> int:
        """Position after the last sample that the file has by now: it may still be written to."""
        try:
            size = self._path.stat().st_size
        except OSError:  # it is gone, and with it its sound
            return 0
        return max(0, size - self._offset) // 2

    def read(self, start: int, stop: int) -> Samples:
        """Return a copy of the samples from `start` to `stop`, silence where there is none; shape (stop − start,)."""
        out = silence(max(0, stop - start))
        first, last = max(start, 0), min(stop, self.end)
        if first < last:
            with open_regular(self._path) as file:
                file.seek(self._offset + first * 2)
                samples = np.frombuffer(file.read((last - first) * 2), dtype="<i2")
            out[first - start : first - start + len(samples)] = samples
        return out


def _wav_start(file: BinaryIO, rate: int) -> tuple[int, int]:
    """Return rate and offset of the first sample. A file that ends before its samples has none, at the given rate."""
    head = file.read(12)
    if len(head) < 12:
        return rate, len(head)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise ValueError("not a wav file")
    while len(chunk := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", chunk)
        if name == b"data":
            return rate, file.tell()
        if name == b"fmt ":
            rate = _wav_rate(file.read(16))
            size -= 16
        file.seek(size + size % 2, os.SEEK_CUR)
    return rate, file.seek(0, os.SEEK_END)


def _wav_rate(form: bytes) -> int:
    if len(form) < 16:
        raise ValueError("its header is torn")
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", form)
    if (kind, channels, bits) != (1, 1, 16) or not rate:
        raise ValueError("not mono PCM16")
    return int(rate)
