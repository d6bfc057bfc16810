"""What people in the room send: chat, methods that they call, data, tones, texts and files. All of it is bounded for
each sender, and none of it is trusted. A turn becomes only what those write who may be listened to."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from workbench.handle import SessionHandle
from workbench.model.clock import outside
from workbench.model.errors import StageError, foreign
from workbench.model.events import Notice, RoomMessage
from workbench.model.text import plain
from workbench.trace.trace import Trace
from workbench.transports.livekit.rate_limit import RateLimiter, Sender
from workbench.transports.livekit.sdk import rtc

CHAT = "lk.chat"
OLD_CHAT = "lk-chat-topic"
"""Data on which clients send chat where the server is old; newer ones send it twice, and say so."""
THEIRS = "lk."
"""Topics that begin so are LiveKit's own: what we do not know of them is nothing for us."""
MOST_TEXT = 2_000
"""Characters of a message that are taken in as a turn."""
MOST_BYTES = 5_000_000
"""Of a text or a file that is kept; a longer one is left."""
MOST_KEPT, MOST_KEPT_BYTES = 16, 20_000_000
"""Texts and files that are kept, the latest ones."""
READ_S, READ_FILE_S = 10.0, 60.0
"""A message, or a file, that is not complete by then is left, s."""


@dataclass(frozen=True, slots=True)
class IncomingData:
    """A text or a file that somebody sent on a topic. `name` and `mime` are what the sender says of a file: neither is
    to be trusted, nor to be used as a path. Both are empty for a text, which is in UTF-8."""

    topic: str
    sender: str
    name: str
    mime: str
    data: bytes

    @property
    def text(self) -> str:
        """The data as text."""
        return self.data.decode("utf-8", "replace")


class IncomingMessages:
    """Takes in what the room sends while `run` runs. `counts` says of an identity whether it may speak to this session:
    what others send is error_text, and is no turn."""

    def __init__(self, trace: Trace, counts: Callable[[str], bool]) -> None:
        self.received: deque[IncomingData] = deque(maxlen=MOST_KEPT)
        self.listeners: list[Callable[[IncomingData], object]] = []
        self._trace = trace
        self._counts = counts
        self._admission = RateLimiter(trace)
        self._verbs: SessionHandle | None = None
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self, verbs: SessionHandle) -> None:
        """Read what comes, until cancelled."""
        self._verbs = verbs
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await asyncio.get_running_loop().create_future()
        finally:
            self._tasks = None

    def wire(self, room: Any) -> None:
        """Before it connects."""
        room.register_text_stream_handler(CHAT, self._chatted)
        room.register_byte_stream_handler(CHAT, self._file)  # what is attached to a chat message
        # The SDK asks for a handler by topic and drops the rest; nobody knows the topics of other people's apps. Where
        # it keeps them is its own matter: a version that keeps them elsewhere gives us chat alone.
        for name, other in (("_text_stream_handlers", self._text), ("_byte_stream_handlers", self._file)):
            if isinstance(handlers := getattr(room, name, None), dict):
                setattr(room, name, _Else(handlers, other))
        room.on("data_received", self._data)
        room.on("sip_dtmf_received", self._dtmf)

    def joined(self, room: Any) -> None:
        """It has connected."""
        for method in ("interrupt", "say", "type"):
            room.local_participant.register_rpc_method(method, self._called)

    # --- messages ----------------------------------------------------------------------------------------------------

    def _data(self, packet: Any) -> None:
        sender = packet.participant.identity if packet.participant else ""
        if packet.topic == OLD_CHAT:
            self._old_chat(bytes(packet.data[: 4 * MOST_TEXT]), sender)
        elif self._admission.message(sender):
            beginning = bytes(packet.data[:400]).decode("utf-8", "replace")
            self._came("data", sender, packet.topic or "", beginning, len(packet.data))

    def _old_chat(self, data: bytes, sender: str) -> None:
        """Chat in the old form, unless it came as a stream too."""
        message: Any = None
        with suppress(ValueError):
            message = json.loads(data)
        if not isinstance(message, dict) or message.get("ignoreLegacy"):
            return
        text = message.get("message")
        if isinstance(text, str) and self._admission.message(sender):
            self._came("chat", sender, OLD_CHAT, text, len(data))
            self._type(sender, text)

    def _dtmf(self, tone: Any) -> None:
        sender = tone.participant.identity if tone.participant else ""
        if self._admission.message(sender):
            self._came("dtmf", sender, "", tone.digit, 1)

    async def _called(self, call: Any) -> str:
        """A method of ours: `interrupt`, `say` or `type`, the latter two with a text, or {"text": …}."""
        sdk = rtc()
        if not self._admission.message(call.caller_identity):
            raise sdk.RpcError(1429, "too many calls")
        method, text = getattr(call, "method", ""), _text_of(call.payload)
        self._came("rpc", call.caller_identity, method, text, len(call.payload))
        if not self._counts(call.caller_identity):
            raise sdk.RpcError(1403, "the agent does not listen to you")
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

    # --- streams -----------------------------------------------------------------------------------------------------

    def _chatted(self, reader: Any, sender: str) -> None:
        self._begin(reader, sender, self._chat(reader, sender))

    def _text(self, reader: Any, sender: str) -> None:
        self._begin(reader, sender, self._take(reader, sender, "text"))

    def _file(self, reader: Any, sender: str) -> None:
        self._begin(reader, sender, self._take(reader, sender, "bytes"))

    def _begin(self, reader: Any, sender: str, reading: Any) -> None:
        if self._tasks is not None and (counted := self._admission.stream(sender)):
            self._tasks.create_task(self._read(reader, counted, reading))
        else:
            reading.close()
            reader.close()

    async def _read(self, reader: Any, counted: Sender, reading: Any) -> None:
        """One that breaks off is left."""
        try:
            with suppress(StageError), foreign("LiveKit", "source"), outside():
                await reading
        finally:
            counted.ended()
            reader.close()

    async def _chat(self, reader: Any, sender: str) -> None:
        """A chat message, as far as it is taken in."""
        text = ""
        async with asyncio.timeout(READ_S):
            async for piece in reader:
                text += piece
                if len(text) >= MOST_TEXT:
                    break
        self._came("chat", sender, CHAT, text, len(text.encode("utf-8", "replace")))
        self._type(sender, text)

    async def _take(self, reader: Any, sender: str, kind: Any) -> None:
        """A text or a file on a topic of somebody's own."""
        info, pieces, size = reader.info, list[bytes](), 0
        async with asyncio.timeout(READ_FILE_S):
            async for piece in reader:
                pieces.append(piece.encode("utf-8", "replace") if isinstance(piece, str) else bytes(piece))
                size += len(pieces[-1])
                if size > MOST_BYTES:
                    return self._too_long(sender, info.topic)
        data = b"".join(pieces)
        name, mime = (info.name, info.mime_type) if kind == "bytes" else ("", "")
        name, mime = plain(name or "", 200, one_line=True), plain(mime or "", 100, one_line=True)
        beginning = f"{name} ({mime})" if kind == "bytes" else data[:800].decode("utf-8", "replace")
        self._came(kind, sender, info.topic, beginning, size)
        self._keep(IncomingData(info.topic, sender, name, mime, data))

    def _keep(self, received: IncomingData) -> None:
        self.received.append(received)
        while sum(len(one.data) for one in self.received) > MOST_KEPT_BYTES:
            self.received.popleft()
        for listener in [*self.listeners]:
            try:
                with foreign("a listener to the room", "tools"):
                    listener(received)
            except StageError as error:
                self._trace.emit(Notice("error", "room", error.reason, error.hint))

    def _too_long(self, sender: str, topic: str) -> None:
        who, what = plain(sender, 100, one_line=True), plain(topic, 100, one_line=True)
        reason = f"{who} sent more than {MOST_BYTES:,} bytes on {what}: they are not kept"
        self._trace.emit(Notice("warning", "room", reason))

    # --- small things ------------------------------------------------------------------------------------------------

    def _type(self, sender: str, text: str) -> None:
        if self._verbs is not None and self._counts(sender):
            self._verbs.type(plain(text, MOST_TEXT))

    def _came(self, kind: Any, sender: str, topic: str, text: str, size: int) -> None:
        who, what = plain(sender, 100, one_line=True), plain(topic, 100, one_line=True)
        self._trace.emit(RoomMessage(kind, who, what, plain(text, 200, one_line=True), size))


class _Else(dict[str, Any]):
    """Handlers by topic, with one for all the others."""

    def __init__(self, handlers: dict[str, Any], other: Callable[[Any, str], None]) -> None:
        super().__init__(handlers)
        self._other = other

    def get(self, topic: str, default: Any = None) -> Any:
        """The handler of a topic; nobody's, where it is one of LiveKit's."""
        return super().get(topic, default if topic.startswith(THEIRS) else self._other)


def _text_of(payload: str) -> str:
    """The text of a call, made safe."""
    text: Any = payload
    with suppress(ValueError):
        text = json.loads(payload)
    if isinstance(text, dict):
        text = text.get("text")
    return plain(text if isinstance(text, str) else payload if text is not None else "", MOST_TEXT)
