"""What strangers in a room may do without harming the conversation."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from livekit import rtc

from tests.transports.livekit.conftest import Run
from tests.transports.livekit.people import events, person, settings
from tests.waiting import PATIENCE_S, eventually
from workbench import open_session
from workbench.model.audio import INPUT_RATE
from workbench.model.events import ListeningStarted, Notice, RoomMessage, TurnDecided, TurnEnded
from workbench.simulation.synthesis import speech
from workbench.transports.livekit.incoming import MOST_TEXT
from workbench.transports.livekit.rate_limit import MESSAGES_A_SECOND, STREAMS_OF_ONE
from workbench.transports.livekit.server import LocalServer

pytestmark = pytest.mark.room


def test_a_flood_of_data_is_dropped_and_the_conversation_goes_on(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        async with person(server, "flood") as ann, open_session(settings(server, "flood")) as session:
            await eventually(lambda: session.room and session.room.source.voices)
            me = ann.room.local_participant
            payload = bytes(range(256)) * 4
            ann.say(speech(1.0))
            for _ in range(400):
                await me.publish_data(payload, topic="\x1b[2Jx" * 50)
            await eventually(lambda: events(session, TurnEnded))
            (turn,) = events(session, TurnEnded)
            assert (turn.status, turn.user_text) == ("done", "Hello there.")
            assert any("the rest is dropped" in one.reason for one in events(session, Notice))
            seconds = session.trace.now() / 1000
            assert 0 < len(events(session, RoomMessage)) <= MESSAGES_A_SECOND * (seconds + 1)
            assert "\x1b" not in "".join(one.topic for one in events(session, RoomMessage))

    with_server(talk)


def test_long_endless_and_broken_texts_are_bounded(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        async with person(server, "text") as ann, open_session(settings(server, "text")) as session:
            await eventually(lambda: ann.state() == "listening")
            me = ann.room.local_participant
            endless = await me.stream_text(topic="lk.chat")
            await endless.write("never ")
            await me.send_text("x" * 100_000, topic="lk.chat")
            await me.send_text("\x1b[2J\u202egnirts\u0000 fine", topic="lk.chat")
            await eventually(lambda: len(events(session, TurnDecided)) == 2)
            session.interrupt()  # whichever came last: the long one's answer is long
            await eventually(lambda: len(events(session, TurnEnded)) == 2)
            texts = sorted((turn.user_text for turn in events(session, TurnEnded)), key=len)
            assert texts[0] == "gnirts fine"
            assert len(texts[1]) <= MOST_TEXT

    with_server(talk)


def test_who_is_not_listened_to_makes_no_turns_and_shuts_out_nobody(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        async with (
            person(server, "two", microphone=False) as ann,
            person(server, "two", "bob", microphone=False) as bob,
            open_session(settings(server, "two", room__listen="identity:ann")) as session,
        ):
            await eventually(lambda: ann.state() == "listening" and bob.agent())
            agent = bob.agent()
            assert agent
            his, hers = bob.room.local_participant, ann.room.local_participant
            await his.send_text("from bob", topic="lk.chat")
            await his.publish_data(json.dumps({"message": "from bob, the old way"}), topic="lk-chat-topic")
            for method in ("type", "say", "interrupt"):
                with pytest.raises(rtc.RpcError) as refusal:
                    await his.perform_rpc(
                        destination_identity=agent.identity,
                        method=method,
                        payload="from bob",
                        response_timeout=PATIENCE_S,
                    )
                assert refusal.value.code == 1403
            open_ = [await his.stream_bytes(name=str(number), topic="files") for number in range(8)]
            for writer in open_:
                await writer.write(b"never ")
            for _ in range(100):
                await his.publish_data(b"flood", topic="x")
            await eventually(lambda: any("came from bob" in one.reason for one in events(session, Notice)))
            await hers.send_text("from ann", topic="lk.chat")
            answer = await hers.perform_rpc(
                destination_identity=agent.identity,
                method="interrupt",
                payload="",
                response_timeout=PATIENCE_S,
            )
            assert answer == "ok"
            await eventually(lambda: events(session, TurnEnded))
            assert [turn.user_text for turn in events(session, TurnEnded)] == ["from ann"]
            told = [
                one.text for one in events(session, RoomMessage) if one.sender == "bob" and one.kind == "chat"
            ]
            assert sorted(told) == ["from bob", "from bob, the old way"]
            assert session.room
            reading = {who: one.streams for who, one in session.room.incoming._limiter._senders.items()}
            assert reading["bob"] == STREAMS_OF_ONE

    with_server(talk)


def test_of_twenty_tracks_one_is_heard_and_no_video_is_decoded(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        async with person(server, "many", microphone=False) as ann:
            sources = [rtc.AudioSource(INPUT_RATE, 1) for _ in range(20)]
            for number, source in enumerate(sources):
                track = rtc.LocalAudioTrack.create_audio_track(str(number), source)
                kind = rtc.TrackSource.SOURCE_MICROPHONE if number == 7 else rtc.TrackSource.SOURCE_UNKNOWN
                await ann.room.local_participant.publish_track(track, rtc.TrackPublishOptions(source=kind))
            film = rtc.LocalVideoTrack.create_video_track("film", rtc.VideoSource(64, 64))
            await ann.room.local_participant.publish_track(film, rtc.TrackPublishOptions())
            async with open_session(settings(server, "many")) as session:
                await eventually(lambda: events(session, ListeningStarted))
                await eventually(lambda: session.room and session.room.source.voices)
                await asyncio.sleep(0.5)
                assert session.room
                (voice,) = session.room.source.voices.values()
                chosen = [
                    one
                    for one in session.room.participants.remote["ann"].track_publications.values()
                    if one.subscribed
                ]
                assert [one.name for one in chosen] == ["7"]
                assert voice.track_sid == chosen[0].sid

    with_server(talk)


def test_noise_and_a_track_that_comes_and_goes_end_no_session(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        async with person(server, "noise") as ann, open_session(settings(server, "noise")) as session:
            await eventually(lambda: session.room and session.room.source.voices)
            garbage = np.random.default_rng(1).integers(-32768, 32767, INPUT_RATE // 2, dtype=np.int16)
            ann.say(garbage)
            await eventually(lambda: ann.silent)
            assert ann.publication
            for _ in range(5):
                await ann.room.local_participant.unpublish_track(ann.publication.sid)
                await eventually(lambda: session.room and not session.room.source.voices)
                track = rtc.LocalAudioTrack.create_audio_track("microphone", ann.source)
                options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
                ann.publication = await ann.room.local_participant.publish_track(track, options)
                await eventually(lambda: session.room and session.room.source.voices)
            ended = len(events(session, TurnEnded))
            ann.say(speech(1.0))
            await eventually(lambda: len(events(session, TurnEnded)) > ended)
            assert events(session, TurnEnded)[-1].status == "done"

    with_server(talk)
