"""The demo's page in a real browser with a microphone that plays speech, over a real server."""

from __future__ import annotations

import asyncio
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import numpy as np
import pytest

from tests.transports.livekit.browser import browser, energy
from tests.transports.livekit.people import events, settings
from tests.waiting import PATIENCE_S, eventually
from workbench import Agent, open_session
from workbench.model.audio import INPUT_RATE, silence
from workbench.model.events import ParticipantChanged, ReplyEnded, RoomConnection, TurnDecided, TurnEnded
from workbench.simulation.synthesis import speech, write_wav
from workbench.transports.livekit.demo_page import page
from workbench.transports.livekit.server import LocalServer
from workbench.transports.livekit.token import Access

pytestmark = [pytest.mark.room, pytest.mark.browser]


def is_done(turn: TurnEnded) -> bool:
    return turn.status == "done"


def test_somebody_talks_types_interrupts_and_loses_the_server(tmp_path: Path) -> None:
    long = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen."
    script = {
        "user": ["Good morning.", "And now?", "And then?"],
        "agent": ["It is a fine day.", long, "Here I am again.", "And again."],
    }
    sound = np.concatenate((silence(INPUT_RATE), speech(1.2), silence(INPUT_RATE * 7)))
    microphone = write_wav(tmp_path / "microphone.wav", sound)

    async def talk() -> None:
        async with LocalServer() as server, browser(microphone) as tab:
            access = Access(server.url, server.keys.api_key, server.keys.api_secret)
            given = settings(server, "page", script=script)
            agent = Agent(instructions="x", name="Ada")
            async with page(access, "page") as address, open_session(given, agent=agent) as session:
                await tab.goto(address)
                await tab.click("#talk")
                await eventually(lambda: events(session, TurnDecided))
                await tab.click("#mute")  # long before the microphone's next sentence
                await tab.wait_for_selector("#state[data-state=speaking]")
                assert await tab.text_content("#name") == "Ada"
                await eventually(lambda: events(session, TurnEnded))
                await tab.wait_for_selector("li.agent:not(.interim)")
                assert await tab.text_content("li.user") == "Good morning."
                assert await tab.text_content("li.agent") == "It is a fine day."
                session.set(turn_silence_ms=321)
                await tab.fill("#text", "tell me more")
                await tab.press("#text", "Enter")
                await tab.wait_for_selector("#state[data-state=speaking]")
                await tab.click("#interrupt")
                await eventually(lambda: events(session, ReplyEnded)[-1].status == "cut")
                await tab.wait_for_selector("#state[data-state=listening]")
                await server.kill()
                await tab.wait_for_selector("#state[data-state=away]")
                await eventually(lambda: events(session, RoomConnection)[-1].state == "reconnecting")
                await asyncio.sleep(10)
                await server.start()
                await eventually(lambda: events(session, RoomConnection)[-1].state == "connected")
                await tab.wait_for_selector("#state[data-state=listening]")
                await eventually(lambda: events(session, ParticipantChanged)[-1].state == "heard")
                assert await tab.get_attribute("#mute", "aria-pressed") == "true"
                assert not await tab.evaluate("() => room.localParticipant.isMicrophoneEnabled")
                await tab.fill("#text", "are you there?")  # at once: nothing that is typed now may be lost
                await tab.press("#text", "Enter")
                await eventually(lambda: events(session, TurnEnded)[-1].user_text == "are you there?")
                heard = await energy(tab)
                turns = len(events(session, TurnEnded))
                await tab.click("#mute")
                turn = await eventually(
                    lambda: next(filter(is_done, events(session, TurnEnded)[turns:]), None)
                )
                assert turn.user_text in script["user"]
                assert turn.agent_text in script["agent"]
                said = f"li.agent:not(.interim):has-text('{turn.agent_text}')"
                await tab.wait_for_selector(said)
                assert await energy(tab) > heard + 0.01
                assert session.settings.turn.silence_ms == 321
                assert not tab.problems

    asyncio.run(talk())


def test_the_page_is_nobody_elses() -> None:
    def status(url: str, method: str = "GET", **headers: str) -> int:
        asked = urllib.request.Request(url, method=method, headers=headers)
        try:
            with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
                return int(answer.status)
        except HTTPError as error:
            with error:
                return error.code

    async def ask() -> list[int]:
        access = Access("ws://127.0.0.1:7880", "key", "secret" * 8)
        async with page(access, "x") as address:
            root = address.rsplit("/", 2)[0]
            asked: list[tuple[str, str, dict[str, str]]] = [
                (address, "GET", {}),
                (f"{address}token", "POST", {}),
                (f"{root}/token", "POST", {}),
                (f"{address}token", "POST", {"Origin": "http://elsewhere"}),
                (f"{address}token", "POST", {"Host": "rebound.example:80"}),
                (f"{address}..%2fdemo.py", "GET", {}),
                (f"{address}README.md", "GET", {}),
            ]
            return [await asyncio.to_thread(status, url, method, **headers) for url, method, headers in asked]

    assert asyncio.run(ask()) == [200, 200, 404, 403, 403, 404, 404]
