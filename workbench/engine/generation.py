"""The generation of a reply: text from the LLM, cut into chunks, spoken by the TTS, buffered for the sink."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Literal

import numpy as np
import soxr

from workbench.engine.continuation import ModelAnswer, going_on
from workbench.engine.guard import Answer, Failures
from workbench.engine.guarded import GuardedTts
from workbench.engine.interfaces import ALIVE, Llm, LlmPart, Progress, Retraction, Text
from workbench.engine.played_text import ReplyChunk
from workbench.engine.reply import Reply, ToolInvocation
from workbench.engine.settings import EngineSettings
from workbench.engine.stages import Stages
from workbench.engine.tasks import single
from workbench.model.audio import OUTPUT_RATE, Samples, first_audible, silence
from workbench.model.conversation import Conversation, Message, ToolCall, ToolSpec, Usage
from workbench.model.errors import EmptyAnswerError, StageError, foreign
from workbench.model.events import Notice, Part, ProviderRetried, ReplyProgress, ReplyText
from workbench.model.text import plain
from workbench.text.joining import join_texts
from workbench.text.sentences import Chunker
from workbench.trace.trace import Trace

LEADING_LIMIT = OUTPUT_RATE * 5
"""Silence at the head of a reply in which its first audible sample is searched, samples."""


class ReplyGenerator:
    """Generates replies. `aside` says what a tool wants said after the end of its reply."""

    def __init__(
        self,
        stages: Stages,
        settings: EngineSettings,
        trace: Trace,
        conversation: Conversation,
        *,
        aside: Callable[[str], None],
    ) -> None:
        self._stages = stages
        self._settings = settings
        self._trace = trace
        self._conversation = conversation
        self._aside = aside

    async def answer(self, reply: Reply, messages: Sequence[Message]) -> None:
        """Have the LLM answer and the TTS speak at once; a stage that fails becomes `reply.failure`."""

        def on_first() -> None:
            if not reply.chunks:
                self._span(reply, "first_chunk", reply.first_token_ms, cpu_wait_ms=reply.cpu_wait_ms)

        await self._generate(reply, lambda chunks: self._think(reply, list(messages), chunks), on_first)

    async def say(self, reply: Reply, text: str) -> None:
        """Speak a text."""

        async def write(chunks: ChunkQueue) -> None:
            await chunks.feed(text)
            await chunks.flush()

        await self._generate(reply, write, lambda: None)

    async def _generate(
        self,
        reply: Reply,
        think: Callable[[ChunkQueue], Coroutine[Any, Any, None]],
        on_first: Callable[[], None],
    ) -> None:
        sizes, stages = self._settings.reply, self._stages
        onboard = stages.tts is not None and stages.tts.provider.onboard
        chunker = Chunker(sizes.first_chunk_chars, sizes.chunk_chars, stages.language, phrases=onboard)
        chunks = ChunkQueue(chunker, on_first, patient=onboard and stages.llm.provider.onboard)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write(reply, think(chunks), chunks))
                tasks.create_task(self._speak(reply, chunks))
        finally:
            reply.audio.finish()

    async def _write(self, reply: Reply, thinking: Coroutine[Any, Any, None], chunks: ChunkQueue) -> None:
        """Have the text written; text that was queued before a failure is still spoken."""
        try:
            await thinking
        except* StageError as group:
            error = single(group)
            assert isinstance(error, StageError)
            reply.failure = reply.failure or error
        await chunks.close()

    # --- thinking ----------------------------------------------------------------------------------------------------

    async def _think(self, reply: Reply, messages: list[Message], chunks: ChunkQueue) -> None:
        stages, most = self._stages, self._settings.reply.max_tool_steps
        for step in range(most + 1):
            tools = stages.tools.specs if step < most else ()
            prompt = await stages.hooks.before_llm(reply.turn, messages + reply.steps)
            text, calls = await self._answer(reply, prompt, tools, chunks)
            stages.hooks.after_llm(reply.turn, text, calls)
            if not calls:
                break
            if step == most:
                reason = f"the model asked for tools again after {most} rounds of them, and was not heard"
                hint = "raise [reply] max_tool_steps, or look into the tools"
                self._trace.emit(Notice("warning", "tools", reason, hint))
                break
            await self._call_tools(reply, text, calls, chunks)
        await chunks.flush()

    async def _answer(
        self, reply: Reply, prompt: Sequence[Message], tools: Sequence[ToolSpec], chunks: ChunkQueue
    ) -> tuple[str, list[ToolCall]]:
        """Return one answer of the model. One of nothing is asked for once more, and is then an error: nobody would
        know why the agent is silent."""
        llm = self._stages.llm
        try:
            return await self._stream(reply, prompt, tools, chunks)
        except EmptyAnswerError as error:
            self._trace.emit(ProviderRetried("llm", llm.name, 1, 0.0, error.reason))
        reply.failed_models = Failures()
        return await self._stream(reply, prompt, tools, chunks)

    async def _stream(
        self, reply: Reply, prompt: Sequence[Message], tools: Sequence[ToolSpec], chunks: ChunkQueue
    ) -> tuple[str, list[ToolCall]]:
        """Return one answer of the model: its text, which was queued in chunks, and its tool calls.

        One that breaks off, or is empty, is gone on with by the next model. What was queued stays said; what was not,
        and the calls, which nobody has run yet, are dropped.
        """
        llm, prefix, failures = self._stages.llm, "", reply.failed_models
        while True:
            answer = ModelAnswer(prefix)
            try:
                messages = [*prompt, *going_on(prefix)]
                await self._read(reply, llm.reply(messages, tools, failures), answer, chunks)
                if not (prefix.strip() or answer.text.strip() or answer.calls or reply.text):
                    reason = f"{answer.model} answered with neither words nor a call"
                    raise EmptyAnswerError(reason, "ask again, or choose another model", stage="llm")
            except StageError as error:
                if not answer.model or not llm.replaces(answer.model, error, failures):
                    raise
                prefix += chunks.withdraw(answer.text)
            else:
                return prefix + answer.text, answer.calls

    async def _read(
        self,
        reply: Reply,
        stream: AbstractAsyncContextManager[Answer[Llm, LlmPart]],
        answer: ModelAnswer,
        chunks: ChunkQueue,
    ) -> None:
        progress = ProgressMeter(reply, self._trace, with_text=self._settings.reply.show_thinking)
        start_ms, first = self._trace.now(), True
        async with stream as parts:
            answer.model = parts.name
            async for part in parts:
                cpu_wait_ms = part.cpu_wait_ms if isinstance(part, Text) else 0.0
                if first and part != ALIVE:
                    reply.begin_answer(self._stages.price("llm", parts.name))
                    self._span(reply, "llm_first_token", start_ms, parts.name, cpu_wait_ms)
                    first, reply.first_token_ms, reply.cpu_wait_ms = False, self._trace.now(), 0.0
                else:
                    reply.cpu_wait_ms += cpu_wait_ms
                match part:
                    case Text():
                        reply.pieces += 1
                        await chunks.feed(answer.add(part.text))
                    case Progress():
                        progress.feed(part)
                    case Retraction():
                        answer.text = ""
                        chunks.clear()
                    case ToolCall():
                        answer.calls.append(part)
                    case Usage():
                        reply.end_answer(part)
        progress.flush()

    async def _call_tools(self, reply: Reply, text: str, calls: list[ToolCall], chunks: ChunkQueue) -> None:
        """Run all tools of an answer at once, and note their results for the next step.

        Results that are there are noted also when the reply is cut meanwhile, as what a tool did is done.
        """
        invocations: list[ToolInvocation] = []
        results: dict[int, str] = {}
        interjections: list[str] = []
        is_open = True

        def answer(number: int, result: str) -> None:
            call = calls[number]
            if is_open:
                results[number] = result
            else:
                self._conversation.add(
                    Message("assistant", "", calls=(call,)),
                    Message("tool", result, call_id=call.id),
                    keep=self._settings.reply.history,
                )

        def say(words: str) -> None:
            if is_open:
                interjections.append(words)
                tasks.create_task(chunks.interject(words))
            else:
                self._aside(words)

        try:
            async with asyncio.TaskGroup() as tasks:
                for number, call in enumerate(calls):
                    invocations.append(ToolInvocation(call, reply, say, partial(answer, number)))
                    tasks.create_task(self._invoke(invocations[-1]))
        finally:
            is_open = False
            if results:
                spoken = join_texts((text, *interjections)) if interjections else text
                numbers = sorted(results)
                answered = tuple(calls[number] for number in numbers)
                reply.steps.append(Message("assistant", spoken, calls=answered))
                for number in numbers:
                    call, pictures = calls[number], tuple(invocations[number].pictures)
                    result = Message("tool", results[number], call_id=call.id, pictures=pictures)
                    reply.steps.append(result)
            starts_ms = [each.began_ms for each in invocations if each.began_ms is not None]
            if starts_ms:
                self._span(reply, "tools", min(starts_ms))

    async def _invoke(self, invocation: ToolInvocation) -> None:
        with foreign(f"the tool {plain(invocation.call.name, limit=60)}", "tools"):
            await self._stages.tools.run(invocation)

    # --- speaking ----------------------------------------------------------------------------------------------------

    async def _speak(self, reply: Reply, chunks: ChunkQueue) -> None:
        """Speak the chunks as they come; when that fails, the rest can still be read."""
        end, hooks = 0, self._stages.hooks
        while (text := await chunks.get()) is not None:
            text = await hooks.agent_text(text)
            spoken = await hooks.before_tts(reply.turn, self._stages.spoken(text))
            chunk = ReplyChunk(text, start=end, spoken_words=len(spoken.split()))
            reply.chunks.append(chunk)
            self._trace.emit(ReplyText(reply.id, reply.turn, text, spoken))
            tts = self._stages.tts
            if tts is not None and not reply.voiceless and any(map(str.isalnum, spoken)):
                await reply.may_speak.wait()
                was_lost = tts.lost
                try:
                    chunk = await self._synthesize(tts, reply, chunk, spoken, chunks.voiced)
                except StageError as error:
                    reply.written = was_lost  # by text, as before: no failure of this turn
                    reply.failure = reply.failure if was_lost else error
            chunks.voiced.set()
            end = chunk.end = chunk.start + chunk.made

    async def _synthesize(
        self, tts: GuardedTts, reply: Reply, chunk: ReplyChunk, spoken: str, voiced: asyncio.Event
    ) -> ReplyChunk:
        """Speak a chunk, and return it, or that which has the rest of it.

        Where a voice breaks off, the next one speaks the chunk anew if nothing of it was played, else its rest.
        """
        failures = reply.failed_voices
        while True:
            voice = ""
            start_ms = self._trace.now()
            try:
                async with tts.speak(spoken, failures) as pieces:
                    voice = pieces.name
                    voiced.set()
                    reply.begin_speech(self._stages.price("tts", voice), spoken)
                    first = reply.audio.ready_at is None or voice != reply.voice
                    reply.voice = voice
                    resample = TtsResampler(pieces.provider.rate)
                    async for piece in pieces:
                        if first:
                            self._span(reply, "tts_first_byte", start_ms, voice, piece.cpu_wait_ms)
                            first = False
                        chunk.words.extend(piece.words)
                        await self._append(reply, chunk, resample(piece.samples))
                await self._append(reply, chunk, resample(silence(0), last=True))
            except StageError as error:
                if not voice or not tts.replaces(voice, error, failures):
                    raise
                if reply.audio.withdraw(chunk.start):
                    reply.forget_sound(chunk)
                    continue
                chunk, lost = reply.break_off(chunk)
                spoken = await self._stages.hooks.before_tts(reply.turn, self._stages.spoken(chunk.text))
                chunk.spoken_words = len(spoken.split())
                if lost:
                    reason = f"{voice} broke off in mid-sentence: {plain(lost, 80)!r} was not said"
                    self._trace.emit(Notice("warning", "tts", reason, error.reason))
                if not any(map(str.isalnum, spoken)):
                    return chunk
            else:
                return chunk

    async def _append(self, reply: Reply, chunk: ReplyChunk, samples: Samples) -> None:
        if reply.leading is None and len(reply.head) < LEADING_LIMIT:
            known_silent = len(reply.head)
            reply.head = np.concatenate((reply.head, samples))
            reply.leading = first_audible(reply.head, OUTPUT_RATE)
            # what was pulled already counts as silent, though a block may begin before its end
            reply.audio.inaudible = (
                len(reply.head) if reply.leading is None else max(reply.leading, known_silent)
            )
            if reply.leading is not None:
                reply.head = silence(0)
        if chunk.voice_start is None and (first := first_audible(samples, OUTPUT_RATE)) is not None:
            chunk.voice_start = chunk.start + chunk.made + first
        chunk.made += len(samples)
        reply.usage += reply.speech_price.priced(Usage(tts_seconds=len(samples) / OUTPUT_RATE))
        await reply.audio.put(samples)

    def _span(
        self, reply: Reply, part: Part, start_ms: float, provider: str = "", cpu_wait_ms: float = 0.0
    ) -> None:
        span = reply.span(part, start_ms, self._trace.now(), provider)
        for each in span.with_cpu_wait(cpu_wait_ms):
            self._trace.emit(each)


class ChunkQueue:
    """Text on its way from the LLM to the TTS, cut into chunks; `on_first` is called before one that need not wait.

    A `patient` one takes no more text until the first chunk has a voice, and then one chunk ahead: the LLM is in the
    way of the TTS.
    """

    def __init__(self, chunker: Chunker, on_first: Callable[[], None], *, patient: bool) -> None:
        self._chunker = chunker
        self._on_first = on_first
        self._queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1 if patient else 8)
        self.voiced = asyncio.Event()
        """Set when the first chunk is heard, or never will be."""
        if not patient:
            self.voiced.set()

    async def feed(self, text: str) -> None:
        """Add text; chunks that are complete with it are queued."""
        for chunk in self._chunker.feed(text):
            await self._put(chunk)

    async def flush(self) -> None:
        """Queue the rest."""
        for chunk in self._chunker.flush():
            await self._put(chunk)

    def clear(self) -> None:
        """Drop all text that nobody has taken yet."""
        self._chunker.flush()
        while not self._queue.empty():
            self._queue.get_nowait()

    async def interject(self, words: str) -> None:
        """Queue words of a tool after what the model has said so far."""
        for chunk in [*self._chunker.flush(), words]:
            await self._put(f"{chunk.rstrip()} ")

    def withdraw(self, text: str) -> str:
        """Take back what of `text`, fed last, is in no chunk yet; return the beginning that is."""
        return text[: self._chunker.drop(len(text))]

    async def close(self) -> None:
        """End the queue."""
        await self._queue.put(None)

    async def get(self) -> str | None:
        """Return the next chunk, None at the end."""
        return await self._queue.get()

    async def _put(self, chunk: str) -> None:
        if self._queue.empty():
            self._on_first()
        await self._queue.put(chunk)
        await self.voiced.wait()


class ProgressMeter:
    """Says in the trace, four times a second at most, what the model works on that is not spoken."""

    PERIOD_MS = 250.0

    def __init__(self, reply: Reply, trace: Trace, *, with_text: bool) -> None:
        self._reply = reply
        self._with_text = with_text
        self._trace = trace
        self._chars = {"thinking": 0, "arguments": 0}
        self._kind: Literal["", "thinking", "arguments"] = ""
        self._text = ""
        self._is_new = False
        self._emitted_ms = -math.inf

    def feed(self, progress: Progress) -> None:
        """Count a piece."""
        if not progress.text or not progress.kind:
            return
        if progress.kind != self._kind:
            self.flush()
            self._kind, self._emitted_ms = progress.kind, -math.inf
        self._chars[progress.kind] += len(progress.text)
        if self._with_text and progress.kind == "thinking":
            self._text += progress.text
        self._is_new = True
        if self._trace.now() >= self._emitted_ms + self.PERIOD_MS:
            self.flush()

    def flush(self) -> None:
        """Say what was not said yet."""
        if self._kind and self._is_new:
            reply, self._emitted_ms = self._reply, self._trace.now()
            self._trace.emit(
                ReplyProgress(reply.id, reply.turn, self._kind, self._chars[self._kind], self._text)
            )
            self._text, self._is_new = "", False


class TtsResampler:
    """Resamples from a TTS's rate to 24 kHz, piece by piece. soxr gives back all that it holds at the last call."""

    def __init__(self, rate: int) -> None:
        self._stream = (
            None if rate == OUTPUT_RATE else soxr.ResampleStream(rate, OUTPUT_RATE, 1, dtype="int16")
        )

    def __call__(self, samples: Samples, *, last: bool = False) -> Samples:
        """Return the next samples at 24 kHz."""
        if self._stream is None:
            return samples
        return np.asarray(self._stream.resample_chunk(samples, last=last), dtype=np.int16)
