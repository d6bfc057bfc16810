"""The trace itself: append, follow by index, never wait.

`emit` takes a lock for the time of one append and calls nobody; whoever wants the events asks for them by index
(`since`), or waits for them (`follow`). A slow or broken reader can therefore only harm itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from typing import Protocol

from workbench.model.events import Entry, Event, EventsMissed, TrackName
from workbench.trace.track import Track

KEPT = 10_000
"""Events kept in memory."""


class Archive(Protocol):
    """Where events are that are no longer in memory: a recording on disk."""

    def read(self, start: int, stop: int) -> Sequence[Entry]:
        """The entries with `start` <= i < `stop` that it has; fewer when they were not written."""


class Trace:
    """Append-only; `now` gives the session's clock in ms. Safe to use from any thread."""

    def __init__(self, now: Callable[[], float], *, keep: int = KEPT) -> None:
        self.now = now
        self.archive: Archive | None = None
        self.tracks: dict[TrackName, Track] = {}
        self.pictures: deque[tuple[str, bytes]] = deque(maxlen=8)
        """Files that the next events speak of, by name, for the recorder; who takes one takes it away."""
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._closed = False
        self.end = 0
        """Index that the next event will have."""

    def emit(self, event: Event) -> Entry:
        """Append an event, now. Never blocks, calls no reader."""
        with self._lock:
            entry = Entry(self.end, round(self.now(), 3), event)
            self._entries.append(entry)
            self.end += 1
            waiting = list(self._waiting.items()) if self._waiting else ()
        self._wake(waiting)
        return entry

    def close(self) -> None:
        """No event will come any more: followers end when they have read all."""
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
        """Up to `limit` entries from `index` on: from memory, from the archive, or `EventsMissed` in their place."""
        with self._lock:
            oldest = self.start
            if index >= oldest:
                return self._kept(index, limit)
        stop = min(oldest, index + limit)
        found = list(self.archive.read(index, stop)) if self.archive else []
        upto = found[-1].i + 1 if found else index
        if upto < stop and len(found) < limit:
            found.append(Entry(stop - 1, found[-1].t_ms if found else 0.0, EventsMissed(upto, stop - 1)))
        return found

    def _kept(self, index: int, limit: int) -> list[Entry]:
        """From memory. Whoever follows wants the last few: counted from the end, 1 µs instead of 25."""
        behind = self.end - index
        if behind <= len(self._entries) // 2:
            last = list(islice(reversed(self._entries), max(0, behind)))
            last.reverse()
            return last[:limit]
        first = index - self.start
        return list(islice(self._entries, first, first + limit))

    async def follow(self, index: int = 0) -> AsyncIterator[Entry]:
        """Every entry from `index` on, waiting for those to come; ends when the trace is closed."""
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
        running = asyncio._get_running_loop() if waiting else None
        for event, loop in waiting:
            if loop is running:
                event.set()
            elif not loop.is_closed():
                loop.call_soon_threadsafe(event.set)
