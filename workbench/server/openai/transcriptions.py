"""`POST /v1/audio/transcriptions`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from workbench.engine.interfaces import Stt
from workbench.engine.utterance import Utterance
from workbench.model.audio import BLOCK_MS, INPUT_RATE, Frame, Samples, block_levels
from workbench.model.errors import UsageError
from workbench.server.openai.http import ApiError, invalid, send_events
from workbench.transports.file.wavfile import WavFile

LONGEST = 28 * INPUT_RATE
"""Samples that are transcribed at once: Whisper's window is 30 s."""
LOOK_BACK = 8 * INPUT_RATE
"""Samples at the end of a piece among which the quietest place to cut is looked for."""
LONGEST_FILE_S = 3600
"""Seconds of sound in a file; at low rates 25 MiB hold much more, and become 16 kHz in memory."""
PLACE_MS = 100
"""Length of such a place, ms."""
NO_FIGURES = {"seek": 0, "tokens": [], "temperature": 0.0, "avg_logprob": 0.0, "compression_ratio": 0.0}
"""Fields that OpenAI's shape of a segment must have, and the protocol of an STT does not tell."""


class TranscriptionRequest(BaseModel):
    """The form's fields beside the file; `prompt` and `temperature` are not obeyed, as an `Stt` takes none."""

    model: str = Field(min_length=1)
    language: str | None = None
    response_format: Literal["json", "text", "verbose_json"] = "json"
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the file and what was said in it; `start` and `end` in seconds."""

    text: str
    start: float
    end: float


class TranscriptionRoute:
    """Answers with one `Stt`. A long file is cut into pieces at quiet places; when streamed, each piece is a delta."""

    def __init__(self, stt: Stt) -> None:
        self._stt = stt
        self._numbers = count()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """A wav file's words, in the format that was asked for."""
        asked, samples = await _read(request)
        async with aclosing(self._pieces(samples)) as pieces:
            if asked.stream:
                async with aclosing(_events(pieces)) as events:
                    return await send_events(request, events)
            heard = [piece async for piece in pieces]
        seconds = len(samples) / INPUT_RATE
        if asked.response_format == "text":
            return web.Response(text=_joined(heard) + "\n")
        if asked.response_format == "json":
            return web.json_response({"text": _joined(heard), "usage": _usage(seconds)})
        return web.json_response(_verbose(heard, seconds, asked.language))

    async def _pieces(self, samples: Samples) -> AsyncGenerator[Piece]:
        for start, stop in cut(samples):
            utterance = Utterance(next(self._numbers), start)
            utterance.append(Frame(samples[start:stop], INPUT_RATE, start))
            utterance.become("ended", speech_end=stop)
            transcript = await self._stt.transcribe(utterance, eager=False)
            yield Piece(transcript.text.strip(), start / INPUT_RATE, stop / INPUT_RATE)


def cut(samples: Samples) -> Iterator[tuple[int, int]]:
    """Start and stop of pieces that are at most 28 s long, cut where it is quietest."""
    start = 0
    place = INPUT_RATE * PLACE_MS // 1000
    while len(samples) - start > LONGEST:
        window = samples[start + LONGEST - LOOK_BACK : start + LONGEST]
        levels = block_levels(window, INPUT_RATE).reshape(-1, PLACE_MS // BLOCK_MS).max(axis=1)
        stop = start + LONGEST - LOOK_BACK + int(np.argmin(levels)) * place + place // 2
        yield start, stop
        start = stop
    yield start, len(samples)


async def _read(request: web.Request) -> tuple[TranscriptionRequest, Samples]:
    if request.content_type != "multipart/form-data":
        raise ApiError(400, "send a form, with the header Content-Type: multipart/form-data")
    try:
        form = await request.post()
    except (
        ValueError,
        RuntimeError,
        web.RequestPayloadError,
    ) as error:  # all of them say what is wrong with it
        raise ApiError(400, f"the form cannot be read: {error}") from error
    try:
        return await _understood(form)
    finally:
        for field in form.values():
            if isinstance(field, web.FileField):
                field.file.close()


async def _understood(form: Mapping[str, object]) -> tuple[TranscriptionRequest, Samples]:
    upload = form.get("file")
    if not isinstance(upload, web.FileField):
        raise ApiError(400, "file: send a wav file in this field", param="file")
    try:
        asked = TranscriptionRequest.model_validate({name: form[name] for name in form if name != "file"})
    except ValidationError as error:
        raise invalid(error) from error
    try:
        # Up to 0.5 s for the largest upload, which the loop would miss.
        return asked, await asyncio.to_thread(load, cast(BinaryIO, upload.file))
    except UsageError as error:
        reason = error.reason.partition(": ")[2]
        raise ApiError(400, f"file: {reason} – send a wav file of an hour at most", param="file") from error


def load(file: BinaryIO) -> Samples:
    """Return the sound of an open file, mono at 16 kHz; UsageError if it is none, or longer than an hour."""
    with WavFile(Path("upload.wav"), file) as sound:
        if (seconds := sound.format.seconds) > LONGEST_FILE_S:
            raise UsageError(f"upload.wav: it is {seconds / 3600:.1f} hours long", "send an hour at most")
        return np.concatenate(list(sound.blocks(INPUT_RATE)))


async def _events(pieces: AsyncGenerator[Piece]) -> AsyncGenerator[dict[str, Any]]:
    heard: list[Piece] = []
    async for piece in pieces:
        said = _joined(heard)
        heard.append(piece)
        if delta := _joined(heard)[len(said) :]:
            yield {"type": "transcript.text.delta", "delta": delta}
    yield {"type": "transcript.text.done", "text": _joined(heard)}


def _joined(heard: list[Piece]) -> str:
    return " ".join(piece.text for piece in heard if piece.text)


def _verbose(heard: list[Piece], seconds: float, language: str | None) -> dict[str, Any]:
    segments = [
        {
            "id": number,
            "start": piece.start,
            "end": piece.end,
            "text": piece.text,
            "no_speech_prob": 0.0,
            **NO_FIGURES,
        }
        for number, piece in enumerate(heard)
    ]
    return {
        "task": "transcribe",
        "language": language or "unknown",
        "duration": seconds,
        "text": _joined(heard),
        "segments": segments,
        "usage": _usage(seconds),
    }


def _usage(seconds: float) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(seconds)}
