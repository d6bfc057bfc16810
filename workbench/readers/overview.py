"""How loud a track is over its whole length, without holding the track: read a piece at a time, kept in memory only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.trace.track import Track

BLOCK_MS = 20
"""Of which the greatest amplitude is kept: 1.4 MB for two hours of both sides."""
PIECE_S = 60


class TrackOverview:
    """The greatest amplitude of each block of a track, as far as `extend` has read it."""

    def __init__(self, track: Track) -> None:
        self._track = track
        self._block = max(1, track.rate * BLOCK_MS // 1000)
        self._blocks: list[NDArray[np.float32]] = []
        self._count = 0

    def extend(self) -> bool:
        """Read the next minute; return whether there was anything. A last block that is not full is left for later."""
        start = self._count * self._block
        count = min(self._track.end - start, PIECE_S * self._track.rate) // self._block
        if count <= 0:
            return False
        samples = self._track.read(start, start + count * self._block).reshape(count, self._block)
        peaks = np.maximum(samples.max(axis=1).astype(np.int32), -samples.min(axis=1).astype(np.int32))
        self._blocks.append((peaks / 32768).astype(np.float32))
        self._count += count
        return True

    def peaks(self, start: int, stop: int, columns: int) -> NDArray[np.float32]:
        """Return the greatest amplitude (0…1) in equal stretches of the samples `start` to `stop`, shape (columns,).

        NaN where it has not been read yet; what is short is read from the track at once.
        """
        if (stop - start) <= PIECE_S * self._track.rate:
            return _greatest(np.abs(self._track.read(start, stop).astype(np.float32)) / 32768, columns)
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        known = self._blocks[0] if self._blocks else np.zeros(0, dtype=np.float32)
        first, last, end = start // self._block, -(-stop // self._block), self._track.end // self._block
        places = np.arange(first, last)
        values = np.where((places < 0) | (places >= end), 0.0, np.nan).astype(np.float32)
        low, high = max(first, 0), min(last, len(known))
        if low < high:
            values[low - first : high - first] = known[low:high]
        return _greatest(values, columns)


def _greatest(values: NDArray[np.floating], columns: int) -> NDArray[np.float32]:
    if not len(values):
        return np.zeros(columns, dtype=np.float32)
    edges = np.minimum(np.arange(columns) * len(values) // columns, len(values) - 1)
    return np.asarray(np.maximum.reduceat(values, edges), dtype=np.float32)
