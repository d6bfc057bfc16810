"""A LiveKit room as a transport: the agent joins it, speaks, listens, and follows who comes and goes."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Self

import numpy as np

from workbench.engine.tasks import beside, single
from workbench.handle import SessionHandle
from workbench.model.audio import silence
from workbench.model.conversation import Picture
from workbench.model.errors import UsageError, WorkbenchError
from workbench.model.events import Entry, ParticipantChanged, ReplyEnded
from workbench.transports.base import Transport, TransportOptions
from workbench.transports.livekit.client import SEND_S, Delivery, RoomClient
from workbench.transports.livekit.connection import RoomConnector
from workbench.transports.livekit.incoming import IncomingData, IncomingMessages
from workbench.transports.livekit.network import NetworkMonitor
from workbench.transports.livekit.participants import Participants
from workbench.transports.livekit.preconnect import PreConnectBuffer, join_overlapping
from workbench.transports.livekit.publisher import NAME, STATE, RoomPublisher
from workbench.transports.livekit.sink import RoomSink
from workbench.transports.livekit.source import MOST, RoomSource, Voice, noise_suppressor
from workbench.transports.livekit.token import access
from workbench.transports.livekit.video import UserVideo, look

LATE_FRAMES = 500
"""Frames of a voice that wait for what was said before them: 10 s."""
OVERLAP_FRAMES = 20
"""Frames of it by which its beginning is found in what was said before: 0.4 s."""
BACK_S = 0.4
"""From when somebody is back in the room until they hear us, s."""


class RoomTransport(RoomClient, Transport):
    """The agent in a room. Entering raises MissingError (no server, no keys, no SDK) or UsageError (refused)."""

    data = dtmf = True
    source: RoomSource
    sink: RoomSink

    def __init__(self, options: TransportOptions) -> None:
        settings, trace, agent = options.settings.room, options.trace, options.agent
        if not (options.source and options.sink):
            raise UsageError("a room is source and sink at once", "give --room NAME alone")
        if not settings.name:
            raise UsageError("no room is named", "give --room NAME, or set [room] name")
        name, quiet = f"room {settings.name}", options.settings.audio.noise_suppression
        self.source = RoomSource(trace, name, noise_suppressor() if quiet else None)
        self.sink = RoomSink(trace, name)
        connection = RoomConnector(
            settings,
            access(settings),
            settings.identity or f"agent-{secrets.token_hex(4)}",
            trace,
            self._wire,
            self._joined,
            name=agent,
            attributes=lambda: {**self._attributes, STATE: self.publisher.state, NAME: agent},
        )
        super().__init__(connection, Participants(settings, trace, self._add_voice, self._remove_voice))
        self.publisher = RoomPublisher(self.connection, self._linked_track, lambda: self.sink.track_sid)
        self.incoming = IncomingMessages(trace, self.participants.may_speak)
        self.preconnect = PreConnectBuffer(trace)
        self.user_video = self.vision = UserVideo(self.participants, trace, settings.video, options.sees)
        self.video = settings.video != "off"
        self.tools = [(look, '[room] video = "tool"')] if settings.video == "tool" else []
        self.room = self
        self.network = NetworkMonitor(trace, self.connection, self.source, self.sink)
        self._first_voices: list[Voice] = []
        """That came before we run."""
        self._readers: dict[str, asyncio.Task[None]] = {}
        """By the track's sid."""
        self._alone = False
        """The connection was lost, and who was spoken to is not back yet."""

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await self.source.__aenter__()
        await self.sink.__aenter__()
        try:
            await self.connection.open()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop_sending()
        self.participants.close()
        await self.connection.close()
        await self.sink.__aexit__()
        await self.source.__aexit__()

    def note(self, entry: Entry) -> None:
        """Follow the conversation, for clients and the sink."""
        self.publisher.note(entry)
        self.user_video.note(entry)
        match entry.event:
            case ReplyEnded(status="cut"):
                self.sink.clear()
            case ParticipantChanged(state="joined" | "left") if self._alone:
                if not self.participants.linked_away:
                    asyncio.get_running_loop().call_later(BACK_S, self._resume)

    def look(self) -> Delivery[Picture | None]:
        """Take a picture of what the linked participant shows now: their screen, else their camera; None where that is
        nothing. For `context.show`. A StageError says that video is off."""
        return self._send(self.user_video.picture, SEND_S)

    @property
    def received(self) -> tuple[IncomingData, ...]:
        """Texts and files that people have sent on topics of their own, the latest last: 16, 20 MB at most."""
        return tuple(self.incoming.received)

    def on_received(self, listener: Callable[[IncomingData], object]) -> None:
        """Have `listener` called with each one that comes, on the session's loop: it returns at once."""
        self.incoming.listeners.append(listener)

    async def run(self, session: SessionHandle) -> None:
        """Look after the connection, until the room is over for good: that stops the session."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                works = (
                    self.publisher.run(session),
                    self.incoming.run(session),
                    self.network.run(),
                    self.user_video.run(),
                )
                beside = [self._tasks.create_task(work) for work in works]
                self._start_sending()  # behind them: a picture that was asked for before needs the video at work
                for voice in self._first_voices:
                    self._read(voice)
                self._first_voices.clear()
                try:
                    session.stop(await self.connection.keep())
                except WorkbenchError as error:
                    self.source.fail(error)
                for task in beside:
                    task.cancel()
        except BaseExceptionGroup as group:
            raise single(group) from None
        finally:
            self._stop_sending()

    # --- called by the connection ------------------------------------------------------------------------------------

    def _wire(self, room: Any) -> None:
        self.participants.wire(room)
        self.incoming.wire(room)
        self.preconnect.wire(room)
        self.user_video.wire(room)
        room.on("reconnecting", self._interrupted)
        room.on("disconnected", lambda _: self._disconnected())

    async def _joined(self, room: Any, from_scratch: bool) -> None:
        self.incoming.joined(room)  # first: somebody may call at once
        if from_scratch:
            await self.sink.publish(room)
        self.publisher.joined()
        self.participants.joined(room)
        self.user_video.joined(room)
        self._resume()

    def _resume(self) -> None:
        """Go on speaking; after an outage not before who was spoken to is back, or has left for good."""
        if self.connection.flowing and not self.participants.linked_away:
            self._alone = False
            self.publisher.resume()
            self.sink.set_connected(True)

    def _interrupted(self) -> None:
        self._alone = True
        self.publisher.pause()
        self.participants.interrupted()
        self.sink.set_connected(False)

    def _disconnected(self) -> None:
        self._interrupted()
        for sid in [*self._readers, *self.source.voices]:
            self._remove_voice(sid)

    def _linked_track(self) -> tuple[str, str]:
        """Return identity and track sid of the linked participant, empty where there is none."""
        linked = self.participants.linked or ""
        sids = [voice.track_sid for voice in self.source.voices.values() if voice.identity == linked]
        return linked, sids[0] if sids else ""

    # --- voices ------------------------------------------------------------------------------------------------------

    def _add_voice(self, identity: str, track: Any) -> None:
        voice = Voice(identity, track)
        if self._tasks is None:
            self._first_voices.append(voice)
        else:
            self._read(voice)

    def _read(self, voice: Voice) -> None:
        assert self._tasks is not None
        self._readers[voice.track_sid] = self._tasks.create_task(self._read_voice(voice))

    async def _read_voice(self, voice: Voice) -> None:
        participant = self.participants.remote.get(voice.identity)
        publications = participant.track_publications if participant is not None else {}
        try:
            if self.preconnect.expects(publications.get(voice.track_sid)):
                arrived = asyncio.Event()

                def notify() -> None:
                    arrived.set()
                    self.source.notify()

                async with beside(self._insert_preconnect(voice, arrived)) as inserting:
                    await voice.read(notify)
                    await asyncio.wait([inserting])
            else:
                self.source.voices[voice.track_sid] = voice
                await voice.read(self.source.notify)
        finally:
            self._remove_voice(voice.track_sid)

    async def _insert_preconnect(self, voice: Voice, arrived: asyncio.Event) -> None:
        """Insert what the user said before we were there, and then their voice, which waits for that. `arrived` is set
        with each of its frames."""
        voice.frames = deque(maxlen=LATE_FRAMES)
        earlier = await self.preconnect.speech(voice.identity, voice.track_sid)
        if len(earlier):
            with suppress(TimeoutError):  # in silence nothing may come
                async with asyncio.timeout(1.0):
                    while len(voice.frames) < OVERLAP_FRAMES:
                        arrived.clear()
                        await arrived.wait()
        live = [*voice.frames]
        work = partial(join_overlapping, earlier, np.concatenate([silence(0), *live]))
        samples = await asyncio.get_running_loop().run_in_executor(None, work)  # 50 ms
        samples = np.concatenate([samples, *[*voice.frames][len(live) :]])
        voice.frames = deque(maxlen=MOST)
        if len(samples):
            self.source.insert(samples)
        self.source.voices[voice.track_sid] = voice

    def _remove_voice(self, sid: str) -> None:
        self._first_voices = [voice for voice in self._first_voices if voice.track_sid != sid]
        if self.source.voices.pop(sid, None) is not None:
            self.source.notify()
        if task := self._readers.pop(sid, None):
            task.cancel()
