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
from workbench.transports.livekit.connection import Connection
from workbench.transports.livekit.front import NAME, STATE, Front
from workbench.transports.livekit.inward import Inward, Received
from workbench.transports.livekit.look import look
from workbench.transports.livekit.members import Members
from workbench.transports.livekit.network import Network
from workbench.transports.livekit.preconnect import PreConnect, joined
from workbench.transports.livekit.reach import SEND_S, Reach, Sent
from workbench.transports.livekit.sink import RoomSink
from workbench.transports.livekit.source import MOST, RoomSource, Voice, quieter
from workbench.transports.livekit.token import access
from workbench.transports.livekit.video import Eyes

HELD = 500
"""Frames of a voice that wait for what was said before them: 10 s."""
COMPARED = 20
"""Frames of it by which its beginning is found in what was said before: 0.4 s."""
BACK_S = 0.4
"""From when somebody is back in the room until they hear us, s."""


class RoomTransport(Reach, Transport):
    """The agent's place in a room.

    Entering raises MissingError (no server, no keys, no SDK) or UsageError (refused).
    """

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
        self.source = RoomSource(trace, name, quieter() if quiet else None)
        self.sink = RoomSink(trace, name)
        identity = settings.identity or f"agent-{secrets.token_hex(4)}"
        connection = Connection(
            settings,
            access(settings),
            identity,
            trace,
            self._wire,
            self._joined,
            name=agent,
            attributes=lambda: {**self._attributes, STATE: self.front.state, NAME: agent},
        )
        super().__init__(connection, Members(settings, trace, self._heard, self._gone))
        self.front = Front(self.connection, self._who, lambda: self.sink.track_sid)
        self.inward = Inward(trace, self.members.counts)
        self.early = PreConnect(trace)
        self.eyes = self.vision = Eyes(self.members, trace, settings.video, options.sees)
        self.video = settings.video != "off"
        self.tools = [(look, '[room] video = "tool"')] if settings.video == "tool" else []
        self.room = self
        self.network = Network(trace, self.connection, self.source, self.sink)
        self._waiting: list[Voice] = []
        """That came before we run."""
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._lonely = False
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
        self._end()
        self.members.close()
        await self.connection.close()
        await self.sink.__aexit__()
        await self.source.__aexit__()

    def note(self, entry: Entry) -> None:
        """A reader: what clients and the sink must know of the conversation."""
        self.front.note(entry)
        self.eyes.note(entry)
        match entry.event:
            case ReplyEnded(status="cut"):
                self.sink.clear()
            case ParticipantChanged(state="joined" | "left") if self._lonely and not self.members.awaited:
                asyncio.get_running_loop().call_later(BACK_S, self._flow)

    def look(self) -> Sent[Picture | None]:
        """What the one who is listened to shows now: their screen, else their camera; None where that is nothing. For
        `context.show`. A StageError says that video is off."""
        return self._send(self.eyes.picture, SEND_S)

    @property
    def received(self) -> tuple[Received, ...]:
        """Texts and files that people have sent on topics of their own, the latest last: 16, 20 MB at most."""
        return tuple(self.inward.received)

    def on_received(self, listener: Callable[[Received], object]) -> None:
        """Have `listener` called with each one that comes, on the session's loop: it returns at once."""
        self.inward.listeners.append(listener)

    async def run(self, verbs: SessionHandle) -> None:
        """Look after the connection, until the room is over for good: that stops the session."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                works = (self.front.run(verbs), self.inward.run(verbs), self.network.run(), self.eyes.run())
                beside = [self._tasks.create_task(work) for work in works]
                self._begin()  # behind them: a look that was asked for before needs the eyes at work
                for voice in self._waiting:
                    self._read(voice)
                self._waiting.clear()
                try:
                    verbs.stop(await self.connection.keep())
                except WorkbenchError as error:
                    self.source.fail(error)
                for task in beside:
                    task.cancel()
        except BaseExceptionGroup as group:
            raise single(group) from None
        finally:
            self._end()

    # --- what the connection calls -----------------------------------------------------------------------------------

    def _wire(self, room: Any) -> None:
        self.members.wire(room)
        self.inward.wire(room)
        self.early.wire(room)
        self.eyes.wire(room)
        room.on("reconnecting", self._interrupted)
        room.on("disconnected", lambda _: self._cut_off())

    async def _joined(self, room: Any, anew: bool) -> None:
        self.inward.joined(room)  # first: somebody may call at once
        if anew:
            await self.sink.publish(room)
        self.front.joined()
        self.members.joined(room)
        self.eyes.joined(room)
        if not self.members.awaited:
            self._flow()

    def _flow(self) -> None:
        """Go on speaking; after an outage not before who was spoken to is back, or has left for good."""
        if self.connection.flowing and not self.members.awaited:
            self._lonely = False
            self.front.together()
            self.sink.flow(True)

    def _interrupted(self) -> None:
        self._lonely = self.front.alone = True
        self.members.cut_off()
        self.sink.flow(False)

    def _cut_off(self) -> None:
        self._interrupted()
        for sid in [*self._readers, *self.source.voices]:
            self._gone(sid)

    def _who(self) -> tuple[str, str]:
        """Identity and track sid of who is listened to, empty where nobody is."""
        who = self.members.who or ""
        sids = [voice.track_sid for voice in self.source.voices.values() if voice.identity == who]
        return who, sids[0] if sids else ""

    def _publication(self, identity: str, sid: str) -> Any:
        """That participant's publication of that sid, None where there is none."""
        one = self.members.there.get(identity)
        return one.track_publications.get(sid) if one is not None else None

    # --- voices ------------------------------------------------------------------------------------------------------

    def _heard(self, identity: str, track: Any) -> None:
        voice = Voice(identity, track)
        if self._tasks is None:
            self._waiting.append(voice)
        else:
            self._read(voice)

    def _read(self, voice: Voice) -> None:
        assert self._tasks is not None
        self._readers[voice.track_sid] = self._tasks.create_task(self._voice(voice))

    async def _voice(self, voice: Voice) -> None:
        try:
            if self.early.expects(self._publication(voice.identity, voice.track_sid)):
                came = asyncio.Event()

                def come() -> None:
                    came.set()
                    self.source.come()

                async with beside(self._from_before(voice, came)) as before:
                    await voice.read(come)
                    await asyncio.wait([before])
            else:
                self.source.voices[voice.track_sid] = voice
                await voice.read(self.source.come)
        finally:
            self._gone(voice.track_sid)

    async def _from_before(self, voice: Voice, came: asyncio.Event) -> None:
        """What the user said before we were there, and then their voice, which waits until that is known. `came` is set
        with each of its frames."""
        voice.frames = deque(maxlen=HELD)
        said = await self.early.speech(voice.identity, voice.track_sid)
        if len(said):
            with suppress(TimeoutError):  # in silence nothing may come
                async with asyncio.timeout(1.0):
                    while len(voice.frames) < COMPARED:
                        came.clear()
                        await came.wait()
        live = [*voice.frames]
        work = partial(joined, said, np.concatenate([silence(0), *live]))
        whole = await asyncio.get_running_loop().run_in_executor(None, work)  # 50 ms
        whole = np.concatenate([whole, *[*voice.frames][len(live) :]])
        voice.frames = deque(maxlen=MOST)
        if len(whole):
            self.source.insert(whole)
        self.source.voices[voice.track_sid] = voice

    def _gone(self, sid: str) -> None:
        self._waiting = [voice for voice in self._waiting if voice.track_sid != sid]
        if self.source.voices.pop(sid, None) is not None:
            self.source.come()
        if task := self._readers.pop(sid, None):
            task.cancel()
