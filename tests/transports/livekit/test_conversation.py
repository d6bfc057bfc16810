"""A spoken conversation in a room on a real server, with people who use LiveKit's own SDK."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from livekit import rtc

from tests.transports.livekit.conftest import Run
from tests.transports.livekit.people import events, person, settings
from tests.waiting import PATIENCE_S, eventually
from workbench import Agent, open_session, open_trace
from workbench.model.errors import StageError
from workbench.model.events import (
    ListeningStarted,
    ParticipantChanged,
    ReplyEnded,
    ReplyPlaying,
    RoomConnection,
    RoomMessage,
    TurnEnded,
)
from workbench.readers import entries
from workbench.readers.timeline import turns
from workbench.simulation.synthesis import speech
from workbench.transports.livekit.server import LocalServer

pytestmark = pytest.mark.room
LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen."
AGENT = Agent(instructions="x", name="helper")


def test_a_spoken_question_is_answered_in_the_room_and_recorded(with_server: Run, tmp_path: Path) -> None:
    async def talk(server: LocalServer) -> None:
        given = settings(server, "one", record__enabled=True, record__folder=tmp_path / "rec")
        async with person(server, "one") as ann, open_session(given, agent=AGENT) as session:
            await eventually(lambda: ann.state() == "listening")
            agent = ann.agent()
            assert agent is not None
            assert (agent.name, agent.attributes["lk.agent.name"]) == ("helper", "helper")
            await eventually(lambda: session.room and session.room.source.voices)
            states: list[str | None] = []  # each, however short it is
            ann.room.on(
                "participant_attributes_changed",
                lambda changed, _: states.append(changed.get("lk.agent.state")),
            )
            ann.say(speech(2.0))  # the first packets of a new track may be lost
            await eventually(ann.loud_at)
            await eventually(lambda: "speaking" in states)
            await eventually(lambda: events(session, TurnEnded))
            await eventually(lambda: ann.state() == "listening")
            (turn,) = turns(session.trace.since(0))
            assert (turn.status, turn.user_text) == ("done", "Hello there.")
            assert turn.heard_latency_ms
            assert sum(turn.parts_ms.values()) == pytest.approx(turn.heard_latency_ms, abs=0.01)
            await eventually(
                lambda: len([one for one in ann.segments if one[2]["lk.transcription_final"] == "true"]) == 2
            )
        assert [one.state for one in events(session, RoomConnection)] == ["connecting", "connected", "left"]
        finals = [one for one in ann.segments if one[2]["lk.transcription_final"] == "true"]
        (user, said, about), (speaker, answer, of_agent) = finals
        assert (user, said) == ("ann", "Hello there.")
        assert ann.publication
        assert about["lk.transcribed_track_id"] == ann.publication.sid
        assert answer == turn.agent_text
        assert speaker == agent.identity
        assert of_agent["lk.segment_id"] != about["lk.segment_id"]
        interim = [one for one in ann.segments if one[2]["lk.segment_id"] == about["lk.segment_id"]]
        assert len(interim) > 1
        recorded = list(turns(entries(open_trace(tmp_path / "rec"))))
        assert recorded == [turn]
        everything = "".join(file.read_text() for file in (tmp_path / "rec").glob("*.json*"))
        assert server.keys.api_secret not in everything
        assert (
            json.loads((tmp_path / "rec" / "session.json").read_text())["settings"]["room"]["name"] == "one"
        )

    with_server(talk)


def test_speech_cuts_a_reply_and_the_transcript_ends_where_it_was_cut(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        agent = Agent(instructions="x", greeting=LONG)
        async with (
            person(server, "cut") as ann,
            open_session(settings(server, "cut"), agent=agent) as session,
        ):
            await eventually(ann.loud_at)
            await eventually(lambda: session.room and session.room.source.voices)
            await asyncio.sleep(0.8)
            began = time.monotonic()
            ann.say(speech(1.2))
            await eventually(lambda: ann.quiet_at(began))
            await eventually(lambda: events(session, ReplyEnded))
            ended = events(session, ReplyEnded)[0]
            assert ended.status == "cut"
            assert ended.unheard
            agent_id = ann.room.remote_participants
            await eventually(lambda: [one for one in ann.segments if one[0] in agent_id])
            first = next(one for one in ann.segments if one[0] in agent_id)
            assert first[1] == ended.heard
            assert first[2]["lk.transcription_final"] == "true"

    with_server(talk)


def test_chat_and_calls_from_the_room(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        agent = Agent(instructions="x")
        given = settings(server, "chat", script={"user": ["x"], "agent": [LONG]})
        async with person(server, "chat") as ann, open_session(given, agent=agent) as session:
            await eventually(lambda: ann.state() == "listening")
            found = ann.agent()
            assert found
            me = ann.room.local_participant
            await me.send_text("\x1b[31mhello\x1b[0m there", topic="lk.chat")
            await eventually(lambda: events(session, ReplyPlaying))
            answer = await me.perform_rpc(
                destination_identity=found.identity,
                method="interrupt",
                payload="",
                response_timeout=PATIENCE_S,
            )
            assert answer == "ok"
            await eventually(lambda: events(session, TurnEnded))
            (turn,) = events(session, TurnEnded)
            assert (turn.status, turn.user_text) == ("cut", "hello there")
            for method, payload in (("say", '{"text": "One more thing."}'), ("type", "and you?")):
                await me.perform_rpc(
                    destination_identity=found.identity,
                    method=method,
                    payload=payload,
                    response_timeout=PATIENCE_S,
                )
                if method == "say":
                    await eventually(
                        lambda: [one for one in events(session, ReplyEnded) if one.heard == "One more thing."]
                    )
            await eventually(lambda: [one for one in events(session, ReplyPlaying) if one.turn == 2])
            await me.publish_data(b"\x1b]0;owned\x07\xff\xfe", topic="things")
            await me.publish_dtmf(code=5, digit="5")
            await eventually(lambda: len(events(session, RoomMessage)) == 6)
            kinds = [(one.kind, one.topic, one.sender) for one in events(session, RoomMessage)]
            assert kinds == [
                ("chat", "lk.chat", "ann"),
                ("rpc", "interrupt", "ann"),
                ("rpc", "say", "ann"),
                ("rpc", "type", "ann"),
                ("data", "things", "ann"),
                ("dtmf", "", "ann"),
            ]
            assert "\x1b" not in "".join(one.text for one in events(session, RoomMessage))
            assert events(session, RoomMessage)[-1].text == "5"

    with_server(talk)


def test_who_is_there_before_and_who_comes_later_is_heard_first_come_first(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        given = settings(server, "who", room__grace_s=0.3)
        async with open_session(given) as session:

            def states() -> list[tuple[str, str]]:
                return [(one.identity, one.state) for one in events(session, ParticipantChanged)]

            await eventually(lambda: events(session, ListeningStarted))
            async with person(server, "who", "ann"):
                await eventually(lambda: ("ann", "heard") in states())
                async with person(server, "who", "bob") as bob:
                    await eventually(lambda: ("bob", "joined") in states())
                    bob.say(speech(0.6))
                    await asyncio.sleep(0.5)
                    assert ("bob", "heard") not in states()
                    assert not events(session, TurnEnded)
            await eventually(lambda: ("ann", "away") in states())
            async with person(server, "who", "ann"):
                await eventually(lambda: states().count(("ann", "heard")) == 2)
            await eventually(lambda: ("ann", "left") in states())
            async with person(server, "who", "cid"):
                await eventually(lambda: ("cid", "heard") in states())

    with_server(talk)


def test_the_agents_side_calls_a_client_and_sends_it_data(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        async with person(server, "call") as ann, open_session(settings(server, "call")) as session:
            came: list[bytes] = []
            ann.room.on("data_received", lambda packet: came.append(packet.data))

            async def show(call: rtc.RpcInvocationData) -> str:
                if call.payload == "bad":
                    raise rtc.RpcError(1500, "no such thing")
                return f"shown to {ann.identity}: {call.payload}"

            ann.room.local_participant.register_rpc_method("show", show)
            await eventually(
                lambda: (
                    events(session, ListeningStarted) and session.room and session.room.participants.linked
                )
            )
            assert session.room
            assert await session.room.call("show", "a map") == "shown to ann: a map"
            for method, payload, said in (("show", "bad", "no such thing"), ("hide", "", "not supported")):
                with pytest.raises(StageError, match=said):
                    await session.room.call(method, payload)
            await session.room.send(b"here", "map", to="ann")
            await eventually(lambda: came == [b"here"])

    with_server(talk)
