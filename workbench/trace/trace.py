"""The trace: the one append-only record of a session.

`emit` holds a lock for one append and calls no reader; readers ask for events by index (`since`), or wait for them
(`follow`). So a slow or broken reader can only harm itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from typing import Any, Protocol

from workbench.model.clock import running_loop
from workbench.model.events import Entry, Event, EventsMissed, TrackName
from workbench.trace.track import Track

KEPT = 10_000
"""Events kept in memory."""


class Archive(Protocol):
    """A recording on disk, for events that are no longer in memory."""

    def read(self, start: int, stop: int, skip: frozenset[type[Any]] = frozenset()) -> Sequence[Entry]:
        """Return the entries with `start` <= i < `stop`, as far as they were written, without events of those types."""


class Trace:
    """Append-only; `now` gives the session's clock in ms. Safe to use from any thread."""

    def __init__(self, now: Callable[[], float], *, keep: int = KEPT) -> None:
        self.now = now
        self.archive: Archive | None = None
        self.tracks: dict[TrackName, Track] = {}
        self.pictures: deque[tuple[str, bytes]] = deque(maxlen=8)
        """Files that the next events name, for the recorder, which removes what it has written."""
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._closed = False
        self.end = 0
        """Index that the next event will have."""

    def emit(self, event: Event) -> Entry:
        """Append an event, and return it with its index and time. Never blocks, calls no reader."""
        with self._lock:
            entry = Entry(self.end, round(self.now(), 3), event)
            self._entries.append(entry)
            self.end += 1
            waiting = list(self._waiting.items()) if self._waiting else ()
        self._wake(waiting)
        return entry

    def close(self) -> None:
        """Complete the trace: followers end once they have read all."""
        self._closed = True
        self._wake(list(self._waiting.items()))

    @property
    def start(self) -> int:
        """Index of the oldest event in memory."""
        return self.end - len(self._entries)

    @property
    def closed(self) -> bool:
        """Whether the trace is complete."""
        return self._closed

    def since(self, index: int, limit: int = KEPT) -> list[Entry]:
        """Return up to `limit` entries from `index` on, from memory or archive; `EventsMissed` for what is gone."""
        with self._lock:
            oldest = self.start
            if index >= oldest:
                return self._from_memory(index, limit)
        stop = min(oldest, index + limit)
        entries = list(self.archive.read(index, stop)) if self.archive else []
        upto = entries[-1].i + 1 if entries else index
        if upto < stop and len(entries) < limit:
            t_ms = entries[-1].t_ms if entries else 0.0
            entries.append(Entry(stop - 1, t_ms, EventsMissed(upto, stop - 1)))
        return entries

    def _from_memory(self, index: int, limit: int) -> list[Entry]:
        """Followers want the last few: counted from the end, 1 µs instead of 25."""
        behind = self.end - index
        if behind <= len(self._entries) // 2:
            last = list(islice(reversed(self._entries), max(0, behind)))
            last.reverse()
            return last[:limit]
        first = index - self.start
        return list(islice(self._entries, first, first + limit))

    async def follow(self, index: int = 0) -> AsyncIterator[Entry]:
        """Yield every entry from `index` on, and wait for those to come; ends when the trace is closed."""
        grown = asyncio.Event()
        self._waiting[grown] = asyncio.get_running_loop()
        try:
            while True:
                grown.clear()
                entries = self.since(index)
                for entry in entries:
                    index = entry.i + 1
                    yield entry
                if index < self.end:
                    continue
                if self._closed:
                    return
                await grown.wait()
        finally:
            del self._waiting[grown]

    @staticmethod
    def _wake(waiting: Sequence[tuple[asyncio.Event, asyncio.AbstractEventLoop]]) -> None:
        running = running_loop() if waiting else None
        for event, loop in waiting:
            if loop is running:
                event.set()
            elif not loop.is_closed():
                loop.call_soon_threadsafe(event.set)
