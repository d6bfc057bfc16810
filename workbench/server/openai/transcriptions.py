"""`POST /v1/audio/transcriptions`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, Field, ValidationError

from workbench.engine.interfaces import Stt
from workbench.engine.utterance import Utterance
from workbench.model.audio import BLOCK_MS, INPUT_RATE, Frame, Samples, block_levels
from workbench.model.errors import UsageError
from workbench.server.openai.http import ApiError, invalid, send_events
from workbench.text.joining import join_texts
from workbench.transports.file.wavfile import WavFile

LONGEST = 28 * INPUT_RATE
"""Samples that are transcribed at once: Whisper's window is 30 s."""
LOOK_BACK = 8 * INPUT_RATE
"""Samples at the end of a segment among which the quietest place to cut is searched."""
PLACE_MS = 100
"""Length of such a place, ms."""
LONGEST_FILE_S = 3600
"""Seconds of sound in a file; at low rates 25 MiB hold much more, and become 16 kHz in memory."""
NO_FIGURES = {
    **{"seek": 0, "tokens": [], "temperature": 0.0, "avg_logprob": 0.0},
    **{"compression_ratio": 0.0, "no_speech_prob": 0.0},
}
"""Fields that OpenAI's shape of a segment must have, and the protocol of an STT does not give."""


class TranscriptionRequest(BaseModel):
    """The form's fields beside the file; `prompt` and `temperature` are ignored, as an `Stt` takes none."""

    model: str = Field(min_length=1)
    language: str | None = None
    response_format: Literal["json", "text", "verbose_json"] = "json"
    stream: bool = False


@dataclass(frozen=True, slots=True)
class TranscribedSegment:
    """A stretch of the file and its words; `start` and `end` in seconds."""

    text: str
    start: float
    end: float


def transcription_handler(stt: Stt) -> Handler:
    """Return the handler that answers with this model.

    A long file is cut into segments at quiet places; when streamed, each segment is a delta.
    """
    numbers = count()

    async def transcribe(samples: Samples) -> AsyncGenerator[TranscribedSegment]:
        for start, stop in cut(samples):
            utterance = Utterance(next(numbers), start)
            utterance.append(Frame(samples[start:stop], INPUT_RATE, start))
            utterance.become("ended", speech_end=stop)
            transcript = await stt.transcribe(utterance, eager=False)
            yield TranscribedSegment(transcript.text.strip(), start / INPUT_RATE, stop / INPUT_RATE)

    async def answer(http_request: web.Request) -> web.StreamResponse:
        request, samples = await _read(http_request)
        async with aclosing(transcribe(samples)) as stream:
            if request.stream:
                async with aclosing(_events(stream)) as events:
                    return await send_events(http_request, events)
            segments = [segment async for segment in stream]
        if request.response_format == "text":
            return web.Response(text=_text(segments) + "\n")
        seconds = len(samples) / INPUT_RATE
        usage = {"type": "duration", "seconds": math.ceil(seconds)}
        body: dict[str, Any] = {"text": _text(segments), "usage": usage}
        if request.response_format == "verbose_json":
            body |= {"task": "transcribe", "language": request.language or "unknown", "duration": seconds}
            body["segments"] = [
                {"id": n, **asdict(segment), **NO_FIGURES} for n, segment in enumerate(segments)
            ]
        return web.json_response(body)

    return answer


def cut(samples: Samples) -> Iterator[tuple[int, int]]:
    """Yield start and stop of segments that are at most 28 s long, cut where it is quietest."""
    start = 0
    place = INPUT_RATE * PLACE_MS // 1000
    while len(samples) - start > LONGEST:
        window = samples[start + LONGEST - LOOK_BACK : start + LONGEST]
        levels = block_levels(window, INPUT_RATE).reshape(-1, PLACE_MS // BLOCK_MS).max(axis=1)
        stop = start + LONGEST - LOOK_BACK + int(np.argmin(levels)) * place + place // 2
        yield start, stop
        start = stop
    yield start, len(samples)


async def _read(http_request: web.Request) -> tuple[TranscriptionRequest, Samples]:
    if http_request.content_type != "multipart/form-data":
        raise ApiError(400, "send a form, with the header Content-Type: multipart/form-data")
    try:
        form = await http_request.post()
    except (ValueError, RuntimeError, web.RequestPayloadError) as error:  # each says what is wrong with it
        raise ApiError(400, f"the form cannot be read: {error}") from error
    try:
        return await _parse(form)
    finally:
        for field in form.values():
            if isinstance(field, web.FileField):
                field.file.close()


async def _parse(form: Mapping[str, object]) -> tuple[TranscriptionRequest, Samples]:
    upload = form.get("file")
    if not isinstance(upload, web.FileField):
        raise ApiError(400, "file: send a wav file in this field", param="file")
    try:
        request = TranscriptionRequest.model_validate({name: form[name] for name in form if name != "file"})
    except ValidationError as error:
        raise invalid(error) from error
    try:
        # Up to 0.5 s for the largest upload, which the loop would miss.
        return request, await asyncio.to_thread(load, cast(BinaryIO, upload.file))
    except UsageError as error:
        reason = error.reason.partition(": ")[2]
        raise ApiError(400, f"file: {reason} – send a wav file of an hour at most", param="file") from error


def load(file: BinaryIO) -> Samples:
    """Return the sound of an open file, mono at 16 kHz. Raises UsageError for another file, or more than an hour."""
    with WavFile(Path("upload.wav"), file) as sound:
        if (seconds := sound.format.seconds) > LONGEST_FILE_S:
            raise UsageError(f"upload.wav: it is {seconds / 3600:.1f} hours long", "send an hour at most")
        return np.concatenate(list(sound.blocks(INPUT_RATE)))


async def _events(stream: AsyncGenerator[TranscribedSegment]) -> AsyncGenerator[dict[str, Any]]:
    segments: list[TranscribedSegment] = []
    async for segment in stream:
        before = _text(segments)
        segments.append(segment)
        if delta := _text(segments)[len(before) :]:
            yield {"type": "transcript.text.delta", "delta": delta}
    yield {"type": "transcript.text.done", "text": _text(segments)}


def _text(segments: list[TranscribedSegment]) -> str:
    return join_texts(segment.text for segment in segments)
