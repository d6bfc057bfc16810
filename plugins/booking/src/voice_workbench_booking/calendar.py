"""Which tables are free, and who has them. A stand-in for the calendar of a real restaurant."""

from __future__ import annotations

import threading
from datetime import date, time

OPEN = tuple(time(hour, minute) for hour in range(18, 22) for minute in (0, 30))
"""When a table can be had."""
TABLES = 2


class Calendar:
    """Safe to use from any thread: tools run in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._booked: dict[tuple[date, time], list[str]] = {}

    def free(self, day: date) -> list[time]:
        """The times of a day at which there is a table."""
        with self._lock:
            return [at for at in OPEN if len(self._booked.get((day, at), ())) < TABLES]

    def book(self, day: date, at: time, name: str) -> bool:
        """Take a table; False if there is none."""
        with self._lock:
            there = self._booked.setdefault((day, at), [])
            if at not in OPEN or len(there) >= TABLES:
                return False
            there.append(name)
            return True

    def cancel(self, day: date, name: str) -> time | None:
        """Give a table back; its time, None if that name has none."""
        with self._lock:
            for (there, at), names in self._booked.items():
                if there == day and name in names:
                    names.remove(name)
                    return at
            return None
