"""Providers whose requests and answers are recorded, piece by piece, and which change nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from typing import Any, Generic, Self, TypeVar

import numpy as np

from workbench.engine.interfaces import LlmPart, Progress, Retraction, Speech, Text, Vad
from workbench.engine.utterance import Utterance
from workbench.model.audio import Samples
from workbench.model.conversation import Message, ToolCall, ToolSpec, Transcript, Usage
from workbench.session.boundary import BuiltProvider
from workbench.session.requests import (
    in_language,
    llm_request,
    stt_request,
    tts_request,
    turn_request,
    warm_request,
)
from workbench.trace.cassette import CassetteLog, Row
from workbench.trace.recorded_errors import error_row

T = TypeVar("T")


class NotedCall:
    """A call that is being recorded; its end is written once."""

    def __init__(self, log: CassetteLog, stage: str, item: str, request: Callable[[], Row]) -> None:
        self._log = log
        self.number = number = log.call()
        self._ended = False
        t, i = log.now(), log.index
        log.put_later(
            lambda: {"t": t, "i": i, "row": "call", "call": number, "stage": stage, "item": item, **request()}
        )

    def piece(self, data: Samples | None = None, **fields: Any) -> None:
        """Record a part of the answer."""
        self._log.put_input("piece", data, call=self.number, **fields)

    def end(self, how: str, **fields: Any) -> None:
        """Record how it ended."""
        if not self._ended:
            self._ended = True
            put = self._log.put if how == "cut" else self._log.put_input
            put("end", call=self.number, how=how, **fields)

    def fail(self, error: BaseException) -> None:
        """Record that it failed, or was cut off where that is no error."""
        if isinstance(error, Exception):
            self.end("failed", error=error_row(error))
        else:
            self.end("cut")

    @contextmanager
    def until_end(self) -> Iterator[None]:
        """Record how the body ends; one that has recorded no end of its own was left early."""
        try:
            yield
        except BaseException as error:
            self.fail(error)
            raise
        finally:
            self.end("cut")


class _NotedStream(Generic[T]):
    """The items of a stream, recorded as they come. No generator: an abandoned one would be closed in a loose task."""

    def __init__(self, items: AsyncIterator[T], call: NotedCall, note: Callable[[T], None]) -> None:
        self._items, self._call, self._note = items, call, note

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            item = await anext(self._items)
        except StopAsyncIteration:
            self._call.end("done")
            raise
        except BaseException as error:
            self._call.fail(error)
            raise
        self._note(item)
        return item


class _NotedUtterance(Utterance):
    """An utterance as an STT sees it: what the STT writes is recorded. Everything else is that of the utterance."""

    def __init__(self, utterance: Utterance, note: Callable[[Transcript], None]) -> None:
        object.__setattr__(self, "_inner", utterance)
        object.__setattr__(self, "_note", note)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_inner"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)

    def write(self, transcript: Transcript) -> None:
        """Record a transcript, and write it."""
        self._note(transcript)
        self._inner.write(transcript)


class _Recorded:
    """What all recorded providers share: entering, the first call, and their state. Whatever else somebody asks of one
    is asked of the provider itself."""

    def __init__(self, made: BuiltProvider, stage: str, item: str, settings: str, log: CassetteLog) -> None:
        self._inner = made.provider
        self._made, self._stage, self._item, self._log = made, stage, item, log
        self._settings = settings
        """The hash of those that matter to its answers."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)

    async def __aenter__(self) -> Self:
        try:
            await self._inner.__aenter__()
        except Exception as error:
            self._log.put("provider", stage=self._stage, item=self._item, absent=error_row(error))
            raise
        self._log.put("provider", **described(self._made, self._stage, self._item, self._settings))
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._inner.__aexit__(*error)

    def _call(self, request: Callable[[], Row]) -> NotedCall:
        return NotedCall(self._log, self._stage, self._item, request)

    async def _first_call(self, warm: Callable[[], Awaitable[None]]) -> None:
        call = self._call(warm_request)
        with call.until_end():
            await warm()
            call.end("done", **self._state())

    def _state(self) -> dict[str, Any]:
        """Return what may have changed of it since it was made."""
        return {}


class RecordedModel(_Recorded):
    """What the models share."""

    async def warm(self) -> None:
        """Make the first call."""
        await self._first_call(self._inner.warm)

    def use_language(self, language: str) -> None:
        """Go over to another language, which is part of each request from here on."""
        self._settings = in_language(self._settings, language)
        self._inner.use_language(language)

    def _state(self) -> dict[str, Any]:
        return {"starts": self._inner.starts, "loads": self._inner.loads}


class RecordedStt(RecordedModel):
    """Speech to text."""

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
        """See `Stt`."""
        call = self._call(lambda: stt_request(utterance, self._settings))

        def place() -> dict[str, Any]:
            return {"end": utterance.end, "speech_end": utterance.speech_end, "over": utterance.over}

        noted = _NotedUtterance(
            utterance, lambda transcript: call.piece(**transcript_row(transcript), **place())
        )
        with call.until_end():
            final = await self._inner.transcribe(noted, eager=eager)
            call.end("done", **transcript_row(final), **place(), **self._state())
        return final  # type: ignore[no-any-return]


class RecordedLlm(RecordedModel):
    """A language model."""

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> AsyncIterator[AsyncIterator[LlmPart]]:
        """See `Llm`."""
        settings, prompt = self._settings, tuple(messages)
        call = self._call(lambda: llm_request(prompt, tools, settings))
        with call.until_end():
            async with self._inner.reply(messages, tools) as parts:
                yield _NotedStream(parts, call, lambda part: call.piece(**part_row(part)))


class RecordedTts(RecordedModel):
    """Text to speech."""

    @asynccontextmanager
    async def speak(self, text: str) -> AsyncIterator[AsyncIterator[Speech]]:
        """See `Tts`."""
        settings = self._settings
        call = self._call(lambda: tts_request(text, settings))

        def note(piece: Speech) -> None:
            if not isinstance(piece, Speech) or getattr(piece.samples, "dtype", None) != np.int16:
                call.piece(garbage=repr(piece))
                return
            words = [[word.text, word.start_ms, word.end_ms] for word in piece.words]
            call.piece(piece.samples, words=words, cpu_wait_ms=piece.cpu_wait_ms)

        with call.until_end():
            async with self._inner.speak(text) as pieces:
                yield _NotedStream(pieces, call, note)


class RecordedTurn(_Recorded):
    """A turn detector: what its model says of pauses. What it makes of that and of words is computed anew each time."""

    async def warm(self) -> None:
        """Make the first call."""
        await self._first_call(self._inner.warm)

    async def assess(self, utterance: Utterance) -> float | None:
        """See `TurnDetector`."""
        request = turn_request(utterance, self._settings)
        call = self._call(lambda: request)
        with call.until_end():
            probability = await self._inner.assess(utterance)
            call.end("done", probability=probability)
        return probability  # type: ignore[no-any-return]


class RecordedVad:
    """Voice activity detection: a number a window."""

    def __init__(self, vad: Vad, log: CassetteLog) -> None:
        self._inner = vad
        self._log = log
        self._windows = 0
        self.window = vad.window

    def __call__(self, samples: Samples) -> float:
        """See `Vad`."""
        try:
            probability = self._inner(samples)
            self._log.probabilities.append(float(probability))
        except Exception as error:
            self._log.put("fault", at=self._windows, error=error_row(error))
            raise
        self._windows += 1
        return probability

    def reset(self) -> None:
        """See `Vad`."""
        self._inner.reset()


RECORDED: dict[str, type[_Recorded]] = {
    "stt": RecordedStt,
    "llm": RecordedLlm,
    "tts": RecordedTts,
    "turn": RecordedTurn,
}


def described(made: BuiltProvider, stage: str, item: str, settings: str) -> dict[str, Any]:
    """Return what a session must know of a provider to do without it."""
    names = ("name", "partials", "sees", "rate", "starts", "loads", "assesses", "window")
    known = {name: getattr(made.provider, name) for name in names if hasattr(made.provider, name)}
    known["computes_here"] = getattr(made.provider, "onboard", False)
    return {
        "stage": stage,
        "item": item,
        **known,
        "onboard": made.onboard,
        "price": asdict(made.price),
        "settings": settings,
    }


def transcript_row(transcript: Any) -> dict[str, Any]:
    """Return a transcript as JSON."""
    return asdict(transcript) if isinstance(transcript, Transcript) else {"garbage": repr(transcript)}


def part_row(part: Any) -> dict[str, Any]:
    """Return a part of a model's answer as JSON."""
    match part:
        case Text(text=str(text), cpu_wait_ms=waited_ms):
            return {"text": text, "cpu_wait_ms": waited_ms} if waited_ms else {"text": text}
        case ToolCall(id=id, name=name, arguments=arguments):
            return {"tool_call": [id, name, arguments]}
        case Usage():
            return {"usage": asdict(part)}
        case Progress(kind=kind, text=str(text)):
            return {"progress": [kind, text]}
        case Retraction():
            return {"retraction": True}
        case _:
            return {"garbage": repr(part)}
