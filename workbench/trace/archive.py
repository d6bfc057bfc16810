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
        previous = -1
        for offset, line in lines_from(file, self._places[place][1] if place >= 0 else 0):
            if skip is not None and skip.match(line):
                continue
            entry = decode(line)
            if entry is not None and entry.i > previous:
                previous = entry.i
                yield entry
            elif offset >= self._counted and line.endswith(b"\n"):
                self.skipped += 1
            if line.endswith(b"\n"):
                self._counted = max(self._counted, offset + len(line))

    def _index(self, file: BinaryIO) -> None:
        """Index what was written since: a pass over the bytes that decodes one line in 64 KiB."""
        for offset, line in lines_from(file, self._indexed):
            if not line.endswith(b"\n"):
                return
            self._indexed = offset + len(line)
            if self._places and offset < self._places[-1][1] + STRIDE:
                continue
            entry = decode(line)
            if entry is not None and (not self._places or entry.i > self._places[-1][0]):
                self._places.append((entry.i, offset))


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
