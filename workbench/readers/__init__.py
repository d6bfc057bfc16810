"""Folds over the trace: called with each entry, live and from a recording alike.

A reader is any callable that takes an `Entry`. It can break only itself: `drive` drops one that raises and says so in
the trace. Readers run on the loop that drives them, so they must be quick; one that was not is named in a notice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from workbench.model.events import Entry, Notice, ReaderFailed
from workbench.trace.trace import Trace

Reader = Callable[[Entry], None]

SLOW_MS = 50.0
"""One entry may cost a reader this much before it is named."""
BREATH = 256
"""Entries after which the loop's other tasks get a turn while a backlog is read: 1–2 ms of work."""


class Readers:
    """Gives every entry of a trace, from `index` on, to each reader, in order and once.

    A reader that raises is dropped with a `ReaderFailed` event; one that takes longer than `SLOW_MS` for an entry, by
    the loop's clock, is named in a `Notice` once. The others never notice.
    """

    def __init__(self, trace: Trace, readers: Sequence[Reader], index: int = 0) -> None:
        now = asyncio.get_running_loop().time
        self._trace = trace
        self._driven = [_Driven(trace, reader, now) for reader in readers]
        self._index = index

    def catch_up(self) -> None:
        """Give what has been emitted until now, for those who need an answer at once."""
        while block := self._trace.since(self._index):
            for entry in block:
                self._give(entry)

    async def run(self) -> None:
        """Until the trace is closed and read to its end."""
        count = 0
        async for entry in self._trace.follow(self._index):
            if entry.i >= self._index:
                self._give(entry)
            count += 1
            if count % BREATH == 0:
                await asyncio.sleep(0)

    def _give(self, entry: Entry) -> None:
        self._index = entry.i + 1
        for one in self._driven:
            one.give(entry)


async def drive(trace: Trace, readers: Sequence[Reader], index: int = 0) -> None:
    """Give every entry from `index` on to each reader, until the trace is closed and read to its end."""
    await Readers(trace, readers, index).run()


def entries(trace: Trace, index: int = 0) -> Iterator[Entry]:
    """Every entry of a closed trace from `index` on, read in blocks."""
    while block := trace.since(index):
        yield from block
        index = block[-1].i + 1


class _Driven:
    """A reader, until it fails."""

    def __init__(self, trace: Trace, reader: Reader, now: Callable[[], float]) -> None:
        self._trace = trace
        self._reader: Reader | None = reader
        self._name = getattr(reader, "__name__", type(reader).__name__)
        self._now = now
        self._slow = False

    def give(self, entry: Entry) -> None:
        """Call the reader; whatever it raises ends it alone."""
        if self._reader is None:
            return
        began = self._now()
        try:
            self._reader(entry)
        except Exception as error:  # noqa: BLE001 - a stranger's code, and the session must outlive it
            self._reader = None
            self._trace.emit(ReaderFailed(self._name, f"{type(error).__name__}: {error}"))
            return
        took_ms = (self._now() - began) * 1000
        if took_ms > SLOW_MS and not self._slow:
            self._slow = True
            reason = f"reader {self._name} took {took_ms:.0f} ms for one event"
            self._trace.emit(Notice("warning", "host", reason, "move its work to a thread of its own"))
