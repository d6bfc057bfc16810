"""Where the SDK's events go: the SDK's own messages, a stand-in for its client."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from livekit.rtc._ffi_client import FfiClient, FfiQueue
from livekit.rtc._proto import ffi_pb2

from workbench.model.errors import MissingError, StageError
from workbench.transports.livekit import sdk
from workbench.transports.livekit.ffi_events import FfiEventRouter


class Client:
    """Keeps what it is asked for; makes no sound."""

    def __init__(self) -> None:
        self.queue: Any = FfiQueue[Any]()
        self._queue: Any = None
        self._ffi_lib = SimpleNamespace(livekit_ffi_drop_handle=lambda handle: None)
        self.asked: list[Any] = []

    def request(self, asked: Any) -> Any:
        self.asked.append(asked)
        return ffi_pb2.FfiResponse()


class Handle:
    def __init__(self, handle: int) -> None:
        self.handle = handle


class Room:
    """As much of an `rtc.Room` as the exchange looks at."""

    def __init__(self, exchange: FfiEventRouter, handle: int) -> None:
        self._ffi_handle = Handle(handle)
        self._ffi_queue = exchange.subscribe()


def of_room(handle: int) -> Any:
    event = ffi_pb2.FfiEvent()
    event.room_event.room_handle = handle
    event.room_event.reconnecting.SetInParent()
    return event


def captured(number: int, error: str = "") -> Any:
    event = ffi_pb2.FfiEvent()
    event.capture_audio_frame.async_id = number
    if error:
        event.capture_audio_frame.error = error
    return event


def test_a_rooms_events_go_to_it_alone() -> None:
    async def main() -> None:
        exchange = FfiEventRouter(Client())
        one, two = Room(exchange, 1), Room(exchange, 2)
        exchange.put(of_room(1))  # nobody is settled: both get it, as the SDK would have it
        exchange.settle(one)
        exchange.settle(two)
        exchange.put(of_room(1))
        published = ffi_pb2.FfiEvent()
        published.publish_track.async_id = 7
        exchange.put(published)  # does not say whose it is
        other = exchange.subscribe()
        exchange.put(of_room(3))
        exchange.unsubscribe(one._ffi_queue)
        exchange.put(of_room(1))  # it has left: goes the SDK's own way
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        kinds = [
            [queue.get_nowait().WhichOneof("message") for _ in range(queue.qsize())]
            for queue in (one._ffi_queue, two._ffi_queue, other)
        ]
        assert kinds == [
            ["room_event", "room_event", "publish_track"],
            ["room_event", "publish_track"],
            ["room_event", "room_event"],
        ]

    asyncio.run(main())


def test_a_block_that_was_handed_over_is_waited_for() -> None:
    async def main() -> None:
        client = Client()
        exchange = FfiEventRouter(client)
        source = type("Source", (), {"_ffi_handle": Handle(5)})()
        others = exchange.subscribe()

        number = exchange.hand(source, np.zeros(480, np.int16), 24_000)
        asked = client.asked[-1].capture_audio_frame
        assert (asked.source_handle, asked.request_async_id, asked.buffer.samples_per_channel) == (
            5,
            number,
            480,
        )
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(exchange.taken(number))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            exchange.put(captured(number))

        number = exchange.hand(source, np.zeros(480, np.int16), 24_000)
        exchange.put(captured(number, "the source is gone"))
        with pytest.raises(StageError, match="the source is gone"):
            await exchange.taken(number)
        await exchange.taken(number)  # said once

        exchange.put(captured(3))  # of a source of somebody else
        await asyncio.sleep(0)
        assert others.get_nowait().capture_audio_frame.async_id == 3
        assert others.empty()

    asyncio.run(main())


def test_an_sdk_that_is_another_inside_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = SimpleNamespace(queue=None)
    monkeypatch.setattr(FfiClient, "_instance", bare)
    with pytest.raises(MissingError, match=r"LiveKit's SDK 1\.\d+\.\d+ is another inside .*_queue") as told:
        sdk.event_router.__wrapped__()
    assert f"livekit{sdk.FITS}" in told.value.hint
    assert vars(bare) == {"queue": None}  # nothing is replaced by halves


def test_the_versions_that_fit_are_those_that_are_installed() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    assert f"livekit{sdk.FITS}" in project["project"]["dependencies"]
