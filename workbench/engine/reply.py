"""Making a reply: text from the LLM, cut into chunks, spoken by the TTS, buffered for the sink."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import soxr

from workbench.engine.buffer import ReplyAudio
from workbench.engine.chunk import Chunker
from workbench.engine.flow import Calls, within
from workbench.engine.heard import Chunk
from workbench.engine.knobs import EngineKnobs
from workbench.engine.stages import Llm, LlmPart, Speech, Text, Tts
from workbench.model.audio import OUTPUT_RATE, Samples, first_audible, silence
from workbench.model.conversation import Message, ToolCall, ToolSpec, Usage
from workbench.model.errors import GarbageError, StageError
from workbench.model.events import Part, ReplyText, Span, ToolCalled, ToolReturned
from workbench.model.text import plain
from workbench.trace.bus import Trace

Chunks = asyncio.Queue[str | None]
"""Chunks of text on their way to the TTS; None ends them."""
LEADING_LIMIT = OUTPUT_RATE * 5
"""Silence at the head of a reply in which its first audible sample is searched, samples."""


class ToolRunner(Protocol):
    """What runs the tools that a model asks for."""

    specs: Sequence[ToolSpec]

    async def call(self, call: ToolCall) -> str:
        """The result, as the model will read it. A StageError ends the turn."""


class NoTools:
    """An agent without tools."""

    specs: Sequence[ToolSpec] = ()

    async def call(self, call: ToolCall) -> str:
        """Tell the model that there are none."""
        return f"There is no tool called {call.name!r}."


@dataclass(slots=True)
class Reply:
    """One answer, from its first token to the last sample that was heard of it."""

    id: int
    said: str
    audio: ReplyAudio
    utterance: int | None = None
    turn: int | None = None
    history: int = 0
    """Version of the conversation that it was made on."""
    started_at: float = 0.0
    """Loop time, s."""
    chunks: list[Chunk] = field(default_factory=list)
    steps: list[Message] = field(default_factory=list)
    """Tool calls and their results."""
    usage: Usage = field(default_factory=Usage)
    pieces: int = 0
    """Of text, from the model."""
    failure: StageError | None = None
    confirmed: asyncio.Event = field(default_factory=asyncio.Event)
    """The turn is decided: tools may run."""
    first_token_ms: float = 0.0
    ready_ms: float = 0.0
    """When there was something to play, on the session's clock."""
    granted_ms: float = 0.0
    """When it got the floor."""
    leading: int | None = None
    """Samples before the first audible one; None while none was made."""
    head: Samples = field(default_factory=lambda: silence(0))

    @property
    def text(self) -> str:
        """All of its text so far."""
        return "".join(chunk.text for chunk in self.chunks).strip()

    @property
    def cost(self) -> Usage:
        """Its usage; as long as the model has not told it, a token for each piece of text."""
        told = self.usage.input_tokens or self.usage.output_tokens
        return self.usage if told else self.usage + Usage(output_tokens=self.pieces)

    @property
    def voiceless(self) -> bool:
        """It can only be read: the TTS failed."""
        return self.failure is not None and self.failure.stage == "tts"


@dataclass(slots=True)
class Voices:
    """The providers that make replies, each with its deadlines and its breaker; replaced when swapped."""

    llm: Llm
    llm_calls: Calls
    tts: Tts | None
    tts_calls: Calls | None
    tools: ToolRunner
    speakable: Callable[[str], str]


class Maker:
    """Makes replies. `now` is the session's clock in ms."""

    def __init__(self, voices: Voices, knobs: EngineKnobs, trace: Trace) -> None:
        self.voices = voices
        self._knobs = knobs
        self._trace = trace

    async def answer(self, reply: Reply, messages: Sequence[Message]) -> None:
        """Think and speak at once, until all is made; a failing stage becomes `reply.failure`."""
        await self._make(reply, lambda chunks: self._think(reply, list(messages), chunks))

    async def say(self, reply: Reply, text: str) -> None:
        """Speak a given text."""

        async def given(chunks: Chunks) -> None:
            chunker = self._chunker()
            for chunk in [*chunker.feed(text), *chunker.flush()]:
                await chunks.put(chunk)
            await chunks.put(None)

        await self._make(reply, given)

    async def _make(self, reply: Reply, think: Callable[[Chunks], Coroutine[Any, Any, None]]) -> None:
        chunks: Chunks = asyncio.Queue(maxsize=8)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(think(chunks))
                tasks.create_task(self._speak(reply, chunks))
        except* StageError as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            assert isinstance(error, StageError)
            reply.failure = reply.failure or error
        finally:
            reply.audio.finish()

    # --- thinking ----------------------------------------------------------------------------------------------------

    async def _think(self, reply: Reply, messages: list[Message], chunks: Chunks) -> None:
        voices, most = self.voices, self._knobs.reply.max_tool_steps
        chunker = self._chunker()
        for step in range(most + 1):
            tools = voices.tools.specs if step < most else ()
            text, calls = await self._stream(reply, messages + reply.steps, tools, chunker, chunks)
            if not calls or step == most:
                break
            await self._call(reply, text, calls)
        for chunk in chunker.flush():
            await self._hand(reply, chunk, chunks)
        await chunks.put(None)

    async def _stream(
        self,
        reply: Reply,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        chunker: Chunker,
        chunks: Chunks,
    ) -> tuple[str, list[ToolCall]]:
        """One answer of the model: its text, handed on in chunks, and the tools that it asks for."""
        llm, limits, text = self.voices.llm, self._knobs.limits, ""
        calls: list[ToolCall] = []
        asked = self._trace.now()
        stream = self.voices.llm_calls.stream(
            lambda: llm.reply(messages, tools), limits.llm_first_token_ms, limits.llm_gap_ms, _is_part
        )
        async with stream as parts:
            first = True
            async for part in parts:
                if first:
                    self._span(reply, "llm_first_token", asked, llm.name)
                    first, reply.first_token_ms = False, self._trace.now()
                if isinstance(part, Text):
                    text += part.text
                    reply.pieces += 1
                    for chunk in chunker.feed(part.text):
                        await self._hand(reply, chunk, chunks)
                elif isinstance(part, ToolCall):
                    calls.append(part)
                else:
                    reply.usage += part
        return text, calls

    async def _call(self, reply: Reply, text: str, calls: list[ToolCall]) -> None:
        """Run the tools that the model asked for, all at once, and note their results for the next step: those that
        there are also when the reply is cut meanwhile, as what a tool did is done."""
        await reply.confirmed.wait()
        began = self._trace.now()
        results: dict[int, str] = {}
        try:
            async with asyncio.TaskGroup() as tasks:
                for number, call in enumerate(calls):
                    tasks.create_task(self._run(reply, call, number, results))
        finally:
            done = [(calls[number], results[number]) for number in sorted(results)]
            if done:
                reply.steps.append(Message("assistant", text, calls=tuple(call for call, _ in done)))
                reply.steps.extend(Message("tool", result, call_id=call.id) for call, result in done)
            self._span(reply, "tools", began)

    async def _run(self, reply: Reply, call: ToolCall, number: int, results: dict[int, str]) -> None:
        who, tools = f"the tool {plain(call.name, limit=60)}", self.voices.tools
        self._trace.emit(ToolCalled(reply.id, reply.turn, call.id, call.name, call.arguments))
        try:
            result = await within(who, "tools", lambda: tools.call(call), self._knobs.limits.tool_ms)
            if not isinstance(result, str):
                raise GarbageError(f"{who} gave no text", "return a string", stage="tools")
        except StageError as error:
            self._trace.emit(ToolReturned(reply.id, reply.turn, call.id, call.name, "", error.reason))
            raise
        results[number] = result
        self._trace.emit(ToolReturned(reply.id, reply.turn, call.id, call.name, result))

    async def _hand(self, reply: Reply, text: str, chunks: Chunks) -> None:
        if not reply.chunks and chunks.empty():
            self._span(reply, "first_chunk", reply.first_token_ms)
        await chunks.put(text)

    # --- speaking ----------------------------------------------------------------------------------------------------

    async def _speak(self, reply: Reply, chunks: Chunks) -> None:
        """Voice the chunks as they come; when that fails, the rest can still be read."""
        made = 0
        while (text := await chunks.get()) is not None:
            spoken = self.voices.speakable(text)
            chunk = Chunk(text, start=made, spoken_words=len(spoken.split()))
            reply.chunks.append(chunk)
            self._trace.emit(ReplyText(reply.id, reply.turn, text, spoken))
            if self.voices.tts is not None and reply.failure is None and any(map(str.isalnum, spoken)):
                try:
                    await self._voice(reply, chunk, spoken)
                except StageError as error:
                    reply.failure = error
            made = chunk.end = chunk.start + chunk.made

    async def _voice(self, reply: Reply, chunk: Chunk, spoken: str) -> None:
        tts, calls, limits = self.voices.tts, self.voices.tts_calls, self._knobs.limits
        assert tts is not None
        assert calls is not None
        asked = self._trace.now()
        first = reply.audio.ready_at is None
        resample = Resampler(tts.rate)
        stream = calls.stream(
            lambda: tts.speak(spoken), limits.tts_first_byte_ms, limits.tts_gap_ms, _is_speech
        )
        async with stream as pieces:
            async for piece in pieces:
                if first:
                    self._span(reply, "tts_first_byte", asked, tts.name)
                    first = False
                chunk.words.extend(piece.words)
                await self._append(reply, chunk, resample(piece.samples))
        await self._append(reply, chunk, resample(silence(0), last=True))

    async def _append(self, reply: Reply, chunk: Chunk, samples: Samples) -> None:
        if reply.leading is None and len(reply.head) < LEADING_LIMIT:
            reply.head = np.concatenate((reply.head, samples))
            reply.leading = first_audible(reply.head, OUTPUT_RATE)
            if reply.leading is not None:
                reply.head = silence(0)
        if chunk.voice_start is None and (heard := first_audible(samples, OUTPUT_RATE)) is not None:
            chunk.voice_start = chunk.start + chunk.made + heard
        chunk.made += len(samples)
        reply.usage += Usage(tts_seconds=len(samples) / OUTPUT_RATE)
        await reply.audio.put(samples)

    # --- small things ------------------------------------------------------------------------------------------------

    def _chunker(self) -> Chunker:
        return Chunker(self._knobs.reply.first_chunk_chars, self._knobs.reply.chunk_chars)

    def _span(self, reply: Reply, part: Part, start_ms: float, provider: str = "") -> None:
        self._trace.emit(
            Span(
                part,
                round(start_ms, 3),
                round(self._trace.now(), 3),
                reply=reply.id,
                utterance=reply.utterance,
                turn=reply.turn,
                provider=provider,
            )
        )


def _is_part(part: LlmPart) -> bool:
    return isinstance(part, ToolCall | Usage) or (isinstance(part, Text) and isinstance(part.text, str))


def _is_speech(piece: Speech) -> bool:
    return (
        isinstance(piece, Speech)
        and isinstance(piece.samples, np.ndarray)
        and piece.samples.dtype == np.int16
        and piece.samples.ndim == 1
    )


class Resampler:
    """From a TTS's rate to 24 kHz, piece by piece. soxr gives back all that it holds at the last call."""

    def __init__(self, rate: int) -> None:
        self._stream = (
            None if rate == OUTPUT_RATE else soxr.ResampleStream(rate, OUTPUT_RATE, 1, dtype="int16")
        )

    def __call__(self, samples: Samples, *, last: bool = False) -> Samples:
        """The next samples at 24 kHz."""
        if self._stream is None:
            return samples
        return np.asarray(self._stream.resample_chunk(samples, last=last), dtype=np.int16)
