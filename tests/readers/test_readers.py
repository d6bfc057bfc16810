"""Driving readers: each can break only itself."""

from __future__ import annotations

import asyncio

import pytest

from workbench.model.events import Bookmarked, Entry, Event, Notice, ReaderFailed
from workbench.readers import BREATH, Readers, entries
from workbench.simulation.clock import run_virtual
from workbench.trace.trace import Trace


def new_trace() -> Trace:
    loop = asyncio.get_running_loop()
    return Trace(lambda: loop.time() * 1000)


def events(trace: Trace) -> list[Event]:
    return [entry.event for entry in trace.since(0)]


class Broken:
    def __call__(self, entry: Entry) -> None:
        if entry.i == 2:
            raise KeyError("turn")


def test_a_reader_that_raises_is_dropped_and_named_and_the_others_go_on() -> None:
    async def run() -> None:
        trace = new_trace()
        seen: list[int] = []

        def keeps(entry: Entry) -> None:
            seen.append(entry.i)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Readers(trace, [Broken(), keeps]).run())
            for k in range(6):
                trace.emit(Bookmarked(f"{k}"))
                await asyncio.sleep(0.01)
            trace.close()
        assert seen == list(range(7))
        assert [event for event in events(trace) if isinstance(event, ReaderFailed)] == [
            ReaderFailed("Broken", "KeyError: 'turn'")
        ]

    run_virtual(run())


def test_a_slow_reader_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.readers.SLOW_MS", -1.0)

    def dawdles(entry: Entry) -> None:
        pass

    async def run() -> None:
        trace = new_trace()
        readers = Readers(trace, [dawdles])
        for k in range(3):
            trace.emit(Bookmarked(f"{k}"))
        readers.catch_up()
        (notice,) = (event for event in events(trace) if isinstance(event, Notice))
        assert notice.reason == "reader dawdles took 0 ms for one event"

    run_virtual(run())


def test_catching_up_gives_each_entry_once() -> None:
    async def run() -> None:
        trace = new_trace()
        seen: list[int] = []
        readers = Readers(trace, [lambda entry: seen.append(entry.i)], index=1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(readers.run())
            for k in range(5):
                trace.emit(Bookmarked(f"{k}"))
                if k == 3:
                    readers.catch_up()
                    assert seen == [1, 2, 3]
            await asyncio.sleep(1)
            trace.close()
        assert seen == [1, 2, 3, 4]

    run_virtual(run())


def test_a_backlog_leaves_room_for_others() -> None:
    async def run() -> None:
        trace = new_trace()
        turns = 0

        async def other() -> None:
            nonlocal turns
            while not trace.closed or turns < 3:
                turns += 1
                await asyncio.sleep(0)

        for k in range(BREATH * 3):
            trace.emit(Bookmarked(f"{k}"))
        trace.close()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Readers(trace, [lambda entry: None]).run())
            tasks.create_task(other())
        assert turns >= 3

    run_virtual(run())


def test_a_closed_trace_is_read_in_blocks() -> None:
    async def run() -> None:
        trace = new_trace()
        for k in range(5):
            trace.emit(Bookmarked(f"{k}"))
        assert [entry.i for entry in entries(trace)] == [0, 1, 2, 3, 4]
        assert [entry.i for entry in entries(trace, 3)] == [3, 4]

    run_virtual(run())
