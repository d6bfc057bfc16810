"""What participants send: chat, RPC, data, DTMF, texts and files. All of it is bounded for each sender, and none is
trusted. Only those who may speak to the session make a turn with it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

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
RESERVED = "lk."
"""Topics that begin so are LiveKit's own: one that we do not know is nothing for us."""
MOST_TEXT = 2_000
"""Characters of a message that become a turn."""
MOST_BYTES = 5_000_000
"""Of a text or a file that is kept; a longer one is dropped."""
MOST_RECEIVED, MOST_RECEIVED_BYTES = 16, 20_000_000
"""Texts and files that are kept, the latest ones."""
READ_S, READ_FILE_S = 10.0, 60.0
"""A message, or a file, that is not complete by then is dropped, s."""

MessageKind = Literal["chat", "rpc", "data", "dtmf", "text", "bytes"]


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
    """Reads what participants send while `run` runs. `may_speak` decides by the identity whether somebody may speak to
    this session: what others send is only recorded."""

    def __init__(self, trace: Trace, may_speak: Callable[[str], bool]) -> None:
        self.received: deque[IncomingData] = deque(maxlen=MOST_RECEIVED)
        self.listeners: list[Callable[[IncomingData], object]] = []
        self._trace = trace
        self._may_speak = may_speak
        self._limiter = RateLimiter(trace)
        self._session: SessionHandle | None = None
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self, session: SessionHandle) -> None:
        """Read streams, until cancelled."""
        self._session = session
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await asyncio.get_running_loop().create_future()
        finally:
            self._tasks = None

    def wire(self, room: Any) -> None:
        """Set handlers on a room before it connects."""
        room.register_text_stream_handler(CHAT, self._on_chat)
        room.register_byte_stream_handler(CHAT, self._on_bytes)  # what is attached to a chat message
        # The SDK asks for a handler by topic and drops the rest; nobody knows the topics of other people's apps. Where
        # it keeps them is its own matter (docs/decisions/0042): a version that keeps them elsewhere gives chat alone.
        for name, handler in (
            ("_text_stream_handlers", self._on_text),
            ("_byte_stream_handlers", self._on_bytes),
        ):
            if isinstance(handlers := getattr(room, name, None), dict):
                setattr(room, name, _WithDefault(handlers, handler))
        room.on("data_received", self._on_data)
        room.on("sip_dtmf_received", self._on_dtmf)

    def joined(self, room: Any) -> None:
        """Offer our methods in a room that has connected."""
        for method in ("interrupt", "say", "type"):
            room.local_participant.register_rpc_method(method, self._on_rpc)

    # --- messages ----------------------------------------------------------------------------------------------------

    def _on_data(self, packet: Any) -> None:
        sender = packet.participant.identity if packet.participant else ""
        if packet.topic == OLD_CHAT:
            self._on_old_chat(bytes(packet.data[: 4 * MOST_TEXT]), sender)
        elif self._limiter.allow_message(sender):
            beginning = bytes(packet.data[:400]).decode("utf-8", "replace")
            self._emit("data", sender, packet.topic or "", beginning, len(packet.data))

    def _on_old_chat(self, data: bytes, sender: str) -> None:
        """Take chat in the old form, unless it came as a stream too."""
        message: Any = None
        with suppress(ValueError):
            message = json.loads(data)
        if not isinstance(message, dict) or message.get("ignoreLegacy"):
            return
        text = message.get("message")
        if isinstance(text, str) and self._limiter.allow_message(sender):
            self._emit("chat", sender, OLD_CHAT, text, len(data))
            self._type(sender, text)

    def _on_dtmf(self, tone: Any) -> None:
        sender = tone.participant.identity if tone.participant else ""
        if self._limiter.allow_message(sender):
            self._emit("dtmf", sender, "", tone.digit, 1)

    async def _on_rpc(self, call: Any) -> str:
        """Answer a call of `interrupt`, `say` or `type`, the latter two with a text, or {"text": …}."""
        sdk = rtc()
        if not self._limiter.allow_message(call.caller_identity):
            raise sdk.RpcError(1429, "too many calls")
        method, text = getattr(call, "method", ""), _text_of(call.payload)
        self._emit("rpc", call.caller_identity, method, text, len(call.payload))
        if not self._may_speak(call.caller_identity):
            raise sdk.RpcError(1403, "the agent does not listen to you")
        if self._session is None:
            raise sdk.RpcError(1503, "the agent is not ready yet")
        if method == "interrupt":
            self._session.interrupt()
        elif not text.strip():
            raise sdk.RpcError(1400, f'{method} needs a text, or {{"text": …}}')
        elif method == "say":
            self._session.say(text)
        else:
            self._session.type(text)
        return "ok"

    # --- streams -----------------------------------------------------------------------------------------------------

    def _on_chat(self, reader: Any, sender: str) -> None:
        self._start(reader, sender, self._read_chat(reader, sender))

    def _on_text(self, reader: Any, sender: str) -> None:
        self._start(reader, sender, self._read_data(reader, sender, "text"))

    def _on_bytes(self, reader: Any, sender: str) -> None:
        self._start(reader, sender, self._read_data(reader, sender, "bytes"))

    def _start(self, reader: Any, sender: str, work: Coroutine[Any, Any, None]) -> None:
        if self._tasks is not None and (counted := self._limiter.allow_stream(sender)):
            self._tasks.create_task(self._read(reader, counted, work))
        else:
            work.close()
            reader.close()

    async def _read(self, reader: Any, sender: Sender, work: Coroutine[Any, Any, None]) -> None:
        """Read a stream; one that breaks off is dropped."""
        try:
            with suppress(StageError), foreign("LiveKit", "source"), outside():
                await work
        finally:
            sender.end_stream()
            reader.close()

    async def _read_chat(self, reader: Any, sender: str) -> None:
        text = ""
        async with asyncio.timeout(READ_S):
            async for piece in reader:
                text += piece
                if len(text) >= MOST_TEXT:
                    break
        self._emit("chat", sender, CHAT, text, len(text.encode("utf-8", "replace")))
        self._type(sender, text)

    async def _read_data(self, reader: Any, sender: str, kind: Literal["text", "bytes"]) -> None:
        """Read a text or a file on a topic of somebody's own."""
        info, pieces, size = reader.info, list[bytes](), 0
        async with asyncio.timeout(READ_FILE_S):
            async for piece in reader:
                pieces.append(piece.encode("utf-8", "replace") if isinstance(piece, str) else bytes(piece))
                size += len(pieces[-1])
                if size > MOST_BYTES:
                    return self._report_too_long(sender, info.topic)
        data = b"".join(pieces)
        name, mime = (info.name, info.mime_type) if kind == "bytes" else ("", "")
        name, mime = plain(name or "", 200, one_line=True), plain(mime or "", 100, one_line=True)
        beginning = f"{name} ({mime})" if kind == "bytes" else data[:800].decode("utf-8", "replace")
        self._emit(kind, sender, info.topic, beginning, size)
        self._keep(IncomingData(info.topic, sender, name, mime, data))

    def _keep(self, received: IncomingData) -> None:
        self.received.append(received)
        while sum(len(earlier.data) for earlier in self.received) > MOST_RECEIVED_BYTES:
            self.received.popleft()
        for listener in [*self.listeners]:
            try:
                with foreign("a listener to the room", "tools"):
                    listener(received)
            except StageError as error:
                self._trace.emit(Notice("error", "room", error.reason, error.hint))

    def _report_too_long(self, sender: str, topic: str) -> None:
        name, topic = plain(sender, 100, one_line=True), plain(topic, 100, one_line=True)
        reason = f"{name} sent more than {MOST_BYTES:,} bytes on {topic}: they are not kept"
        self._trace.emit(Notice("warning", "room", reason))

    def _type(self, sender: str, text: str) -> None:
        if self._session is not None and self._may_speak(sender):
            self._session.type(plain(text, MOST_TEXT))

    def _emit(self, kind: MessageKind, sender: str, topic: str, text: str, size: int) -> None:
        sender, topic = plain(sender, 100, one_line=True), plain(topic, 100, one_line=True)
        self._trace.emit(RoomMessage(kind, sender, topic, plain(text, 200, one_line=True), size))


class _WithDefault(dict[str, Any]):
    """Stream handlers by topic, and a default for topics that are not reserved."""

    def __init__(self, handlers: dict[str, Any], default: Callable[[Any, str], None]) -> None:
        super().__init__(handlers)
        self._default = default

    def get(self, topic: str, default: Any = None) -> Any:
        """Return the handler of a topic."""
        return super().get(topic, default if topic.startswith(RESERVED) else self._default)


def _text_of(payload: str) -> str:
    """Return the text of a call, made safe."""
    text: Any = payload
    with suppress(ValueError):
        text = json.loads(payload)
    if isinstance(text, dict):
        text = text.get("text")
    return plain(text if isinstance(text, str) else payload if text is not None else "", MOST_TEXT)
