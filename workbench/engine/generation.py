"""Making a reply: text from the LLM, cut into chunks, spoken by the TTS, buffered for the sink."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import numpy as np
import soxr

from workbench.engine.interfaces import Text
from workbench.engine.played_text import ReplyChunk
from workbench.engine.reply import Reply, ToolInvocation
from workbench.engine.settings import EngineSettings
from workbench.engine.stages import Stages
from workbench.engine.tasks import single
from workbench.model.audio import OUTPUT_RATE, Samples, first_audible, silence
from workbench.model.conversation import Message, ToolCall, ToolSpec, Usage
from workbench.model.errors import StageError, foreign
from workbench.model.events import Notice, Part, ReplyText, Span
from workbench.model.text import plain
from workbench.text.sentences import Chunker
from workbench.trace.trace import Trace

Chunks = asyncio.Queue[str | None]
"""Chunks of text on their way to the TTS; None ends them."""
LEADING_LIMIT = OUTPUT_RATE * 5
"""Silence at the head of a reply in which its first audible sample is searched, samples."""


class ReplyGenerator:
    """Makes replies. `remember` takes messages that come when a reply is over, `aside` speaks a text of its own."""

    def __init__(
        self,
        stages: Stages,
        settings: EngineSettings,
        trace: Trace,
        *,
        remember: Callable[[Message, Message], None],
        aside: Callable[[str], None],
    ) -> None:
        self._stages = stages
        self._settings = settings
        self._trace = trace
        self._remember = remember
        self._aside = aside

    async def answer(self, reply: Reply, messages: Sequence[Message]) -> None:
        """Think and speak at once, until all is made; a failing stage becomes `reply.failure`."""
        await self._make(reply, lambda chunks: self._think(reply, list(messages), chunks))

    async def say(self, reply: Reply, text: str) -> None:
        """Speak a given text."""

        async def given(chunks: Chunks) -> None:
            chunker = self._chunker()
            for chunk in [*chunker.feed(text), *chunker.flush()]:
                await chunks.put(chunk)

        await self._make(reply, given)

    async def _make(self, reply: Reply, think: Callable[[Chunks], Coroutine[Any, Any, None]]) -> None:
        chunks: Chunks = asyncio.Queue(maxsize=8)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._thought(reply, think(chunks), chunks))
                tasks.create_task(self._speak(reply, chunks))
        finally:
            reply.audio.finish()

    async def _thought(self, reply: Reply, thinking: Coroutine[Any, Any, None], chunks: Chunks) -> None:
        """What was handed on before a failure is still spoken."""
        try:
            await thinking
        except* StageError as group:
            error = single(group)
            assert isinstance(error, StageError)
            reply.failure = reply.failure or error
        await chunks.put(None)

    # --- thinking ----------------------------------------------------------------------------------------------------

    async def _think(self, reply: Reply, messages: list[Message], chunks: Chunks) -> None:
        stages, most = self._stages, self._settings.reply.max_tool_steps
        chunker = self._chunker()
        for step in range(most + 1):
            tools = stages.tools.specs if step < most else ()
            asked = await stages.hooks.before_llm(reply.turn, messages + reply.steps)
            text, calls = await self._stream(reply, asked, tools, chunker, chunks)
            stages.hooks.after_llm(reply.turn, text, calls)
            if not calls or step == most:
                self._refuse(calls)
                break
            await self._call(reply, text, calls, chunker, chunks)
        for chunk in chunker.flush():
            await self._hand(reply, chunk, chunks)

    def _refuse(self, calls: Sequence[ToolCall]) -> None:
        if calls:
            most = self._settings.reply.max_tool_steps
            reason = f"the model asked for tools again after {most} rounds of them, and was not heard"
            self._trace.emit(
                Notice("warning", "tools", reason, "raise [reply] max_tool_steps, or look into the tools")
            )

    async def _stream(
        self,
        reply: Reply,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        chunker: Chunker,
        chunks: Chunks,
    ) -> tuple[str, list[ToolCall]]:
        """One answer of the model: its text, handed on in chunks, and the tools that it asks for."""
        llm, text = self._stages.llm, ""
        calls: list[ToolCall] = []
        asked = self._trace.now()
        async with llm.reply(messages, tools) as parts:
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

    async def _call(
        self, reply: Reply, text: str, calls: list[ToolCall], chunker: Chunker, chunks: Chunks
    ) -> None:
        """Run the tools that the model asked for, all at once, and note their results for the next step: those that
        there are also when the reply is cut meanwhile, as what a tool did is done."""
        invocations: list[ToolInvocation] = []
        results: dict[int, str] = {}
        said: list[str] = []
        is_open = True

        def answered(number: int, result: str) -> None:
            call = calls[number]
            if is_open:
                results[number] = result
            else:
                self._remember(
                    Message("assistant", "", calls=(call,)), Message("tool", result, call_id=call.id)
                )

        def say(words: str) -> None:
            if is_open:
                said.append(words)
                tasks.create_task(self._say_now(reply, words, chunker, chunks))
            else:
                self._aside(words)

        try:
            async with asyncio.TaskGroup() as tasks:
                invocations += [
                    ToolInvocation(call, reply, say, partial(answered, number))
                    for number, call in enumerate(calls)
                ]
                for invocation in invocations:
                    tasks.create_task(self._run(invocation))
        finally:
            is_open = False
            done = [(calls[number], results[number]) for number in sorted(results)]
            if done:
                spoken = " ".join([text.rstrip(), *said]) if said else text
                reply.steps.append(Message("assistant", spoken, calls=tuple(call for call, _ in done)))
                reply.steps.extend(
                    Message(
                        "tool",
                        results[number],
                        call_id=invocation.call.id,
                        pictures=tuple(invocation.pictures),
                    )
                    for number, invocation in enumerate(invocations)
                    if number in results
                )
            began = [each.began_ms for each in invocations if each.began_ms is not None]
            if began:
                self._span(reply, "tools", min(began))

    async def _run(self, invocation: ToolInvocation) -> None:
        with foreign(f"the tool {plain(invocation.call.name, limit=60)}", "tools"):
            await self._stages.tools.run(invocation)

    async def _say_now(self, reply: Reply, words: str, chunker: Chunker, chunks: Chunks) -> None:
        """After what the model has said so far."""
        for chunk in [*chunker.flush(), words]:
            await self._hand(reply, f"{chunk.rstrip()} ", chunks)

    async def _hand(self, reply: Reply, text: str, chunks: Chunks) -> None:
        if not reply.chunks and chunks.empty():
            self._span(reply, "first_chunk", reply.first_token_ms)
        await chunks.put(text)

    # --- speaking ----------------------------------------------------------------------------------------------------

    async def _speak(self, reply: Reply, chunks: Chunks) -> None:
        """Voice the chunks as they come; when that fails, the rest can still be read."""
        made, hooks = 0, self._stages.hooks
        while (text := await chunks.get()) is not None:
            text = await hooks.agent_text(text)
            spoken = await hooks.before_tts(reply.turn, self._stages.speakable(text))
            chunk = ReplyChunk(text, start=made, spoken_words=len(spoken.split()))
            reply.chunks.append(chunk)
            self._trace.emit(ReplyText(reply.id, reply.turn, text, spoken))
            if self._stages.tts is not None and not reply.voiceless and any(map(str.isalnum, spoken)):
                try:
                    await self._voice(reply, chunk, spoken)
                except StageError as error:
                    reply.failure = error
            made = chunk.end = chunk.start + chunk.made

    async def _voice(self, reply: Reply, chunk: ReplyChunk, spoken: str) -> None:
        tts = self._stages.tts
        assert tts is not None
        asked = self._trace.now()
        first = reply.audio.ready_at is None
        resample = Resampler(tts.provider.rate)
        async with tts.speak(spoken) as pieces:
            async for piece in pieces:
                if first:
                    self._span(reply, "tts_first_byte", asked, tts.name)
                    first = False
                chunk.words.extend(piece.words)
                await self._append(reply, chunk, resample(piece.samples))
        await self._append(reply, chunk, resample(silence(0), last=True))

    async def _append(self, reply: Reply, chunk: ReplyChunk, samples: Samples) -> None:
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
        return Chunker(self._settings.reply.first_chunk_chars, self._settings.reply.chunk_chars)

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
