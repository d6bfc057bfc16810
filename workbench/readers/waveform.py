"""The sound of both sides by the session's clock: to hear a turn again, and to draw it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from workbench.model.audio import OUTPUT_RATE, SILENCE_DB, Samples, block_levels, silence
from workbench.model.events import TrackName
from workbench.readers.moments import MomentsFold
from workbench.trace.trace import Trace

SIDES: tuple[TrackName, TrackName] = ("user", "agent")
PIECE_MS = 60_000.0
"""Sound read at a time where a stretch is long: 2 MB."""
UNHEARD_MS = 0.5
"""Sound may be so far from its place before anything is done about it."""


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
        aligned_samples(trace, moments, track, start_ms, end_ms) for track in SIDES if track in trace.tracks
    ]
    mixed = np.zeros(max(map(len, sides), default=0), dtype=np.int32)
    for samples in sides:
        mixed[: len(samples)] += samples
    return np.clip(mixed, -32768, 32767).astype(np.int16)


def aligned_samples(
    trace: Trace, moments: MomentsFold, track: TrackName, start_ms: float, end_ms: float
) -> Samples:
    """Return a stretch of a track at `OUTPUT_RATE`, each sample within a millisecond of when it was.

    A device that is 100 ppm off would be 6 ms late after a minute; where that matters, a sample in 10,000 is left out
    or doubled. A stretch is read a minute at a time then.
    """
    rate = trace.tracks[track].rate
    drift_ms = _drift_ms(moments, track, rate, np.linspace(start_ms, end_ms, 20))
    if drift_ms <= UNHEARD_MS:
        return at_output_rate(track_samples(trace, moments, track, start_ms, end_ms), rate)
    edges = np.append(np.arange(start_ms, end_ms, PIECE_MS), end_ms)
    pieces = [_stretched(trace, moments, track, float(start), float(stop)) for start, stop in pairwise(edges)]
    return np.concatenate(pieces) if pieces else silence(0)


def _drift_ms(moments: MomentsFold, track: TrackName, rate: int, times_ms: NDArray[np.float64]) -> float:
    """Return how far from an even pace the track is at these times, at most, ms."""
    positions = np.array([moments.sample(track, float(ms)) for ms in times_ms])
    return float(np.abs((positions - positions[0]) * 1000 / rate - (times_ms - times_ms[0])).max())


def _stretched(
    trace: Trace, moments: MomentsFold, track: TrackName, start_ms: float, end_ms: float
) -> Samples:
    """Return a stretch with each sample where the mappings say, the nearest one."""
    rate = trace.tracks[track].rate
    times_ms = np.append(np.arange(start_ms, end_ms, 1000.0), end_ms)
    positions = np.array([moments.sample(track, float(ms)) for ms in times_ms])
    samples = at_output_rate(trace.tracks[track].read(positions[0], positions[-1]), rate)
    count = round(end_ms * OUTPUT_RATE / 1000) - round(start_ms * OUTPUT_RATE / 1000)
    if not len(samples):
        return silence(count)
    at_ms = start_ms + np.arange(count) * 1000 / OUTPUT_RATE
    places = np.interp(at_ms, times_ms, (positions - positions[0]) * OUTPUT_RATE / rate)
    nearest: Samples = samples[np.minimum(np.rint(places).astype(np.int64), len(samples) - 1)]
    return nearest


def stereo_samples(trace: Trace, moments: MomentsFold, start_ms: float, end_ms: float) -> Samples:
    """Return both sides beside each other, PCM16 at `OUTPUT_RATE`, shape (n, 2): the user, the agent; n goes by the
    session's clock alone, so that stretches can be put together.
    """
    count = round(end_ms * OUTPUT_RATE / 1000) - round(start_ms * OUTPUT_RATE / 1000)
    both = np.zeros((count, len(SIDES)), dtype=np.int16)
    for column, side in enumerate(SIDES):
        if side in trace.tracks:
            samples = aligned_samples(trace, moments, side, start_ms, end_ms)[:count]
            both[: len(samples), column] = samples
    return both


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
