"""Which tables are free, and who has them. A stand-in for the calendar of a real restaurant."""

from __future__ import annotations

import threading
from datetime import date, time

OPEN = tuple(time(hour, minute) for hour in range(18, 22) for minute in (0, 30))
"""When a table can be booked."""
TABLES = 2


class Calendar:
    """The bookings. Safe to use from any thread: tools run in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._booked: dict[tuple[date, time], list[str]] = {}

    def free(self, day: date) -> list[time]:
        """Return the times of a day at which a table is free."""
        with self._lock:
            return [at for at in OPEN if len(self._booked.get((day, at), ())) < TABLES]

    def book(self, day: date, at: time, name: str) -> bool:
        """Book a table; False if none is free."""
        with self._lock:
            names = self._booked.setdefault((day, at), [])
            if at not in OPEN or len(names) >= TABLES:
                return False
            names.append(name)
            return True

    def cancel(self, day: date, name: str) -> time | None:
        """Cancel a booking and return its time, None if that name has none."""
        with self._lock:
            for (booked_day, at), names in self._booked.items():
                if booked_day == day and name in names:
                    names.remove(name)
                    return at
            return None
