"""The events of a recording, read by index without holding them in memory."""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from workbench.model.events import Entry, type_name
from workbench.trace.codec import decode
from workbench.trace.files import open_regular

STRIDE = 64 * 1024
"""Bytes of events between two places in the index: what a read decodes too much, 2 ms at most."""
LINE_LIMIT = 4 * 1024 * 1024
"""A line longer than this is damage, not an event."""
SHORTEST = 50
"""No event takes fewer bytes."""
MOST_LOST = 1_000_000
"""Events that a recording may lack, where a disk was too slow for hours."""


class EventFile:
    """The file of events as the archive of its trace, also while it is still being written.

    Entries are read by index, without what is before them. A torn or unknown line is skipped and counted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.skipped = 0
        """Lines among those read so far that held no entry."""
        self._counted = 0
        self._places: list[tuple[int, int]] = []  # (index of an entry, offset of its line), ascending in both
        self._indexed = 0
        self._lock = threading.Lock()

    def read(self, start: int, stop: int, skip: frozenset[type[Any]] = frozenset()) -> list[Entry]:
        """Return the entries with `start` <= i < `stop`, in order; none where the file is gone. Events of the types in
        `skip` are left out, and cost a tenth of what decoding does."""
        entries: list[Entry] = []
        try:
            with self._lock, open_regular(self._path) as file:
                self._index(file)
                for entry in self._from(file, start, _of_types(skip)):
                    if entry.i >= stop:
                        break
                    if entry.i >= start:
                        entries.append(entry)
        except OSError:
            pass  # whoever follows the trace gets `EventsMissed`
        return entries

    def last(self) -> Entry | None:
        """Return the last entry; None without a file too, as a writer that died at once leaves it. Raises OSError."""
        try:
            with self._lock, open_regular(self._path) as file:
                self._index(file)
                tail = list(self._from(file, self._places[-1][0] if self._places else 0))
        except FileNotFoundError:
            return None
        return tail[-1] if tail else None

    def _from(self, file: BinaryIO, start: int, skip: re.Pattern[bytes] | None = None) -> Iterator[Entry]:
        """Yield the entries from the last place in the index at or before `start`, without what `skip` matches."""
        place = bisect_right(self._places, (start, 1 << 62)) - 1
        previous, held = -1, None
        for offset, line in lines_from(file, self._places[place][1] if place >= 0 else 0):
            if skip is not None and skip.match(line):
                continue
            entry, new = _entry_at(offset, line), offset >= self._counted
            if line.endswith(b"\n"):
                self._counted = max(self._counted, offset + len(line))
            if entry is None or entry.i <= previous:
                self.skipped += new and line.endswith(b"\n")
                continue
            if held is not None and held.i < entry.i:
                previous = held.i
                yield held
            elif held is not None:
                self.skipped += new
            held = None
            if entry.i == previous + 1:
                previous = entry.i
                yield entry
            else:
                held = entry  # after a gap the next line tells whether it is out of order
        if held is not None:
            yield held

    def _index(self, file: BinaryIO) -> None:
        """Index what was written since: a pass over the bytes that decodes one line in 64 KiB."""
        for offset, line in lines_from(file, self._indexed):
            if not line.endswith(b"\n"):
                return
            self._indexed = offset + len(line)
            if self._places and offset < self._places[-1][1] + STRIDE:
                continue
            entry = _entry_at(offset, line)
            if entry is not None and (not self._places or entry.i > self._places[-1][0]):
                self._places.append((entry.i, offset))


def _entry_at(offset: int, line: bytes) -> Entry | None:
    """Return the entry of a line; None where it has none, or more indices are missing before it than ever are lost."""
    entry = decode(line)
    return None if entry is None or entry.i > offset // SHORTEST + MOST_LOST else entry


@cache
def _of_types(kinds: frozenset[type[Any]]) -> re.Pattern[bytes] | None:
    """Return what matches lines with events of these types, as we write them; None for no types."""
    names = "|".join(sorted(map(type_name, kinds)))
    return (
        re.compile(rb'\{"v":\d+,"i":\d+,"t_ms":[-\d.e]+,"type":"(?:%s)"' % names.encode()) if names else None
    )


def lines_from(file: BinaryIO, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield each line from `offset` on with its offset; the last may have no line break. Longer ones come in pieces."""
    file.seek(offset)
    while line := file.readline(LINE_LIMIT):
        yield offset, line
        offset += len(line)
