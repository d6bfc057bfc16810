"""What LiveKit's own clients expect to be told by an agent: its state and the transcriptions of both sides."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from workbench.handle import SessionHandle
from workbench.model import events as ev
from workbench.model.clock import outside
from workbench.model.errors import StageError, foreign
from workbench.model.events import Entry
from workbench.transports.livekit.connection import RoomConnector
from workbench.transports.livekit.sdk import rtc

TRANSCRIPTION = "lk.transcription"
STATE, NAME = "lk.agent.state", "lk.agent.name"
SEGMENT, FINAL, TRACK = "lk.segment_id", "lk.transcription_final", "lk.transcribed_track_id"
TICK_S = 0.1
"""Texts follow what is heard in steps of this, s."""
PACKET_S = 0.5
"""In the old form words are sent less often: the text whole each time, for the few who read it, s."""
SEND_S = 2.0
"""A message that can't be sent within this is given up, s."""
MOST_OPEN = 8
"""Utterances whose words are not final; one that never becomes so is forgotten when there are more."""


@dataclass(slots=True)
class TranscriptionSegment:
    """A stretch of transcription: an utterance, or a reply. `sender` and `track` are those of who speaks."""

    id: str
    sender: str
    track: str
    text: str = ""
    sent: str = ""
    final: bool = False
    packet_at: float = 0.0
    """When it was last sent in the old form, on the loop's clock."""
    writer: Any = None
    """Of a reply's text, which is written piece by piece."""


class RoomPublisher:
    """Follows the trace (`note`) and tells the room. `who` gives identity and track sid of the one who is listened to,
    `own_track` the sid of the agent's track."""

    def __init__(
        self,
        connection: RoomConnector,
        who: Callable[[], tuple[str, str]],
        own_track: Callable[[], str],
    ) -> None:
        self.state = "initializing"
        self.alone = False
        """After an outage, while nobody is back who reads: texts wait."""
        self._connection = connection
        self._who = who
        self._own_track = own_track
        self._told = "initializing"
        self._open: set[int] = set()
        """Turns that are decided and not answered."""
        self._speaking: int | None = None
        self._users: dict[int, TranscriptionSegment] = {}
        self._finished: deque[TranscriptionSegment] = deque(maxlen=64)
        self._reply: TranscriptionSegment | None = None
        self._woken = asyncio.Event()
        self._verbs: SessionHandle | None = None

    async def run(self, verbs: SessionHandle) -> None:
        """Tell the room what happens, until cancelled."""
        self._verbs = verbs
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

    def joined(self) -> None:
        """Somebody may be there who knows nothing yet, and what was under way went with the connection."""
        self._told = ""
        for segment in (*self._users.values(), *self._finished):
            segment.sent, segment.writer = "", None
        if self._reply is not None:
            self._reply.sent, self._reply.writer, self._reply.track = "", None, self._own_track()
        self._woken.set()

    def together(self) -> None:
        """Somebody is there to read again."""
        self.alone = False
        self._woken.set()

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
                self._reply = TranscriptionSegment(f"SG_{secrets.token_hex(6)}", "", self._own_track())
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
            segment = self._users[utterance] = TranscriptionSegment(
                f"SG_{secrets.token_hex(6)}", sender, track
            )
        segment.text, segment.final = text, final
        if final:
            self._finished.append(self._users.pop(utterance))
        elif len(self._users) > MOST_OPEN:  # of utterances that were never finished
            del self._users[next(iter(self._users))]

    def _ended(self, reply: int, heard: str) -> None:
        segment = self._reply
        if self._speaking != reply or segment is None:  # it was never heard, only read
            segment = TranscriptionSegment(f"SG_{secrets.token_hex(6)}", "", self._own_track())
        else:
            self._speaking, self._reply = None, None
        segment.text, segment.final = heard, True
        if heard or segment.writer is not None:
            self._finished.append(segment)

    # --- telling the room --------------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        """Words before the state that comes after them: a client that shows "listening" has the whole answer."""
        if self.alone:
            return
        for segment in [*self._users.values()]:
            text = segment.text
            if text != segment.sent and await self._sent(self._whole(segment)):
                segment.sent = text
        while self._finished:
            segment = self._finished.popleft()
            piecewise = segment.writer is not None
            sent = await self._sent(self._rest(segment) if piecewise else self._whole(segment))
            if not (sent or self._connection.flowing):
                segment.sent, segment.writer = "", None
                self._finished.appendleft(segment)
                return
        state = self.state
        if state != self._told and await self._sent(self._put_state(state)):
            self._told = state
        spoken = self._verbs.spoken() if self._verbs is not None else None
        segment_now = self._reply
        if segment_now is not None and spoken is not None and spoken[0] == self._speaking:
            segment_now.text = spoken[1]
            if segment_now.text != segment_now.sent:
                await self._sent(self._piece(segment_now))

    async def _put_state(self, state: str) -> None:
        await self._connection.room.local_participant.set_attributes({STATE: state})

    async def _writer(self, segment: TranscriptionSegment) -> Any:
        attributes = {SEGMENT: segment.id, FINAL: "true" if segment.final else "false"}
        if segment.track:
            attributes[TRACK] = segment.track
        return await self._connection.room.local_participant.stream_text(
            topic=TRANSCRIPTION, attributes=attributes, sender_identity=segment.sender or None
        )

    async def _whole(self, segment: TranscriptionSegment) -> None:
        """All of it in a stream of its own: it takes the place of what was sent before."""
        writer = await self._writer(segment)
        await writer.write(segment.text)
        await writer.aclose()
        await self._packet(segment)

    async def _piece(self, segment: TranscriptionSegment) -> None:
        """What has come to a reply since the last time."""
        if segment.writer is None:
            segment.writer = await self._writer(segment)
        text = segment.text
        if text.startswith(segment.sent):
            await segment.writer.write(text[len(segment.sent) :])
            segment.sent = text
            await self._packet(segment)

    async def _rest(self, segment: TranscriptionSegment) -> None:
        writer = segment.writer
        if segment.text.startswith(segment.sent) and segment.text != segment.sent:
            await writer.write(segment.text[len(segment.sent) :])
        await writer.aclose(attributes={FINAL: "true"})
        await self._packet(segment)

    async def _packet(self, segment: TranscriptionSegment) -> None:
        """The same in the form before text streams: older clients and hooks (`useTrackTranscription`) read nothing
        else."""
        now = asyncio.get_running_loop().time()
        if not segment.track or (not segment.final and now - segment.packet_at < PACKET_S):
            return
        segment.packet_at = now
        sdk, me = rtc(), self._connection.room.local_participant
        told = sdk.TranscriptionSegment(
            id=segment.id, text=segment.text, start_time=0, end_time=0, language="", final=segment.final
        )
        await me.publish_transcription(
            sdk.Transcription(segment.sender or me.identity, segment.track, [told])
        )

    async def _sent(self, message: Awaitable[None]) -> bool:
        """Whether it went out; one that does not is no reason to end a conversation."""
        try:
            with foreign("LiveKit", "sink"), outside():
                async with asyncio.timeout(SEND_S):
                    await message
        except StageError:
            return False
        return True
