"""Texts and files that people send on topics of their own, and chat as old clients send it."""

from __future__ import annotations

import json

import pytest

from tests.transports.livekit.conftest import Run
from tests.transports.livekit.people import events, person, settings
from tests.waiting import eventually
from workbench import open_session
from workbench.model.events import Notice, RoomMessage, TurnEnded
from workbench.transports.livekit.incoming import MOST_BYTES, IncomingData
from workbench.transports.livekit.server import LocalServer

pytestmark = pytest.mark.room


def test_texts_and_files_are_kept_within_bounds_and_told(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        async with (
            person(server, "files", microphone=False) as ann,
            open_session(settings(server, "files")) as session,
        ):
            await eventually(lambda: ann.state() == "listening")
            room, me = session.room, ann.room.local_participant
            assert room
            came: list[IncomingData] = []
            room.on_received(lambda one: 1 / 0)
            room.on_received(came.append)
            await me.send_text("über \x1b[2J all", topic="notes")
            await me.send_bytes(b"\x00" * 50_000, topic="scans", name="../../a.png", mime_type="image/png")
            await me.send_bytes(b"cat", topic="lk.chat", name="cat.txt", mime_type="text/plain")
            await me.send_text("nothing for us", topic="lk.something")
            await me.send_bytes(bytes(MOST_BYTES + 1), topic="scans", name="large")
            await eventually(
                lambda: [one for one in events(session, Notice) if "they are not kept" in one.reason]
            )
            await eventually(lambda: len(came) == 3)
            assert room.received == tuple(came)
            by_topic = {one.topic: one for one in came}
            assert by_topic["notes"].text == "über \x1b[2J all"  # as it came: who uses it knows what for
            scan = by_topic["scans"]
            assert (scan.sender, scan.name, scan.mime) == ("ann", "../../a.png", "image/png")
            assert scan.data == b"\x00" * 50_000
            told = {(one.kind, one.topic, one.text, one.size) for one in events(session, RoomMessage)}
            assert told == {
                ("text", "notes", "über all", 14),
                ("bytes", "scans", "../../a.png (image/png)", 50_000),
                ("bytes", "lk.chat", "cat.txt (text/plain)", 3),
            }
            assert any("ZeroDivisionError" in one.reason for one in events(session, Notice))
            for ignored in (True, False):
                old = {"id": "1", "message": f"hello {ignored}", "ignoreLegacy": ignored}
                await me.publish_data(json.dumps(old), topic="lk-chat-topic")
            await me.publish_data(b"\xff{", topic="lk-chat-topic")
            await eventually(lambda: events(session, TurnEnded))
            assert [one.user_text for one in events(session, TurnEnded)] == ["hello False"]
            assert [one.text for one in events(session, RoomMessage) if one.kind == "chat"] == ["hello False"]

    with_server(talk)
