"""The sound of both sides by the session's clock: to hear a turn again, and to draw it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.model.audio import OUTPUT_RATE, SILENCE_DB, Samples, block_levels, silence
from workbench.model.events import TrackName
from workbench.readers.moments import MomentsFold
from workbench.trace.trace import Trace

SIDES: tuple[TrackName, TrackName] = ("user", "agent")
PIECE_MS = 60_000.0
"""Sound read at a time where a long stretch is only looked at: 2 MB."""


def track_samples(
    trace: Trace, moments: MomentsFold, track: TrackName, start_ms: float, end_ms: float
) -> Samples:
    """Return a stretch of a track at its own rate, silent where nothing was recorded; empty without the track."""
    recorded = trace.tracks.get(track)
    if recorded is None:
        return silence(0)
    return recorded.read(moments.sample(track, start_ms), moments.sample(track, end_ms))


def at_output_rate(samples: Samples, rate: int) -> Samples:
    """Return mono PCM16 at `OUTPUT_RATE`."""
    if rate == OUTPUT_RATE:
        return samples
    import soxr  # 10 ms, and only needed to listen

    return np.asarray(soxr.resample(samples, rate, OUTPUT_RATE), dtype=np.int16)


def mixed_samples(trace: Trace, moments: MomentsFold, start_ms: float, end_ms: float) -> Samples:
    """Return both sides together, mono PCM16 at `OUTPUT_RATE`; empty where nothing was recorded."""
    sides = [
        at_output_rate(track_samples(trace, moments, track, start_ms, end_ms), trace.tracks[track].rate)
        for track in SIDES
        if track in trace.tracks
    ]
    mixed = np.zeros(max(map(len, sides), default=0), dtype=np.int32)
    for samples in sides:
        mixed[: len(samples)] += samples
    return np.clip(mixed, -32768, 32767).astype(np.int16)


def envelope_db(samples: Samples, rate: int, columns: int) -> tuple[float, ...]:
    """Return the loudest level (5 ms blocks) in so many equal stretches, dBFS."""
    parts = np.array_split(block_levels(samples, rate), max(1, columns))
    return tuple(float(part.max()) if len(part) else SILENCE_DB for part in parts)


def peaks(
    trace: Trace, moments: MomentsFold, track: TrackName, start_ms: float, end_ms: float, columns: int
) -> NDArray[np.float32]:
    """Return the greatest amplitude (0…1) in so many equal stretches, shape (columns,). Reads a minute at a time."""
    amplitudes = np.zeros(columns, dtype=np.float32)
    edges = np.linspace(start_ms, end_ms, columns + 1)
    step = max(1, int(PIECE_MS * columns / max(1.0, end_ms - start_ms)))
    for first in range(0, columns, step):
        last = min(columns, first + step)
        piece = track_samples(trace, moments, track, float(edges[first]), float(edges[last]))
        for column, part in enumerate(np.array_split(piece, last - first), first):
            amplitudes[column] = max(-int(part.min(initial=0)), int(part.max(initial=0))) / 32768
    return amplitudes
