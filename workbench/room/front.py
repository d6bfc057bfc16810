"""What LiveKit's own clients expect of an agent: its state, transcriptions, chat, and methods that they may call."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from workbench.model import events as ev
from workbench.model.clock import outside
from workbench.model.errors import StageError, foreign
from workbench.model.events import Entry, Notice, RoomMessage
from workbench.model.text import plain
from workbench.room.connection import Connection
from workbench.room.sdk import rtc
from workbench.trace.bus import Trace

CHAT, TRANSCRIPTION = "lk.chat", "lk.transcription"
STATE, NAME = "lk.agent.state", "lk.agent.name"
SEGMENT, FINAL, TRACK = "lk.segment_id", "lk.transcription_final", "lk.transcribed_track_id"
TICK_S = 0.1
"""Texts follow what is heard in steps of this, s."""
SEND_S = 2.0
"""A message that can't be sent within this is given up, s."""
MOST_TEXT = 2_000
"""Characters of a message that are taken in."""
READ_S = 10.0
"""A message that is not complete by then is left, s."""
MOST_AT_ONCE, MOST_A_SECOND = 8, 20
"""Messages that are read at the same time, and taken in within a second; the rest is dropped, and said."""


class Verbs(Protocol):
    """What the room needs of its session."""

    def say(self, text: str) -> None: ...
    def type(self, text: str) -> None: ...
    def interrupt(self) -> None: ...
    def stop(self, reason: str = "stopped") -> None: ...
    def spoken(self) -> tuple[int, str] | None: ...


@dataclass(slots=True)
class Segment:
    """A stretch of transcription: an utterance, or a reply. `sender` and `track` are those of who speaks."""

    id: str
    sender: str
    track: str
    text: str = ""
    sent: str = ""
    final: bool = False
    writer: Any = None
    """Of a reply's text, which is written piece by piece."""


class Front:
    """Follows the trace (`note`) and tells the room; takes in what the room sends. `who` gives identity and track sid
    of the one who is listened to, `own_track` the sid of the agent's track."""

    def __init__(
        self,
        connection: Connection,
        trace: Trace,
        who: Callable[[], tuple[str, str]],
        own_track: Callable[[], str],
    ) -> None:
        self.state = "initializing"
        self._connection = connection
        self._trace = trace
        self._who = who
        self._own_track = own_track
        self._told = "initializing"
        self._open: set[int] = set()
        """Turns that are decided and not answered."""
        self._speaking: int | None = None
        self._users: dict[int, Segment] = {}
        self._finished: deque[Segment] = deque(maxlen=64)
        self._reply: Segment | None = None
        self._woken = asyncio.Event()
        self._verbs: Verbs | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._reading = 0
        self._recent: deque[float] = deque(maxlen=MOST_A_SECOND)
        self._dropped = 0

    async def run(self, verbs: Verbs) -> None:
        """Tell the room what happens, until cancelled."""
        self._verbs = verbs
        try:
            async with asyncio.TaskGroup() as self._tasks:
                while True:
                    if self._speaking is None:
                        await self._woken.wait()
                    else:
                        with suppress(TimeoutError):
                            async with asyncio.timeout(TICK_S):
                                await self._woken.wait()
                    self._woken.clear()
                    if self._connection.flowing:
                        await self._tell()
        finally:
            self._tasks = None

    # --- following the trace -----------------------------------------------------------------------------------------

    def note(self, entry: Entry) -> None:
        """A reader: take the next entry."""
        match entry.event:
            case ev.ListeningStarted():
                self.state = "listening"
            case ev.TurnDecided(turn=turn):
                self._open.add(turn)
            case ev.Transcribed(utterance=utterance, text=text, final=final):
                self._transcribed(utterance, text, final)
            case ev.ReplyPlaying(reply=reply, turn=turn):
                self._speaking = reply
                self._open.discard(turn or 0)
                self._reply = Segment(f"SG_{secrets.token_hex(6)}", "", self._own_track())
            case ev.ReplyEnded(reply=reply, heard=heard):
                self._ended(reply, heard)
            case ev.TurnEnded(turn=turn):
                self._open.discard(turn)
            case _:
                return
        if self.state != "initializing":
            waiting = "thinking" if self._open else "listening"
            self.state = "speaking" if self._speaking is not None else waiting
        self._woken.set()

    def _transcribed(self, utterance: int, text: str, final: bool) -> None:
        segment = self._users.get(utterance)
        if segment is None:
            if not text:
                return
            sender, track = self._who()
            segment = self._users[utterance] = Segment(f"SG_{secrets.token_hex(6)}", sender, track)
        segment.text, segment.final = text, final
        if final:
            self._finished.append(self._users.pop(utterance))
        elif len(self._users) > MOST_AT_ONCE:  # of utterances that were never finished
            del self._users[next(iter(self._users))]

    def _ended(self, reply: int, heard: str) -> None:
        segment = self._reply
        if self._speaking != reply or segment is None:  # it was never heard, only read
            segment = Segment(f"SG_{secrets.token_hex(6)}", "", self._own_track())
        else:
            self._speaking, self._reply = None, None
        segment.text, segment.final = heard, True
        if heard or segment.writer is not None:
            self._finished.append(segment)

    # --- telling the room --------------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        state = self.state
        if state != self._told and await self._sent(self._put_state(state)):
            self._told = state
        for segment in [*self._users.values()]:
            text = segment.text
            if text != segment.sent and await self._sent(self._whole(segment)):
                segment.sent = text
        while self._finished:
            segment = self._finished.popleft()
            piecewise = segment.writer is not None
            await self._sent(self._rest(segment) if piecewise else self._whole(segment))
        spoken = self._verbs.spoken() if self._verbs is not None else None
        segment_now = self._reply
        if segment_now is not None and spoken is not None and spoken[0] == self._speaking:
            segment_now.text = spoken[1]
            if segment_now.text != segment_now.sent:
                await self._sent(self._piece(segment_now))

    async def _put_state(self, state: str) -> None:
        await self._connection.room.local_participant.set_attributes({STATE: state})

    async def _writer(self, segment: Segment) -> Any:
        attributes = {SEGMENT: segment.id, FINAL: "true" if segment.final else "false"}
        if segment.track:
            attributes[TRACK] = segment.track
        return await self._connection.room.local_participant.stream_text(
            topic=TRANSCRIPTION, attributes=attributes, sender_identity=segment.sender or None
        )

    async def _whole(self, segment: Segment) -> None:
        """All of it in a stream of its own: it takes the place of what was sent before."""
        writer = await self._writer(segment)
        await writer.write(segment.text)
        await writer.aclose()

    async def _piece(self, segment: Segment) -> None:
        """What has come to a reply since the last time."""
        if segment.writer is None:
            segment.writer = await self._writer(segment)
        text = segment.text
        if text.startswith(segment.sent):
            await segment.writer.write(text[len(segment.sent) :])
            segment.sent = text

    async def _rest(self, segment: Segment) -> None:
        writer = segment.writer
        if segment.text.startswith(segment.sent) and segment.text != segment.sent:
            await writer.write(segment.text[len(segment.sent) :])
        await writer.aclose(attributes={FINAL: "true"})

    async def _sent(self, message: Awaitable[None]) -> bool:
        """Whether it went out; one that does not is no reason to end a conversation."""
        try:
            with foreign("LiveKit", "sink"), outside():
                async with asyncio.timeout(SEND_S):
                    await message
        except StageError:
            return False
        return True

    # --- what the room sends -----------------------------------------------------------------------------------------

    def wire(self, room: Any) -> None:
        """Before it connects."""
        room.register_text_stream_handler(CHAT, self._chatted)
        room.on("data_received", self._data)
        room.on("sip_dtmf_received", self._dtmf)

    def joined(self, room: Any) -> None:
        """It has connected."""
        for method in ("interrupt", "say", "type"):
            room.local_participant.register_rpc_method(method, self._called)
        self._told = ""
        self._woken.set()

    def _data(self, packet: Any) -> None:
        sender = packet.participant.identity if packet.participant else ""
        if self._admitted():
            beginning = bytes(packet.data[:400]).decode("utf-8", "replace")
            self._came("data", sender, packet.topic or "", beginning, len(packet.data))

    def _dtmf(self, tone: Any) -> None:
        if self._admitted():
            self._came("dtmf", tone.participant.identity if tone.participant else "", "", tone.digit, 1)

    def _chatted(self, reader: Any, sender: str) -> None:
        if self._tasks is None or self._reading >= MOST_AT_ONCE or not self._admitted():
            reader.close()
            return
        self._reading += 1
        self._tasks.create_task(self._read(reader, sender))

    async def _read(self, reader: Any, sender: str) -> None:
        """A message, as far as it is taken in; one that breaks off is left."""
        text = ""
        try:
            with suppress(StageError), foreign("LiveKit", "source"), outside():
                async with asyncio.timeout(READ_S):
                    async for piece in reader:
                        text += piece
                        if len(text) >= MOST_TEXT:
                            break
                self._came("chat", sender, CHAT, text, len(text.encode("utf-8", "replace")))
                if self._verbs is not None:
                    self._verbs.type(plain(text, MOST_TEXT))
        finally:
            self._reading -= 1
            reader.close()

    async def _called(self, call: Any) -> str:
        """A method of ours: `interrupt`, `say` or `type`, the latter two with a text, or {"text": …}."""
        sdk = rtc()
        if not self._admitted():
            raise sdk.RpcError(1429, "too many calls")
        method, text = getattr(call, "method", ""), _text_of(call.payload)
        self._came("rpc", call.caller_identity, method, text, len(call.payload))
        if self._verbs is None:
            raise sdk.RpcError(1503, "the agent is not ready yet")
        if method == "interrupt":
            self._verbs.interrupt()
        elif not text.strip():
            raise sdk.RpcError(1400, f'{method} needs a text, or {{"text": …}}')
        elif method == "say":
            self._verbs.say(text)
        else:
            self._verbs.type(text)
        return "ok"

    def _admitted(self) -> bool:
        """Nobody may keep the session busy with messages."""
        now = asyncio.get_running_loop().time()
        if len(self._recent) == MOST_A_SECOND and now - self._recent[0] < 1:
            if not self._dropped:
                reason = (
                    f"more than {MOST_A_SECOND} messages a second came from the room: the rest is dropped"
                )
                self._trace.emit(Notice("warning", "room", reason))
            self._dropped += 1
            return False
        self._recent.append(now)
        return True

    def _came(self, kind: Any, sender: str, topic: str, text: str, size: int) -> None:
        who, what = plain(sender, 100, one_line=True), plain(topic, 100, one_line=True)
        self._trace.emit(RoomMessage(kind, who, what, plain(text, 200, one_line=True), size))


def _text_of(payload: str) -> str:
    """The text of a call, made safe."""
    text: Any = payload
    with suppress(ValueError):
        text = json.loads(payload)
    if isinstance(text, dict):
        text = text.get("text")
    return plain(text if isinstance(text, str) else payload if text is not None else "", MOST_TEXT)
