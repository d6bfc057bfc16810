"""People in a room, as LiveKit's own SDK makes them: who speak, listen, and read what clients read."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from livekit import rtc

from tests.waiting import PATIENCE_S
from workbench.config import Settings, load_settings
from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.session import Session
from workbench.transports.livekit.server import LocalServer
from workbench.transports.livekit.token import mint

FRAME = INPUT_RATE // 50


def token(server: LocalServer, identity: str, room: str, **claims: Any) -> str:
    return mint(server.keys.api_key, server.keys.api_secret, room=room, identity=identity, **claims)


def settings(server: LocalServer, room: str, **values: Any) -> Settings:
    given = {
        "profile": "scripted",
        "audio.source": "room",
        "audio.sink": "room",
        "record.enabled": False,
        "room.name": room,
        "room.url": server.url,
        "room.api_key": server.keys.api_key,
        "room.api_secret": server.keys.api_secret,
    }
    return load_settings(
        {**given, **{name.replace("__", "."): value for name, value in values.items()}}, environ={}
    )


def events(session: Session, kind: type[Any]) -> list[Any]:
    return [entry.event for entry in session.trace.since(0) if isinstance(entry.event, kind)]


@dataclass
class Person:
    """Somebody who joined with LiveKit's SDK."""

    identity: str
    room: rtc.Room
    source: rtc.AudioSource
    publication: rtc.LocalTrackPublication | None = None
    to_say: list[Samples] = field(default_factory=list)
    heard: list[tuple[float, Samples]] = field(default_factory=list)
    """What came of the agent: when, and 20 ms of it."""
    segments: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Transcriptions: whose, the text, the attributes."""
    spoke_at: float = 0.0
    """When the last sample that was no silence was handed to the SDK, s."""

    def say(self, samples: Samples) -> None:
        self.to_say.append(samples)

    @property
    def silent(self) -> bool:
        return not self.to_say

    def loud_at(self, since: float = 0.0) -> float | None:
        """When the agent was first heard after `since`."""
        return next((at for at, samples in self.heard if at > since and np.abs(samples).max() > 500), None)

    def quiet_at(self, since: float, frames: int = 10) -> float | None:
        """When a silence of so many frames began after `since`."""
        run: list[float] = []
        for at, samples in self.heard:
            if at <= since:
                continue
            run = [*run, at] if np.abs(samples).max() < 200 else []
            if len(run) >= frames:
                return run[0]
        return None

    def agent(self) -> rtc.RemoteParticipant | None:
        """As LiveKit's components find it: by its kind."""
        kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        return next((one for one in self.room.remote_participants.values() if one.kind == kind), None)

    def state(self) -> str | None:
        agent = self.agent()
        return agent.attributes.get("lk.agent.state") if agent else None

    def states(self) -> list[str | None]:
        """Of all agents."""
        kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        everybody = self.room.remote_participants.values()
        return [one.attributes.get("lk.agent.state") for one in everybody if one.kind == kind]

    async def listened_to(self) -> None:
        """Wait until somebody is sent what the microphone gives."""
        assert self.publication
        await asyncio.wait_for(self.publication.wait_for_subscription(), PATIENCE_S)

    async def speak_on(self) -> None:
        """What the microphone gives: what is to be said, else silence, in real time."""
        due, rest = time.monotonic(), silence(0)
        while True:
            if len(rest) < FRAME and self.to_say:
                rest = np.concatenate((rest, self.to_say.pop(0)))
            frame, rest = rest[:FRAME], rest[FRAME:]
            frame = np.concatenate((frame, silence(FRAME - len(frame))))
            if frame.any():
                self.spoke_at = time.monotonic()
            await self.source.capture_frame(rtc.AudioFrame(frame.tobytes(), INPUT_RATE, 1, FRAME))
            due += 0.02
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def listen_to(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=INPUT_RATE, num_channels=1, frame_size_ms=20)
        try:
            async for event in stream:
                self.heard.append((time.monotonic(), np.frombuffer(event.frame.data, np.int16).copy()))
        finally:
            await stream.aclose()

    async def read(self, reader: rtc.TextStreamReader, sender: str) -> None:
        with contextlib.suppress(ConnectionError):
            text = await reader.read_all()
            self.segments.append((sender, text, dict(reader.info.attributes or {})))


@contextlib.asynccontextmanager
async def person(
    server: LocalServer, room: str, identity: str = "ann", *, microphone: bool = True, **claims: Any
) -> AsyncIterator[Person]:
    """Join, publish a microphone, listen to everybody, read transcriptions."""
    one = Person(identity, rtc.Room(), rtc.AudioSource(INPUT_RATE, 1, queue_size_ms=100))
    try:
        async with asyncio.TaskGroup() as tasks:
            running: set[asyncio.Task[None]] = set()
            leaving = asyncio.Event()

            def subscribed(track: rtc.Track, *_: object) -> None:
                if track.kind == rtc.TrackKind.KIND_AUDIO and not leaving.is_set():
                    running.add(tasks.create_task(one.listen_to(track)))

            def transcribed(reader: rtc.TextStreamReader, sender: str) -> None:
                if not leaving.is_set():
                    running.add(tasks.create_task(one.read(reader, sender)))

            one.room.on("track_subscribed", subscribed)
            one.room.register_text_stream_handler("lk.transcription", transcribed)
            await one.room.connect(server.url, token(server, identity, room, **claims))
            if microphone:
                track = rtc.LocalAudioTrack.create_audio_track("microphone", one.source)
                options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
                one.publication = await one.room.local_participant.publish_track(track, options)
                running.add(tasks.create_task(one.speak_on()))
            try:
                yield one
            finally:
                leaving.set()
                for task in running:
                    task.cancel()
    finally:
        await one.room.disconnect()
        await one.source.aclose()
