"""Making a reply: text from the LLM, cut into chunks, spoken by the TTS, buffered for the sink."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import soxr

from workbench.engine.chunk import Chunker
from workbench.engine.flow import Calls
from workbench.engine.heard import Chunk
from workbench.engine.knobs import EngineKnobs
from workbench.engine.playout import ReplyAudio
from workbench.engine.stages import Llm, Text, Tts
from workbench.model.audio import OUTPUT_RATE, Samples, first_audible, silence
from workbench.model.conversation import Message, ToolCall, ToolSpec, Usage
from workbench.model.errors import StageError
from workbench.model.events import Part, ReplyText, Span, ToolCalled, ToolReturned
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
    failure: StageError | None = None
    confirmed: asyncio.Event = field(default_factory=asyncio.Event)
    """The turn is decided: tools may run."""
    first_token_ms: float = 0.0
    granted_ms: float = 0.0
    """When it got the floor, on the session's clock."""
    leading: int | None = None
    """Samples before the first audible one; None while none was made."""
    head: Samples = field(default_factory=lambda: silence(0))

    @property
    def text(self) -> str:
        """All of its text so far."""
        return "".join(chunk.text for chunk in self.chunks).strip()


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
            reply.failure = error
        finally:
            reply.audio.finish()

    # --- thinking ----------------------------------------------------------------------------------------------------

    async def _think(self, reply: Reply, messages: list[Message], chunks: Chunks) -> None:
        voices, most = self.voices, self._knobs.reply.max_tool_steps
        chunker, said = self._chunker(), ""
        for step in range(most + 1):
            tools = voices.tools.specs if step < most else ()
            text, calls = await self._stream(reply, messages + reply.steps, tools, chunker, chunks)
            said += text
            if not calls:
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
            lambda: llm.reply(messages, tools), limits.llm_first_token_ms, limits.llm_gap_ms
        )
        async with stream as parts:
            first = True
            async for part in parts:
                if first:
                    self._span(reply, "llm_first_token", asked, llm.name)
                    first, reply.first_token_ms = False, self._trace.now()
                if isinstance(part, Text):
                    text += part.text
                    for chunk in chunker.feed(part.text):
                        await self._hand(reply, chunk, chunks)
                elif isinstance(part, ToolCall):
                    calls.append(part)
                else:
                    reply.usage += part
        return text, calls

    async def _call(self, reply: Reply, text: str, calls: list[ToolCall]) -> None:
        """Run the tools that the model asked for, all at once, and note their results for the next step."""
        await reply.confirmed.wait()
        began = self._trace.now()
        for call in calls:
            self._trace.emit(ToolCalled(reply.id, reply.turn, call.id, call.name, call.arguments))
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self.voices.tools.call(call)) for call in calls]
        results = [task.result() for task in running]
        for call, result in zip(calls, results, strict=True):
            self._trace.emit(ToolReturned(reply.id, reply.turn, call.id, call.name, result))
        reply.steps.append(Message("assistant", text, calls=tuple(calls)))
        reply.steps.extend(
            Message("tool", result, call_id=call.id) for call, result in zip(calls, results, strict=True)
        )
        self._span(reply, "tools", began)

    async def _hand(self, reply: Reply, text: str, chunks: Chunks) -> None:
        if not reply.chunks and chunks.empty():
            self._span(reply, "first_chunk", reply.first_token_ms)
        await chunks.put(text)

    # --- speaking ----------------------------------------------------------------------------------------------------

    async def _speak(self, reply: Reply, chunks: Chunks) -> None:
        made = 0
        while (text := await chunks.get()) is not None:
            spoken = self.voices.speakable(text)
            chunk = Chunk(text, start=made, spoken_words=len(spoken.split()))
            reply.chunks.append(chunk)
            self._trace.emit(ReplyText(reply.id, reply.turn, text, spoken))
            if self.voices.tts is not None and spoken.strip():
                await self._voice(reply, chunk, spoken)
            made = chunk.end = chunk.start + chunk.made

    async def _voice(self, reply: Reply, chunk: Chunk, spoken: str) -> None:
        tts, calls, limits = self.voices.tts, self.voices.tts_calls, self._knobs.limits
        assert tts is not None
        assert calls is not None
        asked = self._trace.now()
        first = reply.audio.ready_at is None
        resample = Resampler(tts.rate)
        stream = calls.stream(lambda: tts.speak(spoken), limits.tts_first_byte_ms, limits.tts_gap_ms)
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
