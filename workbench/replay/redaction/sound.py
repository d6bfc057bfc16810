"""The sound of a recording with silence in the place of what is to be removed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from workbench.model.audio import Samples
from workbench.trace.files import open_new
from workbench.trace.wav import HEADER_BYTES, RecordedTrack, wav_header

PIECE = 1 << 20
"""Samples copied at a time: 2 MB."""

Cut = tuple[int, int]


def write_silenced(track: RecordedTrack, path: Path, cuts: Iterable[Cut]) -> int:
    """Write a track with silence from the first to before the second sample of each cut; return the samples silenced.

    Nothing else of the old file is taken over. Raises OSError.
    """
    merged = merge(cuts)
    with os.fdopen(open_new(path), "wb") as file:
        file.write(wav_header(track.rate, track.end))
        for start in range(0, track.end, PIECE):
            samples = _silenced(track.read(start, min(start + PIECE, track.end)), start, merged)
            if samples.any():
                file.write(samples.astype("<i2").tobytes())
            else:
                file.seek(len(samples) * 2, os.SEEK_CUR)  # a hole reads as silence
        file.truncate(HEADER_BYTES + track.end * 2)
    return sum(stop - start for start, stop in merged)


def _silenced(samples: Samples, at: int, cuts: list[Cut]) -> Samples:
    for start, stop in cuts:
        samples[max(0, start - at) : max(0, stop - at)] = 0
    return samples


def merge(cuts: Iterable[Cut]) -> list[Cut]:
    """Return cuts in order, those that touch as one."""
    merged = list[Cut]()
    for start, stop in sorted(cuts):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged
