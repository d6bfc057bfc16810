"""Providers that answer from a cassette, piece by piece when they answered. One that cannot asks a live one, if there
is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import numpy as np

from workbench.engine.interfaces import LlmPart, Progress, Retraction, Speech, Text, TurnDetector
from workbench.engine.settings import TurnSettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import OUTPUT_RATE, Samples
from workbench.model.conversation import Message, ToolCall, ToolSpec, Transcript, Usage, Word
from workbench.model.errors import StageError
from workbench.model.events import Stage
from workbench.replay.answers import ON_TIME_S, Answers, Miss
from workbench.session.requests import (
    in_language,
    llm_request,
    stt_request,
    tts_request,
    turn_request,
    warm_request,
)
from workbench.trace.cassette import RecordedCall, Row
from workbench.trace.recorded_errors import recorded_error


class _Played:
    """A provider as it was: what it said of itself, its first call, and its answers."""

    stage: Stage

    def __init__(self, row: Row, settings: str, answers: Answers, live: Any = None) -> None:
        """`settings` is the hash of those of today; `live` answers what the cassette cannot."""
        self._row, self._settings, self._answers, self._live = row, settings, answers, live
        self._item = row["item"]
        self.name = str(row.get("name", row["item"]))
        self.onboard = row.get("computes_here") is True
        self.starts = _number(row.get("starts"), 0)
        self.loads = row.get("loads") is True

    async def __aenter__(self) -> Self:
        await self._answers.clock.until(self._row["t"])
        if isinstance(absent := self._row.get("absent"), dict):
            raise recorded_error(absent)
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def warm(self) -> None:
        """Take as long as the first call did."""
        call = self._answers.take(self.stage, self._item, warm_request())
        if isinstance(call, RecordedCall) and not call.cut:
            self._update(await self._answers.end(self.stage, call, self._answers.shift(call)))

    def use_language(self, language: str) -> None:
        """Go over to another language."""
        self._settings = in_language(self._settings, language)
        if self._live is not None:
            self._live.use_language(language)

    def _answer(self, request: Row) -> RecordedCall | None:
        """Return the recorded answer; None where the live provider is to be asked. Raises MissError."""
        answer = self._answers.take(self.stage, self._item, request)
        if isinstance(answer, RecordedCall):
            return answer
        self._missed(answer, request)
        return None

    def _missed(self, miss: Miss, request: Row) -> None:
        """Note that the cassette has no answer; raise that where nobody else has one."""
        error = self._answers.miss(self.stage, miss, request["asks"], live=self._live is not None)
        if self._live is None:
            raise error

    def _update(self, end: Row) -> None:
        """Take over what the end of a call says of the provider."""
        self.starts = _number(end.get("starts"), self.starts)
        self.loads = end.get("loads", self.loads) is True


class PlayedStt(_Played):
    """Speech to text."""

    stage: Stage = "stt"

    def __init__(self, row: Row, settings: str, answers: Answers, live: Any = None) -> None:
        super().__init__(row, settings, answers, live)
        self.partials = row.get("partials") is True

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
        """See `Stt`. A transcript is written when it was, and not before the sound is there that it is of."""
        request = stt_request(utterance, self._settings)
        call = self._answer(request)
        if call is None:
            return await self._ask_live(utterance, eager)
        shift = self._answers.shift(call)
        for row in call.pieces:
            if not await self._reached(utterance, row, shift):
                break
            utterance.write(transcript_of(row))  # type: ignore[arg-type]  # garbage as recorded
        if call.end is not None and call.end["how"] == "done" and call.end.get("over") is True:
            return await self._final(utterance, call, request, eager)
        self._update(end := await self._answers.end(self.stage, call, shift))
        return transcript_of(end)  # type: ignore[return-value]

    async def _reached(self, utterance: Utterance, row: Row, shift: float) -> bool:
        """Wait for the time and the sound of a transcript; False where the utterance has ended without it."""
        clock, end = self._answers.clock, _number(row.get("end"), 0)
        await clock.until(row["t"] + shift, row.get("i", 0))
        while utterance.end < end and not utterance.over:
            await utterance.changed()
        if utterance.over and row.get("over") is not True:
            return False
        await clock.in_order(row.get("i", 0))
        return True

    async def _final(self, utterance: Utterance, call: RecordedCall, request: Row, eager: bool) -> Transcript:
        """Wait for the end of the utterance, and return its transcript: the recorded one of the same speech."""
        while not utterance.over:
            await utterance.changed()
        assert call.end is not None
        same = [row for row in (call.end, *reversed(call.pieces)) if _covers(row, utterance)]
        if not same:
            self._missed("missing", request)
            return await self._ask_live(utterance, eager)
        clock = self._answers.clock
        late = clock.now() - self._answers.came_at(_number(call.end.get("end"), 0))
        await clock.turn_of(call.end, 0.0 if abs(late) <= ON_TIME_S else late)
        self._update(call.end)
        return transcript_of(same[0])  # type: ignore[return-value]

    async def _ask_live(self, utterance: Utterance, eager: bool) -> Transcript:
        return await self._live.transcribe(utterance, eager=eager)  # type: ignore[no-any-return]


def _covers(row: Row, utterance: Utterance) -> bool:
    """Whether a transcript is of all that was said in the utterance and of nothing more."""
    stands = row.get("final") is True or row.get("stable") is True or "garbage" in row
    return stands and row.get("speech_end") == utterance.speech_end


class PlayedLlm(_Played):
    """A language model."""

    stage: Stage = "llm"

    def __init__(self, row: Row, settings: str, answers: Answers, live: Any = None) -> None:
        super().__init__(row, settings, answers, live)
        self.sees = row.get("sees") is True

    async def prepare(self, messages: Sequence[Message]) -> None:
        """Read nothing ahead: the recorded answers come when they came."""

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> AsyncIterator[AsyncIterator[LlmPart]]:
        """See `Llm`."""
        call = self._answer(llm_request(messages, tools, self._settings))
        if call is not None:
            yield _PlayedStream(self, call, part_of)
            return
        async with self._live.reply(messages, tools) as parts:
            yield parts


class PlayedTts(_Played):
    """Text to speech."""

    stage: Stage = "tts"

    def __init__(self, row: Row, settings: str, answers: Answers, live: Any = None) -> None:
        super().__init__(row, settings, answers, live)
        rate = _number(row.get("rate"), OUTPUT_RATE)
        self.rate = rate if 8_000 <= rate <= 192_000 else OUTPUT_RATE

    @asynccontextmanager
    async def speak(self, text: str) -> AsyncIterator[AsyncIterator[Speech]]:
        """See `Tts`."""
        call = self._answer(tts_request(text, self._settings))
        if call is not None:
            yield _PlayedStream(self, call, lambda row: speech_of(row, self._answers.cassette.data(row)))
            return
        async with self._live.speak(text) as pieces:
            if self._live.rate == self.rate:
                yield pieces
            else:
                raise StageError(
                    "the live voice has another rate than the recorded one", "swap tts", stage="tts"
                )


class _PlayedStream:
    """The pieces of a recorded answer, each when it came."""

    def __init__(self, played: _Played, call: RecordedCall, read: Callable[[Row], Any]) -> None:
        self._played, self._call, self._read = played, call, read
        self._answers = played._answers
        self._shift = self._answers.shift(call)
        self._at = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._at < len(self._call.pieces):
            row = self._call.pieces[self._at]
            self._at += 1
            await self._answers.clock.turn_of(row, self._shift)
            return self._read(row)
        self._played._update(await self._answers.end(self._played.stage, self._call, self._shift))
        raise StopAsyncIteration


class PlayedTurn(TurnDetector):
    """A turn detector of today, not entered: what it makes of words and silence it computes, what its model said of a
    pause comes from the cassette."""

    def __init__(self, inner: TurnDetector, row: Row, settings: str, answers: Answers) -> None:
        self._inner, self._row, self._settings, self._answers = inner, row, settings, answers
        self.languages = inner.languages
        self.assesses = row.get("assesses") is True

    async def __aenter__(self) -> Self:
        await self._answers.clock.until(self._row["t"])
        if isinstance(absent := self._row.get("absent"), dict):
            raise recorded_error(absent)
        return self

    async def warm(self) -> None:
        """Take as long as the first call did."""
        call = self._answers.take("turn", self._row["item"], warm_request())
        if isinstance(call, RecordedCall) and not call.cut:
            await self._answers.end("turn", call, self._answers.shift(call))

    def hold_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """See `TurnDetector`."""
        return self._inner.hold_ms(utterance, settings)

    async def assess(self, utterance: Utterance) -> float | None:
        """See `TurnDetector`."""
        request = turn_request(utterance, self._settings)
        call = self._answers.take("turn", self._row["item"], request)
        if not isinstance(call, RecordedCall):
            raise self._answers.miss("turn", call, request["asks"], live=False)
        if call.cut:  # the user went on, or the session ended: nobody waits for it
            await asyncio.get_running_loop().create_future()
        end = await self._answers.end("turn", call, self._answers.shift(call))
        return end.get("probability")

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """See `TurnDetector`."""
        return self._inner.wait_ms(utterance, settings)

    def paused(self, ms: float, *, went_on: bool) -> None:
        """See `TurnDetector`."""
        self._inner.paused(ms, went_on=went_on)


class PlayedVad:
    """The probabilities of a VAD, window by window. Digital silence beyond them is none of speech."""

    def __init__(self, row: Row, answers: Answers) -> None:
        self.window = max(1, _number(row.get("window"), 512))
        self._answers = answers
        self._probabilities = answers.cassette.probabilities.tolist()
        self._faults = {fault["at"]: fault["error"] for fault in answers.cassette.of("fault")}
        self._at = 0

    def __call__(self, samples: Samples) -> float:
        """See `Vad`."""
        if self._at in self._faults:
            raise recorded_error(self._faults[self._at])
        self._at += 1
        if self._at <= len(self._probabilities):
            return float(self._probabilities[self._at - 1])
        if samples.any():
            raise self._answers.miss("vad", "used up", f"window {self._at}", live=False)
        return 0.0

    def reset(self) -> None:
        """What follows is recorded too."""


# --- rows as values --------------------------------------------------------------------------------------------------


def transcript_of(row: Row) -> Transcript | str:
    """Return the transcript of a row; text that is no transcript where there was none."""
    try:
        confidence, sent_s = row["confidence"], row["sent_s"]
        return Transcript(
            _text(row["text"]),
            int(row["upto_sample"]),
            row["final"] is True,
            row["stable"] is True,
            None if confidence is None else float(confidence),
            float(row["cpu_wait_ms"]),
            None if sent_s is None else float(sent_s),
            _text(row["language"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return str(row.get("garbage", "a damaged row"))


def part_of(row: Row) -> LlmPart | str:
    """Return the part of a model's answer of a row; text that is no part where there was none."""
    try:
        match row:
            case {"text": str(text)}:
                return Text(text, float(row.get("cpu_wait_ms", 0.0)))
            case {"tool_call": [str(id), str(name), str(arguments)]}:
                return ToolCall(id, name, arguments)
            case {"usage": dict(usage)}:
                return usage_of(usage)
            case {"progress": ["" | "thinking" | "arguments" as kind, str(text)]}:
                return Progress(kind, text)
            case {"retraction": True}:
                return Retraction()
    except (TypeError, ValueError):
        pass
    return str(row.get("garbage", "a damaged row"))


def usage_of(row: Mapping[str, Any]) -> Usage:
    """Return the usage of a row. TypeError, ValueError for what is none."""
    numbers: dict[str, Any] = {name: value for name, value in row.items() if isinstance(value, int | float)}
    return Usage(**numbers)


def speech_of(row: Row, data: bytes) -> Speech | str:
    """Return the piece of speech of a row; text that is none where there was none."""
    if "garbage" in row:
        return str(row["garbage"])
    try:
        words = tuple(Word(_text(text), float(start), float(end)) for text, start, end in row["words"])
        return Speech(np.frombuffer(data, "<i2").astype(np.int16), words, float(row["cpu_wait_ms"]))
    except (KeyError, TypeError, ValueError):
        return "a damaged row"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _number(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise
