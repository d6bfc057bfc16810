"""Providers that follow a script: no model, known words, exact delays, and faults on demand.

    stt = ScriptedStt(score, partials=True)                    # knows the words of the score by time
    llm = ScriptedLlm(["Hello.", ["Let me see. ", ToolCall("1", "weather", "{}")]], first_token_ms=300)
    tts = ScriptedTts(first_byte_ms=150, faults={2: Hangs()})  # the second call hangs

Every wait is `asyncio.sleep` on the loop's clock. Faults are by number of call from 1; call 0 is the warm-up.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from workbench.engine.interfaces import Llm, LlmPart, Progress, Retraction, Speech, Stt, Text, Tts
from workbench.engine.utterance import Utterance
from workbench.model.audio import BLOCK_MS, INPUT_RATE, OUTPUT_RATE, Samples, audible_blocks, silence
from workbench.model.conversation import Message, ToolCall, ToolSpec, Transcript, Usage, Word
from workbench.model.errors import StageError
from workbench.plugin.values import ProviderOptions
from workbench.simulation.script import Script
from workbench.simulation.synthesis import SECONDS_PER_CHARACTER, Score, Spoken, agent_voice

WORD_MS = 250.0
"""How long a word takes to say, where no score knows."""
AUDIBLE_MS = 200.0
"""Sound that an utterance must hold to use up a text of the script, ms."""
GRACE = INPUT_RATE // 10
"""Samples by which an utterance may end before its last word and still hold it."""
PIECE_S = 0.2
"""Length of a piece of speech, s."""
GARBAGE = "\x1b[2J\x1b]0;owned\x07\u202e drowssap \u0000\ufffd\x9b31m"
"""Hostile text: terminal escapes, a right-to-left override, control characters."""


# --- faults ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Raises:
    """The call raises `error` after `after` pieces."""

    error: Exception = field(default_factory=lambda: StageError("this call fails by script"))
    after: int = 0


@dataclass(frozen=True, slots=True)
class Hangs:
    """The call gives `after` pieces and then hangs for ever."""

    after: int = 0


@dataclass(frozen=True, slots=True)
class Slow:
    """The call takes `ms` longer to give its first piece."""

    ms: float


@dataclass(frozen=True, slots=True)
class EndsEarly:
    """The call ends without an error after half of its pieces."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """The call gives nonsense: terminal escapes as text, an unknown tool, noise and empty pieces as speech."""


Fault = Raises | Hangs | Slow | EndsEarly | Garbage
Faults = Mapping[int, Fault] | Fault | None
"""By number of call, or the same for all calls (not for the warm-up)."""


class _Scripted:
    """The base of scripted providers: a name, counted calls, faults."""

    def __init__(self, name: str, first_ms: float, faults: Faults) -> None:
        self.name = name
        self.calls = 0
        """Calls so far."""
        self.active = 0
        """Calls that are not over."""
        self._first_ms = first_ms
        self._faults = faults

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def warm(self) -> None:
        """Make call 0."""
        if isinstance(self._faults, Mapping):
            await self._begin(self._faults.get(0), 0.0)

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[Fault | None]:
        self.calls += 1
        self.active += 1
        try:
            faults = self._faults
            yield faults.get(self.calls) if isinstance(faults, Mapping) else faults
        finally:
            self.active -= 1

    async def _begin(self, fault: Fault | None, wait_ms: float) -> None:
        """Wait for the first piece, and longer where the fault says so."""
        wait_ms += fault.ms if isinstance(fault, Slow) else 0.0
        if wait_ms > 0:
            await asyncio.sleep(wait_ms / 1000)
        await _fail(fault, 0)


async def _fail(fault: Fault | None, pieces: int) -> None:
    """Raise or hang if that is due after so many pieces."""
    if isinstance(fault, Raises | Hangs) and fault.after == pieces:
        if isinstance(fault, Raises):
            raise fault.error.with_traceback(None)
        await asyncio.get_running_loop().create_future()


# --- speech to text --------------------------------------------------------------------------------------------------

Says = Callable[[Utterance], str]


class ScriptedStt(_Scripted, Stt):
    """Knows the words of each utterance: from a `Score` by time, from a list round and round, or by a function.

    A text of a list is used up by an utterance that holds 200 ms of audible sound; a quieter one is empty. `delay_ms`
    passes between a word, or the end of speech, and its text. With `partials`, words are written while the user speaks.
    The text is stable when speech pauses, and where a score knows it, with the last word of a line: such an STT
    is final with the last word.
    """

    def __init__(
        self,
        says: Sequence[str] | Score | Says,
        *,
        delay_ms: float = 0.0,
        partials: bool = False,
        confidence: float = 0.95,
        faults: Faults = None,
        name: str = "scripted",
    ) -> None:
        super().__init__(name, delay_ms, faults)
        self.partials = partials
        self._confidence = confidence
        self._says = says
        self._words = _Words(says) if isinstance(says, Score) else None
        self._used = 0
        self._known: dict[int, str] = {}

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
        """See `workbench.engine.interfaces.Stt`."""
        async with self._call() as fault:
            await _fail(fault, 0)
            while not utterance.over and not isinstance(fault, EndsEarly):
                if utterance.state == "paused" and (eager or self.partials):
                    await self._settle(utterance)
                elif self.partials:
                    self._write(utterance, *self._so_far(utterance))
                if not utterance.over:
                    await utterance.changed()
            latest = utterance.transcript
            if not (latest and latest.stable and latest.upto_sample >= utterance.speech_end):
                await self._begin(fault, self._first_ms)
            return self._final(utterance, fault)

    async def _settle(self, utterance: Utterance) -> None:
        """Write all words so far when the delay has passed, unless the user went on meanwhile."""
        latest, upto = utterance.transcript, utterance.speech_end
        if latest and latest.stable and latest.upto_sample >= upto:
            return
        if self._first_ms > 0:
            await asyncio.sleep(self._first_ms / 1000)
        if utterance.speech_end == upto and utterance.state == "paused":
            self._write(utterance, self._text(utterance), True, utterance.end)

    def _write(self, utterance: Utterance, text: str, stable: bool, upto: int) -> None:
        latest = utterance.transcript
        if not stable and (not text or (latest and latest.text.startswith(text))):
            return
        if utterance.state == "speaking" and latest and (latest.text, latest.stable) == (text, stable):
            return
        utterance.write(Transcript(text, upto, stable=stable, confidence=self._confidence))

    def _final(self, utterance: Utterance, fault: Fault | None) -> Transcript:
        text = self._text(utterance)
        if isinstance(fault, EndsEarly):
            text = " ".join(text.split()[: len(text.split()) // 2])
        if isinstance(fault, Garbage):
            return Transcript(GARBAGE, -1, final=True, confidence=float("nan"))
        confidence = self._confidence if text else 0.0
        return Transcript(text, utterance.end, final=True, stable=True, confidence=confidence)

    def _so_far(self, utterance: Utterance) -> tuple[str, bool, int]:
        """Return the words that ended `delay_ms` ago, whether none is half spoken, and up to which position."""
        known = utterance.end - round(self._first_ms * INPUT_RATE / 1000)
        if self._words:
            text = self._words.said(utterance.start_sample, known)
            return text, bool(text) and self._words.complete(known), known
        count = int((known - utterance.start_sample) / (WORD_MS * INPUT_RATE / 1000))
        return " ".join(self._text(utterance).split()[:count]) if count > 0 else "", False, known

    def _text(self, utterance: Utterance) -> str:
        if utterance.typed is not None:
            return utterance.typed
        if self._words:
            return self._words.said(utterance.start_sample, utterance.end + GRACE)
        if utterance.id not in self._known:
            text = self._next_text(utterance)
            if text is None:
                return ""
            self._known[utterance.id] = text
        if len(self._known) > 16:  # the text of an old utterance is never needed again
            del self._known[next(iter(self._known))]
        return self._known[utterance.id]

    def _next_text(self, utterance: Utterance) -> str | None:
        if callable(self._says):
            return self._says(utterance)
        assert not isinstance(self._says, Score)
        if not self._says or not _audible(utterance):
            return None
        self._used += 1
        return self._says[(self._used - 1) % len(self._says)]


class _Words:
    """The words of a score by time."""

    def __init__(self, score: Score) -> None:
        self._words = sorted(
            (word for note in score.spoken for word in note.words()), key=lambda word: word.start
        )
        self._starts = [word.start for word in self._words]
        self._notes = sorted((note.start, note.end) for note in score.spoken)

    def said(self, start: int, upto: int) -> str:
        """Return the words mostly spoken after `start` that ended before `upto`."""
        first = max(0, bisect_left(self._starts, start) - 1)
        words = self._words[first : bisect_left(self._starts, upto)]
        return " ".join(
            word.text for word in words if 2 * start <= word.start + word.end and word.end <= upto
        )

    def complete(self, upto: int) -> bool:
        """Return whether no line was half spoken at `upto`."""
        begun = bisect_left(self._notes, (upto,))
        return begun > 0 and self._notes[begun - 1][1] <= upto


def _audible(utterance: Utterance) -> bool:
    blocks = audible_blocks(utterance.audio(), INPUT_RATE, -np.inf)
    return len(blocks) * BLOCK_MS >= AUDIBLE_MS


# --- language model --------------------------------------------------------------------------------------------------

Answer = str | Sequence[str | ToolCall | Usage | Progress | Retraction]
"""A text, streamed word by word; or pieces of text, tool calls and usage in their order."""
Answers = Sequence[Answer] | Callable[[Sequence[Message]], Answer]


class ScriptedLlm(_Scripted, Llm):
    """Answers from a list (round and round), or by a function of the messages.

    The list goes on when the *history* has: a second attempt at the same moment of a conversation gets the same answer,
    so that neither retries nor speculation disturb a script. `{said}` in a text stands for the user's last words.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        first_token_ms: float = 0.0,
        token_ms: float = 0.0,
        faults: Faults = None,
        name: str = "scripted",
    ) -> None:
        super().__init__(name, first_token_ms, faults)
        self.prompts: deque[tuple[Message, ...]] = deque(maxlen=64)
        """Messages of the last calls."""
        self._answers = answers
        self._token_ms = token_ms
        self._at = -1
        self._history: tuple[Message, ...] | None = None

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> AsyncIterator[AsyncIterator[LlmPart]]:
        """See `workbench.engine.interfaces.Llm`."""
        async with self._call() as fault:
            self.prompts.append(tuple(messages))
            async with aclosing(self._stream(_parts(self._answer(messages), messages), fault)) as parts:
                yield parts

    async def _stream(self, parts: list[LlmPart], fault: Fault | None) -> AsyncGenerator[LlmPart]:
        await self._begin(fault, self._first_ms)
        if isinstance(fault, Garbage):
            parts = [Text(GARBAGE), ToolCall("", "no_such_tool", '{"broken": ')]
        if isinstance(fault, EndsEarly):
            parts = parts[: (len(parts) - 1) // 2]
        for number, part in enumerate(parts):
            if number:
                if self._token_ms > 0:
                    await asyncio.sleep(self._token_ms / 1000)
                await _fail(fault, number)
            yield part

    def _answer(self, messages: Sequence[Message]) -> Answer:
        if callable(self._answers):
            return self._answers(messages)
        history = tuple(messages[:-1] if messages and messages[-1].role == "user" else messages)
        if history != self._history:
            self._history = history
            self._at += 1
        return self._answers[self._at % len(self._answers)] if self._answers else ""


def _parts(answer: Answer, messages: Sequence[Message]) -> list[LlmPart]:
    """Return the parts of an answer, with its usage at the end."""
    said = next((message.text for message in reversed(messages) if message.role == "user"), "")
    parts: list[LlmPart] = []
    for piece in [answer] if isinstance(answer, str) else answer:
        parts.extend(map(Text, _tokens(piece.replace("{said}", said))) if isinstance(piece, str) else [piece])
    if any(isinstance(part, Usage) for part in parts):
        return parts
    words = sum(len(message.text.split()) for message in messages)
    return [*parts, Usage(words, sum(isinstance(part, Text) for part in parts))]


def _tokens(text: str) -> Iterator[str]:
    """Yield words with the space before them."""
    for number, word in enumerate(text.split(" ") if text else ()):
        yield f" {word}" if number else word


# --- text to speech --------------------------------------------------------------------------------------------------


class ScriptedTts(_Scripted, Tts):
    """Speaks a voice without words, 60 ms a character, in pieces of 0.2 s.

    `realtime_factor` is how long a second of speech takes to make, s; `leading_silence_ms` precedes each call's sound;
    `words` gives the time of each word.
    """

    def __init__(
        self,
        *,
        first_byte_ms: float = 0.0,
        rate: int = OUTPUT_RATE,
        realtime_factor: float = 0.0,
        leading_silence_ms: float = 0.0,
        words: bool = True,
        faults: Faults = None,
        name: str = "scripted",
    ) -> None:
        super().__init__(name, first_byte_ms, faults)
        self.rate = rate
        self._realtime_factor = realtime_factor
        self._leading = round(leading_silence_ms * rate / 1000)
        self._words = words

    @asynccontextmanager
    async def speak(self, text: str) -> AsyncIterator[AsyncIterator[Speech]]:
        """See `workbench.engine.interfaces.Tts`."""
        async with self._call() as fault, aclosing(self._stream(text, fault)) as pieces:
            yield pieces

    def sound(self, text: str) -> Samples:
        """Return all speech of `speak(text)`, shape (n,)."""
        if not text.strip():
            return silence(0)
        voice = agent_voice(self.rate)
        count = round(len(text) * SECONDS_PER_CHARACTER * self.rate)
        spoken = np.resize(voice, count)
        edge = min(count, self.rate // 250)
        spoken[count - edge :] = (spoken[count - edge :] * np.linspace(1, 0.2, edge)).astype(np.int16)
        return np.concatenate([silence(self._leading), spoken])

    def word_times(self, text: str) -> list[Word]:
        """Return the time of each word of `speak(text)`."""
        lead, a_character = self._leading * 1000 / self.rate, SECONDS_PER_CHARACTER * 1000
        words, at = [], 0
        for word in text.split():
            at = text.index(word, at)
            words.append(Word(word, lead + at * a_character, lead + (at + len(word)) * a_character))
            at += len(word)
        return words

    async def _stream(self, text: str, fault: Fault | None) -> AsyncGenerator[Speech]:
        await self._begin(fault, self._first_ms)
        sound = self.sound(text)
        if isinstance(fault, Garbage):
            yield Speech(silence(0))
            noise = np.random.default_rng(0).bytes(2 * len(sound))
            sound = np.frombuffer(noise, dtype=np.int16)
        words = deque(self.word_times(text) if self._words else ())
        piece = round(PIECE_S * self.rate)
        stop = len(sound) // 2 if isinstance(fault, EndsEarly) else len(sound)
        for number, start in enumerate(range(0, stop, piece)):
            if number:
                await _fail(fault, number)
            end = min(start + piece, stop)
            if self._realtime_factor > 0:
                await asyncio.sleep((end - start) / self.rate * self._realtime_factor)
            spoken = []
            while words and words[0].start_ms * self.rate < end * 1000:
                spoken.append(words.popleft())
            yield Speech(sound[start:end], tuple(spoken))


# --- as providers of the profile `scripted` --------------------------------------------------------------------------


def make_stt(options: ProviderOptions) -> ScriptedStt:
    """Make the STT of `[script]`: the texts of `user` in turn, or those of a score by their time."""
    script = Script.of(options.script)
    says: Sequence[str] | Score = script.user
    if script.spoken is not None:
        says = Score()
        says.spoken = [Spoken(*line) for line in script.spoken]
    return ScriptedStt(says, delay_ms=script.stt_ms, partials=script.partials)


def make_llm(options: ProviderOptions) -> ScriptedLlm:
    """Make the LLM of `[script]`: the tools of `choose`, the `answers` to what was said, else `agent` in turn."""
    script = Script.of(options.script)
    answers: Answers = script.answer if script.choose or script.answers is not None else script.agent
    return ScriptedLlm(answers, first_token_ms=script.first_token_ms, token_ms=script.token_ms)


def make_tts(options: ProviderOptions) -> ScriptedTts:
    """Make the TTS of `[script]`: a voice without words."""
    script = Script.of(options.script)
    return ScriptedTts(first_byte_ms=script.first_byte_ms, leading_silence_ms=script.leading_silence_ms)
