"""LiveKit's own React components, as their starter apps use them, in a real browser whose microphone plays speech."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from tests.transports.livekit.browser import browser
from tests.transports.livekit.people import events, settings, token
from tests.waiting import PATIENCE_S, eventually
from workbench import Agent, RunContext, open_session, tool
from workbench.model.audio import INPUT_RATE, silence
from workbench.model.events import Heard, RoomMessage, TurnEnded
from workbench.simulation.synthesis import speech, write_wav
from workbench.transports.livekit.server import LocalServer

pytestmark = [pytest.mark.room, pytest.mark.browser, pytest.mark.components]
BUNDLE = Path(__file__).parent / "components" / "bundle.js"
HTML = '<!doctype html><meta charset="utf-8"><div id="app"></div><script src="bundle.js"></script>'


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """The page's address."""

    async def give(_: web.Request) -> web.StreamResponse:
        return web.Response(text=HTML, content_type="text/html")

    async def bundle(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(BUNDLE)

    app = web.Application()
    app.router.add_get("/", give)
    app.router.add_get("/bundle.js", bundle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def seen(tab: Any, condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """What the components say as soon as the condition holds."""
    found: dict[str, Any] = {}
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await tab.evaluate("({...window.seen, send: 0, room: 0})")
            assert not found.get("error"), found["error"]
            if condition(found):
                return found
            await asyncio.sleep(0.05)


def test_the_components_show_state_voice_and_words_and_what_was_said_before_the_agent_was_there(
    tmp_path: Path,
) -> None:
    sound = np.concatenate((silence(INPUT_RATE * 3), speech(1.2), silence(INPUT_RATE * 60)))
    microphone = write_wav(tmp_path / "microphone.wav", sound)

    @tool
    async def show(context: RunContext[None]) -> str:
        answer: str = await context.room.call("show", "a map")
        return answer

    script = {
        "user": ["Good morning."],
        "agent": ["It is a fine day."],
        "first_token_ms": 300,
        "choose": [{"when": "map", "tool": "show", "then": "{result}"}],
    }
    agent = Agent(instructions="x", name="Ada", tools=[show])

    async def talk() -> None:
        async with LocalServer() as server, browser(microphone) as tab, served() as address:
            given = settings(server, "react", script=script)
            await tab.goto(address)
            options = {
                "serverUrl": server.url,
                "participantToken": token(server, "ann", "react"),
                "preConnect": True,
            }
            await tab.evaluate("options => window.begin(options)", options)
            await seen(tab, lambda it: it["agent"][-1:] == ["pre-connect-buffering"])
            await seen(tab, lambda it: it.get("spoke"))  # to nobody
            async with open_session(given, agent=agent) as session:
                await seen(tab, lambda it: it["states"][-1:] == ["speaking"])
                await eventually(lambda: events(session, TurnEnded))
                (spoken,) = events(session, TurnEnded)
                assert (spoken.status, spoken.user_text) == ("done", "Good morning.")
                end_ms = next(one.user_end_ms for one in events(session, Heard) if one.turn == spoken.turn)
                assert end_ms
                assert end_ms < 0  # the words were over before the session began
                it = await seen(tab, lambda it: it["states"][-1] == "listening" and len(it["messages"]) == 2)
                me, answer = it["transcriptions"]
                assert (me["from"], me["text"]) == ("ann", "Good morning.")
                assert answer["text"] == spoken.agent_text == "It is a fine day."
                for one in (me, answer):
                    assert one["attributes"]["lk.transcription_final"] == "true"
                assert answer["attributes"]["lk.transcribed_track_id"] == it["track"]
                assert it["legacy"] == [
                    {"id": answer["attributes"]["lk.segment_id"], "text": "It is a fine day.", "final": True}
                ]
                assert (it["name"], it["subscribed"]) == ("Ada", True)
                assert it["attributes"]["lk.agent.state"] == "listening"

                await tab.evaluate("window.seen.send('show me the map')")
                await eventually(lambda: len(events(session, TurnEnded)) == 2)
                twice = ["thinking", "speaking", "listening"] * 2  # shown a moment after it was told
                await seen(tab, lambda it: it["states"][-6:] == it["agent"][-6:] == twice)
                it = await seen(tab, lambda it: len(it["messages"]) == 4)
                assert it["rpc"] == ["a map"]
                assert it["chat"] == [{"message": "show me the map", "from": "ann"}]
                assert [(one["type"], one["message"]) for one in it["messages"]] == [
                    ("userTranscript", "Good morning."),
                    ("agentTranscript", "It is a fine day."),
                    ("chatMessage", "show me the map"),
                    ("agentTranscript", "shown: a map"),
                ]
                assert it["agent"][1:3] == ["connecting", "pre-connect-buffering"]
                assert await tab.locator("[data-lk-va-state=listening]").count() == 1  # the BarVisualizer
                chat = [one.topic for one in events(session, RoomMessage) if one.kind != "bytes"]
                assert chat == ["lk.chat"]  # not the same again in the old form
                assert not tab.problems

    asyncio.run(talk())
