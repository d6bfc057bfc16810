"""Messages on the pipes between a session and its workers: a JSON header and raw bytes, no pickle.

b"WBF1" · length of header, of payload (big-endian uint32) · header (JSON object, UTF-8) · payload
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

Header = Mapping[str, Any]
Message = tuple[dict[str, Any], bytes]

MAGIC = b"WBF1"
PREFIX = struct.Struct(">4sII")
MAX_HEADER = 1 << 22
MAX_PAYLOAD = 1 << 26
"""64 MB: half an hour of speech at 16 kHz. A longer one is not a message of ours."""


class GarbledError(ValueError):
    """The bytes on the pipe are not messages."""


def pack(header: Header, payload: bytes = b"") -> bytes:
    """Return a message as bytes."""
    head = json.dumps(header).encode()
    return PREFIX.pack(MAGIC, len(head), len(payload)) + head + payload


class Unpacker:
    """Parses messages from bytes that arrive in pieces of any length."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are complete with `data`. Raises GarbledError; nothing can be read after that."""
        self._buffer += data
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> Message | None:
        buffer = self._buffer
        if len(buffer) < PREFIX.size:
            return None
        magic, head, body = PREFIX.unpack_from(buffer)
        if magic != MAGIC or head > MAX_HEADER or body > MAX_PAYLOAD:
            raise GarbledError(f"not a message: {bytes(buffer[:16])!r}")
        end = PREFIX.size + head + body
        if len(buffer) < end:
            return None
        text, payload = buffer[PREFIX.size : PREFIX.size + head], bytes(buffer[PREFIX.size + head : end])
        del buffer[:end]
        return _header(bytes(text)), payload


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except ValueError as error:  # not JSON, or not UTF-8
        raise GarbledError(f"a message's header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise GarbledError("a message's header is not an object")
    return header
