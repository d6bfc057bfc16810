"""Folds over the trace: fed each entry in order, live and from a recording alike.

A fold has `feed(entry)`, and what it has made of them by now as attributes. Its `feed` is a reader, as any callable
that takes an `Entry` is. A reader can break only itself: one that raises is dropped, and the trace says so. Readers run
on the loop that drives them, so they must be quick; one that was not is named in a notice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Protocol

from workbench.model.events import EchoState, Entry, HostLag, Levels, Notice, ReaderFailed, VadBatch
from workbench.trace.trace import Trace

Reader = Callable[[Entry], object]

SLOW_MS = 50.0
"""One entry may cost a reader this much before it is named."""
BREATH = 256
"""Entries after which the loop's other tasks get a turn while a backlog is read: 1–2 ms of work."""

BLOCK = 5_000
"""Entries of a recording that are read at once."""
FREQUENT: frozenset[type[Any]] = frozenset({EchoState, HostLag, Levels, VadBatch})
"""Most of the entries: what comes many times a second whether anybody speaks or not."""


class Fold(Protocol):
    """What is made of a trace's entries."""

    def feed(self, entry: Entry) -> object:
        """Take the next entry; may return what changed by it."""


class Readers:
    """Gives every entry of a trace, from `index` on, to each reader, in order and once.

    A reader that raises is dropped with a `ReaderFailed` event; one that takes longer than `SLOW_MS` for an entry, by
    the loop's clock, is named in a `Notice` once. The others never notice.
    """

    def __init__(self, trace: Trace, readers: Sequence[Reader], index: int = 0) -> None:
        self._now = asyncio.get_running_loop().time
        self._trace = trace
        self._readers = list(readers)
        self._slow: set[int] = set()
        self._index = index

    def catch_up(self) -> None:
        """Give what has been emitted until now, for those who need an answer at once."""
        while block := self._trace.since(self._index):
            for entry in block:
                self._give(entry)

    async def run(self) -> None:
        """Give until the trace is closed and read to its end."""
        count = 0
        async for entry in self._trace.follow(self._index):
            if entry.i >= self._index:
                self._give(entry)
            count += 1
            if count % BREATH == 0:
                await asyncio.sleep(0)

    def _give(self, entry: Entry) -> None:
        self._index = entry.i + 1
        for reader in list(self._readers):
            began = self._now()
            try:
                reader(entry)
            except Exception as error:  # noqa: BLE001 - a stranger's code, and the session must outlive it
                self._readers.remove(reader)
                self._trace.emit(ReaderFailed(_name(reader), f"{type(error).__name__}: {error}"))
                continue
            took_ms = (self._now() - began) * 1000
            if took_ms > SLOW_MS and id(reader) not in self._slow:
                self._slow.add(id(reader))
                reason = f"reader {_name(reader)} took {took_ms:.0f} ms for one event"
                self._trace.emit(Notice("warning", "host", reason, "move its work to a thread of its own"))


def _name(reader: Reader) -> str:
    fold = getattr(reader, "__self__", None)
    return type(fold).__name__ if fold is not None else getattr(reader, "__name__", type(reader).__name__)


def notable(trace: Trace, index: int = 0, stop: int | None = None) -> Iterator[Entry]:
    """Yield the entries of a trace from `index` to `stop` that are not `FREQUENT`. Of a recording those are one in five
    to ten, and the others are not even decoded."""
    stop = trace.end if stop is None else min(stop, trace.end)
    while index < stop:
        upto = min(stop, index + BLOCK)
        if trace.archive is not None and upto <= trace.start:
            yield from trace.archive.read(index, upto, FREQUENT)
        else:
            block = trace.since(index, upto - index)
            yield from (entry for entry in block if type(entry.event) not in FREQUENT)
        index = upto


def entries(trace: Trace, index: int = 0) -> Iterator[Entry]:
    """Yield every entry of a closed trace from `index` on, read in blocks."""
    while block := trace.since(index):
        yield from block
        index = block[-1].i + 1


LARGEST = float(2**53)
"""No sample, time or count of a session is greater: 9,000 years of sound."""


def plausible_entries(trace: Trace) -> Iterator[Entry]:
    """Return the entries of a recording that may come from anywhere, without those that hold impossible numbers (NaN,
    infinity, 10**300): folds calculate with them.
    """
    return filter(plausible, entries(trace))


def plausible(entry: Entry) -> bool:
    """Decide whether all its numbers are such as a session may have."""
    values = (getattr(entry.event, field.name) for field in fields(entry.event))
    return 0 <= entry.t_ms <= LARGEST and all(map(_plausible, values))


def _plausible(value: object) -> bool:
    match value:
        case float() | int():
            return -LARGEST <= value <= LARGEST
        case tuple():
            return all(map(_plausible, value))
        case dict():
            return all(map(_plausible, value.values()))
        case _:
            return True
