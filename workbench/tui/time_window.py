"""The stretch of a recording that is on the screen: zoomed, moved, and brought to what is looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace

LEAST_MS = 500.0
"""As close as one can get."""
ROOM_MS = 12_000.0
"""Shown around a turn, if it is shorter."""


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """From `start_ms` to `end_ms` of a recording of `total_ms`."""

    start_ms: float = 0.0
    end_ms: float = ROOM_MS
    total_ms: float = ROOM_MS

    @property
    def length_ms(self) -> float:
        """How much is seen."""
        return self.end_ms - self.start_ms

    def _placed(self, start_ms: float, length_ms: float) -> TimeWindow:
        length_ms = min(max(LEAST_MS, length_ms), max(LEAST_MS, self.total_ms))
        start_ms = min(max(0.0, start_ms), max(0.0, self.total_ms - length_ms))
        return replace(self, start_ms=start_ms, end_ms=start_ms + length_ms)

    def zoomed(self, factor: float, at_ms: float) -> TimeWindow:
        """Return a window that shows `factor` times as much, with `at_ms` at the same place if it is seen."""
        if not self.start_ms <= at_ms <= self.end_ms:
            at_ms = (self.start_ms + self.end_ms) / 2
        return self._placed(at_ms - (at_ms - self.start_ms) * factor, self.length_ms * factor)

    def moved(self, by: float) -> TimeWindow:
        """Return the window moved by so many of its lengths."""
        return self._placed(self.start_ms + by * self.length_ms, self.length_ms)

    def fitted(self, start_ms: float, end_ms: float) -> TimeWindow:
        """Return a window around that stretch, with some room on both sides."""
        length_ms = max(ROOM_MS, (end_ms - start_ms) * 1.2)
        return self._placed((start_ms + end_ms - length_ms) / 2, length_ms)

    def showing(self, start_ms: float, end_ms: float) -> TimeWindow:
        """Return the window moved so that the stretch, or its beginning, is seen; itself where it is."""
        if self.start_ms <= start_ms and end_ms <= self.end_ms:
            return self
        return self._placed(
            (start_ms + min(end_ms, start_ms + self.length_ms) - self.length_ms) / 2, self.length_ms
        )

    def whole(self) -> TimeWindow:
        """Return a window on everything."""
        return self._placed(0.0, self.total_ms)

    def grown(self, total_ms: float) -> TimeWindow:
        """Return the same window on a recording that is longer now."""
        return replace(self, total_ms=max(self.total_ms, total_ms))
