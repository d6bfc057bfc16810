"""`POST /v1/audio/speech`."""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, Field, field_validator

from workbench.engine.interfaces import Speech, Tts
from workbench.model.errors import WorkbenchError
from workbench.server.openai.http import read_json
from workbench.transports.resample import Resampler, to_samples, to_wave

RATE = 24_000
"""Hz that `pcm` means in this API."""
UNKNOWN_SIZE = 0xFFFFFFFF
"""What a wav's header says of its length while that is not known."""
TYPES = {"wav": "audio/wav", "pcm": "audio/pcm"}


class VoiceName(BaseModel):
    id: str


class SpeechRequest(BaseModel):
    """What is asked. The voice is the model's own whatever is named; `instructions` are not obeyed."""

    model: str = Field(min_length=1)
    input: str = Field(min_length=1, max_length=4096)
    voice: str | VoiceName
    response_format: str = "wav"
    speed: Literal[1] | None = None
    stream_format: Literal["audio"] | None = None

    @field_validator("response_format")
    @classmethod
    def _can_be_made(cls, name: str) -> str:
        if name not in TYPES:
            raise ValueError(f"{name} is not made here: ask for {' or '.join(TYPES)}")
        return name


class SpeechRoute:
    """Answers with one `Tts`, streamed as it speaks, at 24 kHz, mono, 16 bit."""

    def __init__(self, tts: Tts) -> None:
        self._tts = tts

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The sound of a text. The status waits for the first sound, so that a failure can still have one of its own;
        after a later failure the connection is cut, so that nobody takes a part for the whole."""
        asked = await read_json(request, SpeechRequest)
        async with (
            self._tts.speak(asked.input) as pieces,
            aclosing(_pcm(pieces, self._tts.rate)) as sound,
        ):
            data = await anext(sound, b"")
            response = web.StreamResponse(headers={"Content-Type": TYPES[asked.response_format]})
            response.enable_chunked_encoding()
            await response.prepare(request)
            await response.write((_header() if asked.response_format == "wav" else b"") + data)
            try:
                async for data in sound:
                    await response.write(data)
            except WorkbenchError:
                if request.transport:
                    request.transport.abort()
                return response
            await response.write_eof()
            return response


async def _pcm(pieces: AsyncIterator[Speech], rate: int) -> AsyncGenerator[bytes]:
    resampler = Resampler(rate, RATE)
    async for piece in pieces:
        if len(ready := resampler(to_wave(piece.samples))):
            yield to_samples(ready).astype("<i2").tobytes()
    if len(rest := resampler.flush()):
        yield to_samples(rest).astype("<i2").tobytes()


def _header() -> bytes:
    """Of a wav whose length is not known yet."""
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", UNKNOWN_SIZE, b"WAVE")
        + fmt
        + struct.pack("<4sI", b"data", UNKNOWN_SIZE)
    )
