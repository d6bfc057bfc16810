"""Speech to text by `/audio/transcriptions`: the whole utterance as one wav."""

from __future__ import annotations

import asyncio
import io
import json
import math
import re
import wave
from dataclasses import replace
from typing import Any

from workbench.engine.interfaces import Stt
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE, Samples, last_audible
from workbench.model.conversation import Transcript
from workbench.model.errors import GarbageError, StageError
from workbench.plugin.values import ProviderOptions
from workbench.providers.openai.client import ApiStage
from workbench.text.joining import join_texts
from workbench.text.languages import AUTO, tag_of
from workbench.text.turn_words import tag

SHORTEST = INPUT_RATE // 10
"""Samples below which there is no word, and OpenAI answers 400."""


class OpenAiStt(ApiStage, Stt):
    """Sends the utterance when the user has finished, and with `eager` also at each pause."""

    partials = False

    def __init__(self, options: ProviderOptions) -> None:
        super().__init__("stt", options)
        # detected where none is named, which Whisper tells in its verbose answers
        self.language = None if options.language == AUTO else tag(options.language)
        # of Whisper there is more to have: how sure it is, and whether anybody speaks
        self._format = "verbose_json" if "whisper" in options.model.lower() else "json"

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
        """Return the final transcript once the utterance is over; with `eager`, transcribe at each pause too."""
        latest: Transcript | None = None
        sent_s: list[float] = []
        while not utterance.over:
            if eager and utterance.state == "paused" and not _covers(latest, utterance):
                latest = await self._while_paused(utterance, sent_s)
            else:
                await utterance.changed()
        if utterance.state == "dismissed":
            return Transcript("", utterance.end, final=True)
        if latest is None or not _covers(latest, utterance):
            latest = await self._request(utterance, sent_s)
        return replace(latest, final=True, sent_s=sum(sent_s))

    async def _while_paused(self, utterance: Utterance, sent_s: list[float]) -> Transcript | None:
        """Return the transcript of all speech so far, written back too; None when the user went on before it came."""
        upto = utterance.end
        outcome: Transcript | StageError | None = None

        async def ask() -> None:
            nonlocal outcome
            try:
                outcome = await self._request(utterance, sent_s)
            except StageError as error:  # a task group would wrap it
                outcome = error
            finally:
                watching.cancel()

        async def watch() -> None:
            while utterance.state in ("paused", "ended") and utterance.speech_end <= upto:
                await utterance.changed()
            asking.cancel()  # more was said: this transcript is of no use

        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch())
            asking = tasks.create_task(ask())
        if isinstance(outcome, StageError):
            raise outcome
        if outcome and not utterance.over:
            utterance.write(replace(outcome, sent_s=sum(sent_s)))
        return outcome

    async def _request(self, utterance: Utterance, sent_s: list[float]) -> Transcript:
        upto = utterance.end
        samples = utterance.audio()
        if len(samples) < SHORTEST or last_audible(samples, INPUT_RATE) is None:
            return Transcript("", upto)  # a model makes words up where nothing can be heard
        sent_s.append(len(samples) / INPUT_RATE)
        response = await self.load.run(lambda: self._open(("speech.wav", wav(samples), "audio/wav")))
        self.load.answered()
        text = transcript_text(response.text, response.headers.get("content-type", ""))
        if text is None:
            answer = self.endpoint.clean(response.text) or "nothing"
            hint = "check that stt.base_url is an OpenAI-compatible API that transcribes"
            raise GarbageError(f"{self.endpoint.server} answered without a text: {answer}", hint, stage="stt")
        language = "" if self.language else language_of(response.text)
        return Transcript(text, upto, confidence=confidence_of(response.text), language=language)

    async def _open(self, file: tuple[str, bytes, str]) -> Any:
        """Make the request, again without what the server refuses and can be left out; that is remembered."""
        while True:
            fields = {"language": self.language, "response_format": self._format}
            request = self.body(file=file, model=self.endpoint.model, **fields)
            try:
                with self.endpoint.request():
                    return await self.client.audio.transcriptions.with_raw_response.create(**request)
            except StageError as error:
                if not self.leave_out(fields, error):
                    raise


def transcript_text(body: str, content_type: str) -> str | None:
    """Return the words of an answer, None if it is none: JSON, verbose JSON, segments alone, a JSON string, plain text.

    Marks of nothing (`[BLANK_AUDIO]`, `(silence)`, `♪`, `...`) are no words.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        is_markup = "html" in content_type or "json" in content_type or body.lstrip().startswith(("<", "{"))
        answer = None if is_markup else body
    else:
        if isinstance(answer, int | float) and "json" not in content_type:
            answer = body  # the user said a number
    if isinstance(answer, dict):
        text, segments = answer.get("text"), answer.get("segments")
        segments = segments if isinstance(segments, list) else []
        answer = text if isinstance(text, str) and not any(map(_is_silent, segments)) else segments or None
    if isinstance(answer, list):
        answer = join_texts(_segment_text(segment) for segment in answer)
    return without_marks(answer) if isinstance(answer, str) else None


def language_of(body: str) -> str:
    """Return the tag of the language that an answer names; empty if it names none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    named = answer.get("language") if isinstance(answer, dict) else None
    return tag_of(named) if isinstance(named, str) else ""


def confidence_of(body: str) -> float | None:
    """Return how sure Whisper is of an answer, 0…1; None for an answer that does not say."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    segments = answer.get("segments") if isinstance(answer, dict) else answer
    figures = [
        (segment["avg_logprob"], segment["no_speech_prob"])
        for segment in (segments if isinstance(segments, list) else ())
        if isinstance(segment, dict)
        and all(isinstance(segment.get(name), int | float) for name in ("avg_logprob", "no_speech_prob"))
    ]
    if not figures:
        return None
    log_probability, no_speech = (sum(each) / len(figures) for each in zip(*figures, strict=True))
    sure = math.exp(min(0.0, log_probability)) * (1 - min(1.0, max(0.0, no_speech)))
    return round(float(sure), 3)


def _segment_text(segment: Any) -> str:
    """Return a segment's words; none where the model says that nobody speaks, by the rule of Whisper's own code."""
    if isinstance(segment, str):
        return segment.strip()
    text = segment.get("text") if isinstance(segment, dict) and not _is_silent(segment) else None
    return text.strip() if isinstance(text, str) else ""


def _is_silent(segment: Any) -> bool:
    if not isinstance(segment, dict):
        return False
    no_speech, log_probability = (segment.get(name) for name in ("no_speech_prob", "avg_logprob"))
    return (
        isinstance(no_speech, int | float)
        and isinstance(log_probability, int | float)
        and no_speech > 0.6
        and log_probability < -1.0
    )


def without_marks(text: str) -> str:
    """Return a transcript without what a model writes where it hears no words; empty if nothing else is there."""
    words = re.sub(r"\[[A-Z_ ]{1,40}\]|<\|[^|]{0,40}\|>|[♪♫♬]+", " ", text).strip()
    rest = re.sub(r"\[[^\[\]]{0,200}\]|\([^()]{0,200}\)|\*[^*]{0,200}\*", "", words)
    return " ".join(words.split()) if re.search(r"\w", rest) else ""


def _covers(latest: Transcript | None, utterance: Utterance) -> bool:
    return latest is not None and latest.upto_sample >= utterance.speech_end


def wav(samples: Samples, rate: int = INPUT_RATE) -> bytes:
    """Return samples, shape (n,), as a mono PCM16 wav file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()
