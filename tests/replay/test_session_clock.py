"""The session's clock of a rerun, where the session did not begin with the loop: providers were made before it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from workbench.model.events import Bookmarked, Entry
from workbench.replay.played_session import PlayedTrace
from workbench.replay.session_clock import SessionClock
from workbench.simulation.clock import run_virtual
from workbench.trace.cassette import FRAMES, PROBABILITIES, PULLS, Cassette
from workbench.trace.codec import encode


@pytest.mark.parametrize("origin", [0.0, 0.1, 3.7, 1234.567891])
def test_events_from_outside_come_at_their_time(origin: float) -> None:
    times = [round(0.0137 * number, 6) for number in range(1, 200)]
    events = [json.loads(encode(Entry(i, t * 1000, Bookmarked(str(i))))) for i, t in enumerate(times)]
    rows = tuple({"t": t, "row": "event", "event": event} for t, event in zip(times, events, strict=True))
    frames, pulls, probabilities = np.empty(0, FRAMES), np.empty(0, PULLS), np.empty(0, PROBABILITIES)
    cassette = Cassette(Path("nowhere"), rows, (), frames, pulls, probabilities, times[-1])

    async def play() -> list[float]:
        await asyncio.sleep(origin)
        clock = SessionClock()
        clock.origin = asyncio.get_running_loop().time()
        trace = PlayedTrace(lambda: clock.now() * 1000, cassette, clock)
        await trace.run()
        return [entry.t_ms / 1000 for entry in trace.since(0)]

    assert run_virtual(play()) == pytest.approx(times, abs=1e-3)
