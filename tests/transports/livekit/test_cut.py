"""A cut clears what waits in the SDK's queue: a real track, heard by a real client."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from livekit import rtc

from tests.transports.livekit.conftest import Run
from tests.transports.livekit.people import person, token
from tests.waiting import eventually
from workbench.model.audio import OUTPUT_RATE, Samples
from workbench.model.events import Glitch
from workbench.trace.trace import Trace
from workbench.transports.livekit import sink as module
from workbench.transports.livekit.server import LocalServer
from workbench.transports.livekit.sink import RoomSink

QUEUED_S = 2
"""So deep that a machine which stops for a second does not empty it."""


@pytest.mark.room
def test_a_cut_clears_the_queue_at_once(with_server: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LEAD_S", QUEUED_S), ("MOST_LEAD_S", QUEUED_S), ("QUEUE_MS", 1500 * QUEUED_S)):
        monkeypatch.setattr(module, name, value)
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
            await eventually(lambda: ann.heard)
            sink.set_connected(True)
            began = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                playing = tasks.create_task(sink.play(pull))
                await eventually(lambda: (ann.loud_at(began) or time.monotonic()) < time.monotonic() - 0.3)
                deep_ms = sink.depth_ms
                assert deep_ms > 0
                speaking, cut_at = False, time.monotonic()
                sink.clear()
                assert sink.depth_ms == 0
                silent_at = await eventually(lambda: ann.quiet_at(cut_at, frames=50))
                await eventually(lambda: ann.heard[-1][0] > silent_at + QUEUED_S)
                playing.cancel()
            glitches = [entry.event for entry in trace.since(0) if isinstance(entry.event, Glitch)]
            lost = max(glitch.lost_samples for glitch in glitches)
            assert 0 < lost <= 1 + deep_ms * OUTPUT_RATE / 1000
            loud_s = 0.02 * sum(np.abs(samples).max() > 500 for _, samples in ann.heard)
            assert loud_s < (pulled - lost / 2) / OUTPUT_RATE  # what was lost is not heard
            assert ann.loud_at(silent_at) is None  # and nothing of it comes after the silence
        await room.disconnect()

    with_server(talk)
