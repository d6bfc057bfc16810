"""Publishing what LiveKit's own clients expect of an agent: its state and the transcriptions of both sides."""

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
"""Texts follow what is played in steps of this, s."""
PACKET_S = 0.5
"""In the old form words are sent less often: the text whole each time, for the few who read it, s."""
SEND_S = 2.0
"""A message that can't be sent within this is given up, s."""
MOST_OPEN = 8
"""Utterances whose transcript is not final; one that never becomes so is forgotten when there are more."""


@dataclass(slots=True)
class TranscriptionSegment:
    """The transcription of an utterance or a reply. `sender` and `track` are those of the speaker."""

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
    """Follows the trace (`note`) and publishes. `linked_track` gives identity and track sid of the linked participant,
    `own_track` the sid of the agent's track."""

    def __init__(
        self,
        connection: RoomConnector,
        linked_track: Callable[[], tuple[str, str]],
        own_track: Callable[[], str],
    ) -> None:
        self.state = "initializing"
        self._published_state = "initializing"
        self._paused = False
        self._connection = connection
        self._linked_track = linked_track
        self._own_track = own_track
        self._unanswered: dict[int, int] = {}
        """Turns that are decided and not answered, and their utterances."""
        self._speaking: int | None = None
        """The reply that is being played."""
        self._reply: TranscriptionSegment | None = None
        self._users: dict[int, TranscriptionSegment] = {}
        """By utterance, as long as they are not final."""
        self._final: deque[TranscriptionSegment] = deque(maxlen=64)
        """To be published for the last time."""
        self._woken = asyncio.Event()
        self._session: SessionHandle | None = None

    async def run(self, session: SessionHandle) -> None:
        """Publish what happens, until cancelled."""
        self._session = session
        while True:
            if self._speaking is None:
                await self._woken.wait()
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await self._woken.wait()
            self._woken.clear()
            if self._connection.flowing and not self._paused:
                await self._publish()

    def joined(self) -> None:
        """Publish all anew: whoever is there may know nothing yet, and what was under way went with the connection."""
        self._published_state = ""
        for segment in (*self._users.values(), *self._final):
            segment.sent, segment.writer = "", None
        if self._reply is not None:
            self._reply.sent, self._reply.writer, self._reply.track = "", None, self._own_track()
        self._woken.set()

    def pause(self) -> None:
        """Keep texts after an outage, while nobody is back who reads them."""
        self._paused = True

    def resume(self) -> None:
        """Publish again: somebody is there to read."""
        self._paused = False
        self._woken.set()

    # --- following the trace -----------------------------------------------------------------------------------------

    def note(self, entry: Entry) -> None:
        """Take the next entry."""
        match entry.event:
            case ev.ListeningStarted():
                self.state = "listening"
            case ev.TurnDecided(turn=turn, utterance=utterance):
                self._unanswered[turn] = utterance
            case ev.TurnReopened(turn=turn):
                self._unanswered.pop(turn, None)
            case ev.Transcribed(utterance=utterance, text=text):
                self._transcribe(utterance, text)
            case ev.UtteranceDismissed(utterance=utterance):
                self._finish_user(utterance)
            case ev.ReplyPlaying(reply=reply, turn=turn):
                self._speaking = reply
                self._finish_user(self._unanswered.pop(turn or 0, None))
                self._reply = self._new_segment("", self._own_track())
            case ev.ReplyEnded(reply=reply, heard=heard):
                self._end_reply(reply, heard)
            case ev.TurnEnded(turn=turn):
                self._finish_user(self._unanswered.pop(turn, None))
            case _:
                return
        if self.state != "initializing":
            waiting = "thinking" if self._unanswered else "listening"
            self.state = "speaking" if self._speaking is not None else waiting
        self._woken.set()

    def _new_segment(self, sender: str, track: str) -> TranscriptionSegment:
        return TranscriptionSegment(f"SG_{secrets.token_hex(6)}", sender, track)

    def _transcribe(self, utterance: int, text: str) -> None:
        segment = self._users.get(utterance)
        if segment is None:
            if not text:
                return
            segment = self._users[utterance] = self._new_segment(*self._linked_track())
        segment.text = text
        if len(self._users) > MOST_OPEN:
            del self._users[next(iter(self._users))]

    def _finish_user(self, utterance: int | None) -> None:
        """No more words come to an utterance: its turn cannot be reopened."""
        segment = self._users.pop(utterance or 0, None)
        if segment is not None:
            segment.final = True
            self._final.append(segment)

    def _end_reply(self, reply: int, text: str) -> None:
        segment = self._reply
        if self._speaking != reply or segment is None:  # it was never played, only read
            segment = self._new_segment("", self._own_track())
        else:
            self._speaking, self._reply = None, None
        segment.text, segment.final = text, True
        if text or segment.writer is not None:
            self._final.append(segment)

    # --- publishing --------------------------------------------------------------------------------------------------

    async def _publish(self) -> None:
        """Publish texts before the state that follows them: a client that shows "listening" has the whole answer."""
        for segment in [*self._users.values()]:
            text = segment.text
            if text != segment.sent and await self._send(self._send_whole(segment)):
                segment.sent = text
        while self._final:
            segment = self._final.popleft()
            piecewise = segment.writer is not None
            sent = await self._send(self._send_rest(segment) if piecewise else self._send_whole(segment))
            if not (sent or self._connection.flowing):
                segment.sent, segment.writer = "", None
                self._final.appendleft(segment)
                return
        state = self.state
        if state != self._published_state and await self._send(self._send_state(state)):
            self._published_state = state
        spoken = self._session.spoken() if self._session is not None else None
        reply = self._reply
        if reply is not None and spoken is not None and spoken[0] == self._speaking:
            reply.text = spoken[1]
            if reply.text != reply.sent:
                await self._send(self._send_piece(reply))

    async def _send(self, message: Awaitable[None]) -> bool:
        """Return whether it went out; a message that does not is no reason to end a conversation."""
        try:
            with foreign("LiveKit", "sink"), outside():
                async with asyncio.timeout(SEND_S):
                    await message
        except StageError:
            return False
        return True

    async def _send_state(self, state: str) -> None:
        await self._connection.room.local_participant.set_attributes({STATE: state})

    async def _writer(self, segment: TranscriptionSegment) -> Any:
        attributes = {SEGMENT: segment.id, FINAL: "true" if segment.final else "false"}
        if segment.track:
            attributes[TRACK] = segment.track
        return await self._connection.room.local_participant.stream_text(
            topic=TRANSCRIPTION, attributes=attributes, sender_identity=segment.sender or None
        )

    async def _send_whole(self, segment: TranscriptionSegment) -> None:
        """Send all of it in a stream of its own: it takes the place of what was sent before."""
        writer = await self._writer(segment)
        await writer.write(segment.text)
        await writer.aclose()
        await self._send_packet(segment)

    async def _send_piece(self, segment: TranscriptionSegment) -> None:
        """Send what has come to a reply since the last time."""
        if segment.writer is None:
            segment.writer = await self._writer(segment)
        text = segment.text
        if text.startswith(segment.sent):
            await segment.writer.write(text[len(segment.sent) :])
            segment.sent = text
            await self._send_packet(segment)

    async def _send_rest(self, segment: TranscriptionSegment) -> None:
        writer = segment.writer
        if segment.text.startswith(segment.sent) and segment.text != segment.sent:
            await writer.write(segment.text[len(segment.sent) :])
        await writer.aclose(attributes={FINAL: "true"})
        await self._send_packet(segment)

    async def _send_packet(self, segment: TranscriptionSegment) -> None:
        """Send it in the form before text streams too: older clients and hooks (`useTrackTranscription`) read nothing
        else."""
        now = asyncio.get_running_loop().time()
        if not segment.track or (not segment.final and now - segment.packet_at < PACKET_S):
            return
        segment.packet_at = now
        sdk, local = rtc(), self._connection.room.local_participant
        packet = sdk.TranscriptionSegment(
            id=segment.id, text=segment.text, start_time=0, end_time=0, language="", final=segment.final
        )
        await local.publish_transcription(
            sdk.Transcription(segment.sender or local.identity, segment.track, [packet])
        )
