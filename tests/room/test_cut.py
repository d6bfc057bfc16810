"""A cut clears what waits in the SDK's queue: a real track, heard by a real client."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from livekit import rtc

from tests.room.conftest import Run
from tests.room.people import person, token, until
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples
from workbench.model.events import Glitch
from workbench.room import sink as module
from workbench.room.server import LocalServer
from workbench.room.sink import RoomSink
from workbench.trace.bus import Trace

QUEUED_S = 0.4


@pytest.mark.room
def test_a_cut_clears_the_queue_at_once(with_server: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAD_S", QUEUED_S)  # so deep that nobody could take it for anything else
    speaking, pulled = True, 0

    def pull(count: int) -> Samples:
        nonlocal pulled
        if not speaking:
            return np.zeros(count, np.int16)
        wave = 8000 * np.sin(2 * np.pi * 300 * np.arange(pulled, pulled + count) / OUTPUT_RATE)
        pulled += count
        return wave.astype(np.int16)

    async def talk(server: LocalServer) -> None:
        nonlocal speaking
        trace = Trace(lambda: time.monotonic() * 1000)
        room = rtc.Room()
        async with person(server, "cut", microphone=False) as ann, RoomSink(trace, "cut") as sink:
            await room.connect(server.url, token(server, "agent", "cut"))
            await sink.publish(room)
            await until(lambda: ann.heard)
            sink.flow(True)
            began = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                playing = tasks.create_task(sink.play(pull))
                await until(lambda: (ann.loud_at(began) or time.monotonic()) < time.monotonic() - 0.3)
                assert sink.depth_ms > 200
                speaking = False
                sink.clear()
                assert sink.depth_ms == 0
                await until(lambda: ann.quiet_at(time.monotonic() - 2.0, frames=50))
                playing.cancel()
            lost = max(
                entry.event.lost_samples for entry in trace.since(0) if isinstance(entry.event, Glitch)
            )
            assert lost / OUTPUT_RATE > 0.2
            loud = [number for number, (_, samples) in enumerate(ann.heard) if np.abs(samples).max() > 500]
            assert len(loud) * len(ann.heard[-1][1]) / INPUT_RATE < pulled / OUTPUT_RATE - 0.2
            assert max(np.diff(loud)) < 10  # and nothing of it comes after the silence
        await room.disconnect()

    with_server(talk)
