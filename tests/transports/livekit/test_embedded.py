"""The models on board in a room: asked by the voice of a browser, interrupted, cut off from the server, asked again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.transports.livekit.browser import browser, energy
from tests.transports.livekit.people import events, settings
from tests.waiting import PATIENCE_S, eventually
from workbench import Agent, open_session, open_trace
from workbench.model.audio import INPUT_RATE, silence
from workbench.model.events import ReplyEnded, RoomConnection, TurnEnded
from workbench.simulation.synthesis import write_wav
from workbench.trace.wav import RecordedTrack
from workbench.transports.livekit.demo_page import page
from workbench.transports.livekit.server import LocalServer
from workbench.transports.livekit.token import Access

pytestmark = [pytest.mark.room, pytest.mark.browser, pytest.mark.models]
QUESTION = Path(__file__).parents[2] / "data" / "question.wav"
ASKED = "capital of france"
AUDIBLE = 0.001
"""Energy of a few words, as WebRTC counts it; a whole answer has 0.1 to 0.5."""


async def sounded(tab: Any) -> None:
    """Wait until the page has heard something; what it counts may begin anew with a connection."""
    lowest = await energy(tab)
    while (now := await energy(tab)) < lowest + AUDIBLE:
        lowest = min(lowest, now)
        await asyncio.sleep(0.05)


def test_a_conversation_with_the_models_on_board_goes_on_after_an_outage(tmp_path: Path) -> None:
    track = RecordedTrack(QUESTION, "user", INPUT_RATE)
    sound = np.concatenate((silence(INPUT_RATE), track.read(0, track.end), silence(INPUT_RATE * 12)))
    microphone = write_wav(tmp_path / "microphone.wav", sound)
    folder = tmp_path / "call"

    async def talk() -> None:
        async with LocalServer() as server, browser(microphone) as tab:
            access = Access(server.url, server.keys.api_key, server.keys.api_secret)
            given = settings(
                server, "own", profile="embedded", record__enabled=True, record__folder=str(folder)
            )
            agent = Agent(instructions="Tell a long story.", name="Ada")
            async with page(access, "own") as address, open_session(given, agent=agent) as session:

                def answered(since: int) -> bool:
                    turns = events(session, TurnEnded)[since:]
                    return any(ASKED in turn.user_text.lower() and turn.agent_text for turn in turns)

                await tab.goto(address)
                await tab.click("#talk")
                while not any(one.status == "cut" for one in events(session, ReplyEnded)):
                    ended = len(events(session, ReplyEnded))  # a short answer may be over before the click
                    await tab.wait_for_selector("#state[data-state=speaking]")
                    await tab.click("#interrupt")
                    await eventually(lambda: len(events(session, ReplyEnded)) > ended)  # noqa: B023
                await eventually(lambda: answered(0))
                assert ASKED in (await tab.text_content("li.user")).lower()
                await server.kill()
                await eventually(lambda: events(session, RoomConnection)[-1].state == "reconnecting")
                await asyncio.sleep(10)
                turns = len(events(session, TurnEnded))
                await server.start()
                async with asyncio.timeout(PATIENCE_S):
                    await sounded(tab)  # from the first answer on, which may be a short one
                await eventually(lambda: answered(turns))
                assert not tab.problems

    asyncio.run(talk())
    recorded = open_trace(folder)
    heard = [turn for turn in recorded.turns if turn.heard_latency_ms is not None]
    assert len(heard) >= 2
    for turn in heard:
        assert sum(turn.parts_ms.values()) == pytest.approx(turn.heard_latency_ms, abs=0.01)
        assert turn.parts_ms["network_out"] > 0
