"""The notebook's widget on a session in a room, on a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.transports.livekit.conftest import Run
from tests.transports.livekit.people import person
from tests.waiting import eventually
from workbench import Agent
from workbench.notebook import LiveWidget, live
from workbench.simulation.synthesis import speech
from workbench.transports.livekit.server import LocalServer

pytestmark = pytest.mark.room
AGENT = Agent(instructions="x", name="helper")
SCRIPT = {"agent": ["You said: {said}"], "user": ["Hello there."]}


def said(widget: LiveWidget, who: str) -> list[str]:
    return [line["text"] for line in widget.lines if line["who"] == who and line["state"] == "done"]


def test_the_widget_shows_and_steers_a_session_in_a_room(
    with_server: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk(server: LocalServer) -> None:
        monkeypatch.setenv("LIVEKIT_URL", server.url)
        monkeypatch.setenv("LIVEKIT_API_KEY", server.keys.api_key)
        monkeypatch.setenv("LIVEKIT_API_SECRET", server.keys.api_secret)
        async with person(server, "demo") as ann:
            given: dict[str, Any] = {"profile": "scripted", "script": SCRIPT, "record_enabled": False}
            widget = await asyncio.to_thread(live, AGENT, room="demo", **given)
            try:
                assert widget.status["room"] == "demo"
                assert not widget.status["browser"]  # no Talk button
                await eventually(lambda: widget.session.room and widget.session.room.source.voices)
                ann.say(speech(1.0))
                await eventually(lambda: said(widget, "agent") == ["You said: Hello there."])
                assert said(widget, "user") == ["Hello there."]
                assert ann.loud_at()
                await eventually(lambda: widget.waterfall["bars"])
                widget._handler.handle({"k": "type", "page": "abcd", "text": "And typed?"}, [])
                await eventually(lambda: "You said: And typed?" in said(widget, "agent"))
                widget._handler.handle({"k": "mute", "page": "abcd", "on": True}, [])
                await eventually(lambda: widget.muted)
            finally:
                await asyncio.to_thread(widget.end)
            await eventually(lambda: widget.status["ended"])

    with_server(talk)
