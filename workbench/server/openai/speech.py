"""`POST /v1/audio/speech`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import Field, field_validator

from workbench.engine.interfaces import Speech, Tts
from workbench.model.errors import WorkbenchError
from workbench.server.openai.http import RequestPart, read_json
from workbench.trace.wav import wav_header
from workbench.transports.resample import Resampler, to_samples, to_wave

RATE = 24_000
"""Hz that `pcm` means in this API."""
UNKNOWN_SIZE = b"\xff" * 4
"""In a wav's header, while its length is not known."""
TYPES = {"wav": "audio/wav", "pcm": "audio/pcm"}


class VoiceName(RequestPart):
    id: str


class SpeechRequest(RequestPart):
    """The body of a request. The voice is the model's own whatever is named; `instructions` are ignored."""

    model: str = Field(min_length=1)
    input: str = Field(min_length=1, max_length=4096)
    voice: str | VoiceName
    response_format: str = "wav"
    speed: Literal[1] | None = None
    stream_format: Literal["audio"] | None = None

    @field_validator("response_format")
    @classmethod
    def _must_be_known(cls, name: str) -> str:
        if name not in TYPES:
            raise ValueError(f"{name} is not made here: ask for {' or '.join(TYPES)}")
        return name


def speech_handler(tts: Tts) -> Handler:
    """Return the handler that answers with this voice, streamed as it speaks, at 24 kHz, mono, 16 bit."""

    async def answer(http_request: web.Request) -> web.StreamResponse:
        """The status waits for the first sound, so that a failure can still have one of its own; after a later failure
        the connection is cut, so that nobody takes a part for the whole."""
        request = await read_json(http_request, SpeechRequest)
        async with tts.speak(request.input) as pieces, aclosing(_pcm(pieces, tts.rate)) as sound:
            data = await anext(sound, b"")
            response = web.StreamResponse(headers={"Content-Type": TYPES[request.response_format]})
            response.enable_chunked_encoding()
            await response.prepare(http_request)
            await response.write((_header() if request.response_format == "wav" else b"") + data)
            try:
                async for data in sound:
                    await response.write(data)
            except WorkbenchError:
                if http_request.transport:
                    http_request.transport.abort()
                return response
            await response.write_eof()
            return response

    return answer


async def _pcm(pieces: AsyncIterator[Speech], rate: int) -> AsyncGenerator[bytes]:
    resampler = Resampler(rate, RATE)
    async for piece in pieces:
        if len(wave := resampler(to_wave(piece.samples))):
            yield to_samples(wave).astype("<i2").tobytes()
    if len(wave := resampler.flush()):
        yield to_samples(wave).astype("<i2").tobytes()


def _header() -> bytes:
    """Return that of a wav whose length is not known yet."""
    header = wav_header(RATE, 0)
    return header[:4] + UNKNOWN_SIZE + header[8:-4] + UNKNOWN_SIZE
