"""What the network takes of a turn."""

from __future__ import annotations

import pytest

from tests.transports.livekit.conftest import Run
from tests.transports.livekit.people import events, person, settings
from tests.waiting import eventually
from workbench import open_session
from workbench.model.events import NetworkMeasured, Span, TurnEnded
from workbench.readers.timeline import critical_path, turns
from workbench.simulation.synthesis import speech
from workbench.transports.livekit.server import LocalServer


def test_the_way_in_comes_before_endpointing_and_the_way_out_after_the_buffer() -> None:
    spans = [
        Span("network_in", 100.0, 130.0, turn=1),
        Span("jitter_buffer", 130.0, 170.0, turn=1),
        Span("output_buffer", 600.0, 650.0, reply=1),
        Span("network_out", 650.0, 680.0, reply=1),
        Span("leading_silence", 680.0, 690.0, reply=1),
    ]
    parts = critical_path(100.0, 600.0, 690.0, spans)
    told = {part: ms for part, ms in parts.items() if ms}
    assert told == {
        "network_in": 30.0,
        "jitter_buffer": 40.0,
        "endpointing": 430.0,
        "output_buffer": 50.0,
        "network_out": 30.0,
        "leading_silence": 10.0,
    }
    assert sum(parts.values()) == 590.0


@pytest.mark.room
def test_figures_come_each_second_and_are_parts_of_a_turn(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        async with person(server, "net") as ann, open_session(settings(server, "net")) as session:
            await eventually(lambda: len(events(session, NetworkMeasured)) >= 3)
            ann.say(speech(1.0))
            await eventually(lambda: events(session, TurnEnded))
            measured = events(session, NetworkMeasured)[-1]
            assert measured.buffer_ms > 0
            assert 0 <= measured.loss <= 1
            assert 0 <= measured.concealed <= 1
            (turn,) = turns(session.trace.since(0))
            assert turn.parts_ms["jitter_buffer"] > 0
            assert turn.parts_ms["network_out"] >= 19
            assert turn.heard_latency_ms is not None
            assert sum(turn.parts_ms.values()) == pytest.approx(turn.heard_latency_ms, abs=0.01)
            assert turn.parts_ms["endpointing"] < turn.lanes_ms["endpointing"][1]

    with_server(talk)
