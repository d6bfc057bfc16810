"""What a client recorded before the agent was there is heard first, and once."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from livekit import rtc

from tests.room.conftest import Run
from tests.room.people import FRAME, events, person, settings, until
from workbench import Agent, open_session
from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.model.events import Heard, RoomMessage, SpeechStarted, TurnEnded
from workbench.room.preconnect import TOPIC, joined
from workbench.room.server import LocalServer
from workbench.room.webm import decoded
from workbench.testing.sound import speech


def noise(seconds: float, seed: int = 1) -> Samples:
    """Sound that is like itself nowhere else."""
    rough = np.random.default_rng(seed).normal(0, 3000, round(seconds * INPUT_RATE))
    return np.convolve(rough, np.hanning(32) / 16, "same").astype(np.int16)


@pytest.mark.parametrize("overlap_s", [0.0, 0.06, 0.4, 1.5])
def test_what_is_in_both_is_heard_once(overlap_s: float) -> None:
    whole, overlap = noise(5), round(overlap_s * INPUT_RATE)
    cut = 3 * INPUT_RATE
    again = joined(whole[: cut + overlap], (whole[cut:] * 0.7).astype(np.int16))
    assert abs(len(again) - len(whole)) <= (0 if overlap_s >= 0.125 or not overlap_s else overlap)


def test_silence_and_other_sound_are_not_taken_for_the_same() -> None:
    for live in (silence(INPUT_RATE), noise(1, seed=2), silence(0)):
        assert len(joined(noise(2), live)) == 2 * INPUT_RATE + len(live)
    assert len(joined(silence(0), noise(1))) == INPUT_RATE


@pytest.mark.parametrize(
    "rubbish", [b"", b"\x1aE\xdf\xa3", b"\x1aE\xdf\xa3" + bytes(range(256)) * 40, b"RIFF" * 99]
)
def test_what_is_no_webm_gives_nothing(rubbish: bytes) -> None:
    assert len(decoded(rubbish)[0]) == 0


@pytest.mark.room
def test_words_from_before_the_agent_was_there_go_before_those_that_follow(with_server: Run) -> None:
    said = np.concatenate((silence(INPUT_RATE // 2), speech(2.5)))

    async def talk(server: LocalServer) -> None:
        async with person(server, "early", microphone=False) as ann:
            recorded: list[Samples] = []
            running = True

            async def microphone() -> None:
                due, at = time.monotonic(), 0
                while True:
                    frame = said[at : at + FRAME]
                    frame = np.concatenate((frame, silence(FRAME - len(frame))))
                    at += FRAME
                    if running:
                        recorded.append(frame)
                    await ann.source.capture_frame(rtc.AudioFrame(frame.tobytes(), INPUT_RATE, 1, FRAME))
                    due += 0.02
                    await asyncio.sleep(max(0.0, due - time.monotonic()))

            async def record(to: str, sid: str) -> None:
                nonlocal running
                await asyncio.sleep(1.0)  # the client hears of the subscription a little later
                running = False
                await ann.room.local_participant.send_bytes(
                    np.concatenate(recorded).tobytes(),
                    topic=TOPIC,
                    destination_identities=[to],
                    attributes={"trackId": sid, "sampleRate": str(INPUT_RATE), "channels": "1"},
                )

            subscribed = asyncio.Event()
            ann.room.on("local_track_subscribed", lambda *_: subscribed.set())
            async with asyncio.TaskGroup() as tasks:
                speaking = tasks.create_task(microphone())
                track = rtc.LocalAudioTrack.create_audio_track("microphone", ann.source)
                options = rtc.TrackPublishOptions(
                    source=rtc.TrackSource.SOURCE_MICROPHONE, preconnect_buffer=True, dtx=False
                )
                published = await ann.room.local_participant.publish_track(track, options)
                await until(lambda: len(recorded) > 70)  # 0.9 s of words
                async with open_session(settings(server, "early"), agent=Agent(instructions="x")) as session:
                    await subscribed.wait()
                    await until(ann.agent)
                    agent = ann.agent()
                    assert agent
                    await record(agent.identity, published.sid)
                    await until(lambda: events(session, TurnEnded))
                    (turn,) = events(session, TurnEnded)
                    assert (turn.status, turn.user_text) == ("done", "Hello there.")
                    (told,) = events(session, RoomMessage)
                    assert (told.kind, told.topic, told.sender) == ("bytes", TOPIC, "ann")
                    began = events(session, SpeechStarted)[0]
                    end = next(one for one in events(session, Heard) if one.user_end_sample)
                    lasted_s = (end.user_end_sample - began.at_sample) / INPUT_RATE
                    assert lasted_s == pytest.approx(2.5, abs=0.6)  # a second of it came twice
                    assert session.room
                    ms = (
                        session.trace.now()
                        + (session.room.source.time_of(began.at_sample) - asyncio.get_running_loop().time())
                        * 1000
                    )
                    assert ms < 0  # the words began before the session did
                speaking.cancel()

    with_server(talk)
