"""What a client recorded before the agent was there is heard first, and once."""

from __future__ import annotations

import asyncio
import struct
import time
import tracemalloc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from livekit import rtc

from tests.transports.livekit.conftest import Run
from tests.transports.livekit.people import FRAME, Person, events, person, settings
from tests.waiting import eventually
from workbench import Agent, open_session
from workbench.engine.tasks import beside
from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.model.events import Heard, RoomMessage, SpeechStarted, TurnEnded
from workbench.session import Session
from workbench.simulation.clock import run_virtual
from workbench.simulation.synthesis import speech
from workbench.trace.trace import Trace
from workbench.transports.livekit.preconnect import (
    LONGEST_S,
    READ_S,
    TOPIC,
    PreConnectBuffer,
    _samples,
    join_overlapping,
)
from workbench.transports.livekit.server import LocalServer
from workbench.transports.livekit.webm import decode_webm


def noise(seconds: float, seed: int = 1) -> Samples:
    """Sound that is like itself nowhere else."""
    rough = np.random.default_rng(seed).normal(0, 3000, round(seconds * INPUT_RATE))
    return np.convolve(rough, np.hanning(32) / 16, "same").astype(np.int16)


@pytest.mark.parametrize("overlap_s", [0.0, 0.06, 0.4, 1.5])
def test_what_is_in_both_is_heard_once(overlap_s: float) -> None:
    whole, overlap = noise(5), round(overlap_s * INPUT_RATE)
    cut = 3 * INPUT_RATE
    again = join_overlapping(whole[: cut + overlap], (whole[cut:] * 0.7).astype(np.int16))
    assert abs(len(again) - len(whole)) <= (0 if overlap_s >= 0.125 or not overlap_s else overlap)


def test_silence_and_other_sound_are_not_taken_for_the_same() -> None:
    for live in (silence(INPUT_RATE), noise(1, seed=2), silence(0)):
        assert len(join_overlapping(noise(2), live)) == 2 * INPUT_RATE + len(live)
    assert len(join_overlapping(silence(0), noise(1))) == INPUT_RATE


@pytest.mark.parametrize(
    "rubbish", [b"", b"\x1aE\xdf\xa3", b"\x1aE\xdf\xa3" + bytes(range(256)) * 40, b"RIFF" * 99]
)
def test_what_is_no_webm_gives_nothing(rubbish: bytes) -> None:
    assert len(decode_webm(rubbish)[0]) == 0


def element(kind: int, data: bytes) -> bytes:
    """Of EBML."""
    return (
        kind.to_bytes((kind.bit_length() + 7) // 8, "big") + (len(data) | 1 << 56).to_bytes(8, "big") + data
    )


def webm(packets: list[bytes], channels: int = 1) -> bytes:
    """A recording like a browser's, of these packets of Opus."""
    table = bytes([channels, 0, *range(channels)]) if channels > 2 else b""
    mapping = 255 if channels > 2 else 0
    header = b"OpusHead" + struct.pack("<BBHIhB", 1, channels, 312, 48_000, 0, mapping) + table
    blocks = b"".join(element(0xA3, b"\x81\x00\x00\x80" + packet) for packet in packets)
    return b"\x1aE\xdf\xa3\x80" + element(0x63A2, header) + blocks


def test_a_small_file_is_no_long_sound() -> None:
    packet = bytes([(11 << 3) | 4 | 3, 2])  # two frames of 60 ms, stereo, of nothing
    tracemalloc.start()
    sound, rate = decode_webm(webm([packet] * 1_200, 2))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 19 <= len(sound) / rate <= 20
    assert most < 40_000_000  # one second of it is 0.2 MB as PCM16, and thrice that while it is mixed


@pytest.mark.parametrize("channels", [0, 3, 64, 255])
def test_more_channels_than_a_microphone_has_are_not_decoded(channels: int) -> None:
    assert len(decode_webm(webm([bytes([(11 << 3) | 3, 2])] * 10, channels))[0]) == 0


def test_a_header_that_breaks_off_gives_nothing() -> None:
    blocks = element(0xA3, b"\x81\x00\x00\x80" + bytes([88 | 3, 2]))
    assert len(decode_webm(b"\x1aE\xdf\xa3\x80" + element(0x63A2, b"OpusHead\x01") + blocks)[0]) == 0


def test_of_raw_sound_the_end_is_resampled_not_the_whole() -> None:
    info = SimpleNamespace(attributes={"sampleRate": "8000", "channels": "1"}, mime_type="audio/pcm")
    sound = _samples(info, bytes(2 * 8_000 * 30) + (noise(10, seed=3)[: 8_000 * 20]).tobytes())
    assert len(sound) == pytest.approx(LONGEST_S * INPUT_RATE, abs=100)


class Reader:
    """A recording that somebody began to send."""

    def __init__(self, sid: str) -> None:
        self.info = SimpleNamespace(attributes={"trackId": sid}, mime_type="audio/pcm")
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_recordings_that_nobody_fetches_are_let_go() -> None:
    async def main() -> None:
        handlers: dict[str, Any] = {}
        bob = SimpleNamespace(track_publications={})
        room = SimpleNamespace(
            remote_participants={"bob": bob}, register_byte_stream_handler=handlers.__setitem__
        )
        early = PreConnectBuffer(Trace(lambda: 0.0))
        early.wire(room)
        begun = [Reader("TR_a"), Reader("TR_b"), Reader("TR_c")]
        for one in begun:
            handlers[TOPIC](one, "bob")
        assert [one.closed for one in begun] == [False, False, True]
        await asyncio.sleep(READ_S + 0.1)
        assert all(one.closed for one in begun)
        begun = [Reader("TR_d")]
        handlers[TOPIC](begun[0], "bob")
        assert [one.closed for one in begun] == [False]
        early.wire(room)  # connected anew
        assert [one.closed for one in begun] == [True]
        await asyncio.sleep(READ_S + 0.1)
        assert len(await early.speech("bob", "TR_d")) == 0

    run_virtual(main())


class EarlyMicrophone:
    """A client's microphone that is recorded from before an agent is there, and sent to it then."""

    def __init__(self, ann: Person, sound: Samples) -> None:
        self._ann = ann
        self._sound = sound
        self._recorded: list[Samples] = []
        self._recording = True

    @property
    def recorded_s(self) -> float:
        return len(self._recorded) * FRAME / INPUT_RATE

    async def publish(self) -> str:
        """Publish the track, and return its id."""
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._ann.source)
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_MICROPHONE, preconnect_buffer=True, dtx=False
        )
        return (await self._ann.room.local_participant.publish_track(track, options)).sid

    async def run(self) -> None:
        """Speak in real time, then be silent for ever."""
        due, at = time.monotonic(), 0
        while True:
            frame = self._sound[at : at + FRAME]
            frame = np.concatenate((frame, silence(FRAME - len(frame))))
            at += FRAME
            if self._recording:
                self._recorded.append(frame)
            await self._ann.source.capture_frame(rtc.AudioFrame(frame.tobytes(), INPUT_RATE, 1, FRAME))
            due += 0.02
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def send(self, to: str, sid: str) -> None:
        """Send what was recorded, a second after the subscription, as clients do."""
        await asyncio.sleep(1.0)
        self._recording = False
        await self._ann.room.local_participant.send_bytes(
            np.concatenate(self._recorded).tobytes(),
            topic=TOPIC,
            destination_identities=[to],
            attributes={"trackId": sid, "sampleRate": str(INPUT_RATE), "channels": "1"},
        )


@pytest.mark.room
def test_words_from_before_the_agent_was_there_go_before_those_that_follow(with_server: Run) -> None:
    sound = np.concatenate((silence(INPUT_RATE // 2), speech(2.5)))

    async def talk(server: LocalServer) -> None:
        async with person(server, "early", microphone=False) as ann:
            microphone = EarlyMicrophone(ann, sound)
            subscribed = asyncio.Event()
            ann.room.on("local_track_subscribed", lambda *_: subscribed.set())
            async with beside(microphone.run()):
                sid = await microphone.publish()
                await eventually(lambda: microphone.recorded_s > 1.4)  # 0.9 s of words
                async with open_session(settings(server, "early"), agent=Agent(instructions="x")) as session:
                    await subscribed.wait()
                    await eventually(ann.agent)
                    agent = ann.agent()
                    assert agent
                    await microphone.send(agent.identity, sid)
                    await eventually(lambda: events(session, TurnEnded))
                    check_words_from_before(session)

    with_server(talk)


def check_words_from_before(session: Session) -> None:
    (turn,) = events(session, TurnEnded)
    assert (turn.status, turn.user_text) == ("done", "Hello there.")
    (message,) = events(session, RoomMessage)
    assert (message.kind, message.topic, message.sender) == ("bytes", TOPIC, "ann")
    onset = events(session, SpeechStarted)[0].at_sample
    end = next(event.user_end_sample for event in events(session, Heard) if event.user_end_sample)
    assert (end - onset) / INPUT_RATE == pytest.approx(2.5, abs=0.6)  # a second of it came twice
    assert session.room
    onset_s = session.room.source.time_of(onset) - asyncio.get_running_loop().time()
    assert session.trace.now() + onset_s * 1000 < 0  # the words began before the session did
