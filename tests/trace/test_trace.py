"""The trace: append, follow by index, miss nothing silently."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from tests.waiting import PATIENCE_S
from workbench.model.events import Bookmarked, Entry, EventsMissed
from workbench.simulation.clock import run_virtual
from workbench.trace.trace import Trace


def new_trace(keep: int = 10) -> Trace:
    return Trace(lambda: 12.34567, keep=keep)


def emit(trace: Trace, count: int) -> list[Entry]:
    return [trace.emit(Bookmarked(f"{k}")) for k in range(count)]


class Half:
    """An archive that has only the entries before `upto`."""

    def __init__(self, entries: Sequence[Entry], upto: int) -> None:
        self._entries = entries
        self._upto = upto

    def read(self, start: int, stop: int, skip: frozenset[type[Any]] = frozenset()) -> Sequence[Entry]:
        return self._entries[start : min(stop, self._upto)]


def test_entries_are_numbered_dated_and_read_by_index() -> None:
    trace = new_trace()
    emitted = emit(trace, 5)
    assert emitted[3] == Entry(3, 12.346, Bookmarked("3"))
    assert trace.since(0) == emitted
    assert trace.since(3) == emitted[3:]
    assert trace.since(1, limit=2) == emitted[1:3]
    assert trace.since(5) == trace.since(99) == []
    assert (trace.start, trace.end, trace.closed) == (0, 5, False)


def test_memory_is_bounded_and_a_lagging_reader_gets_events_missed() -> None:
    trace = new_trace(keep=10)
    emitted = emit(trace, 25)
    assert trace.start == 15
    assert [entry.event for entry in trace.since(0)] == [EventsMissed(0, 14)]
    assert trace.since(14)[0].i == 14
    assert trace.since(15) == emitted[15:]


def test_events_no_longer_in_memory_are_read_from_the_archive() -> None:
    trace = new_trace(keep=10)
    emitted = emit(trace, 25)
    trace.archive = Half(emitted, 25)
    assert trace.since(0) == emitted[:15]
    assert trace.since(2, limit=4) == emitted[2:6]
    trace.archive = Half(emitted, 12)
    found = trace.since(10)
    assert found[:2] == emitted[10:12]
    assert found[2] == Entry(14, 12.346, EventsMissed(12, 14))


def test_followers_see_every_entry_and_end_with_the_trace() -> None:
    async def run() -> None:
        trace = new_trace(keep=1000)
        seen: dict[str, list[int]] = {"early": [], "late": []}

        async def follow(name: str, index: int) -> None:
            async for entry in trace.follow(index):
                seen[name].append(entry.i)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow("early", 0))
            for _ in range(3):
                emit(trace, 5)
                await asyncio.sleep(0.01)
            tasks.create_task(follow("late", 12))
            await asyncio.sleep(0.01)
            trace.close()
        assert seen == {"early": list(range(15)), "late": [12, 13, 14]}
        assert trace.closed

    run_virtual(run())


def test_a_follower_that_leaves_is_forgotten() -> None:
    async def run() -> None:
        trace = new_trace()
        emit(trace, 2)
        entries = trace.follow()
        assert (await anext(entries)).i == 0
        await entries.aclose()  # type: ignore[attr-defined]  # an async generator
        emit(trace, 1)
        assert not trace._waiting

    run_virtual(run())


def test_events_from_other_threads_wake_a_follower_and_none_is_lost() -> None:
    async def run() -> None:
        trace = new_trace(keep=10_000)
        threads = [threading.Thread(target=emit, args=(trace, 500)) for _ in range(4)]
        seen = 0
        async with asyncio.timeout(PATIENCE_S):
            follower = trace.follow()
            for thread in threads:
                thread.start()
            async for entry in follower:
                assert entry.i == seen
                seen += 1
                if seen == 2000:
                    break
        for thread in threads:
            thread.join()

    asyncio.run(run())


def test_a_follower_whose_loop_is_gone_harms_nobody() -> None:
    trace = new_trace()
    loop = asyncio.new_event_loop()
    trace._waiting[asyncio.Event()] = loop
    loop.close()
    emit(trace, 1)
    trace.close()
