"""The one handle that a model stage is held by: its chain of providers, and the deadlines of its requests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial

import numpy as np

from workbench.engine.chain import Guarded
from workbench.engine.guard import Answer, Failures, Guard
from workbench.engine.interfaces import Llm, LlmPart, Progress, Retraction, Speech, Stt, Text, Tts
from workbench.engine.tasks import beside
from workbench.engine.utterance import Utterance
from workbench.model.conversation import Message, ToolCall, ToolSpec, Transcript, Usage
from workbench.model.errors import DeadlineError, EndedEarlyError, GarbageError, StageError, foreign
from workbench.model.text import plain

__all__ = ["Guarded", "GuardedLlm", "GuardedStt", "GuardedTts"]


class GuardedStt(Guarded[Stt]):
    """The speech-to-text providers behind the guard."""

    stage = "stt"

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
        """Return the final transcript, at most `limits.stt_ms` after the end of the utterance.

        Whoever takes over reads the utterance from its start.
        """

        async def ask(guard: Guard[Stt]) -> Transcript:
            utterance.stt = guard.name
            ms = guard.deadline_ms("stt_ms")
            request = partial(_transcribe, utterance=utterance, eager=eager, ms=ms)
            longest_ms = 2 * (self._settings.turn.max_utterance_s * 1000 + ms)
            transcript = await guard.call(request, longest_ms, partial(_until_over, utterance))
            utterance.stt = guard.name
            return transcript

        async def slow() -> float:
            await _until_over(utterance)
            return await self._slow()

        return await self._ask(ask, Failures(), slow)


class GuardedLlm(Guarded[Llm]):
    """The language models behind the guard."""

    stage = "llm"

    def reply(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        failures: Failures | None = None,
    ) -> AbstractAsyncContextManager[Answer[Llm, LlmPart]]:
        """Stream an answer within `limits.llm_first_token_ms` and `limits.llm_gap_ms`."""
        limits = "llm_first_token_ms", "llm_gap_ms"
        return self.stream(lambda llm: llm.reply(messages, tools), *limits, _is_part, failures)

    async def prepare(self, messages: Sequence[Message]) -> None:
        """Have a model on board read what the next request begins with; a failure is left to that request."""
        if self.provider.onboard:
            with suppress(StageError), foreign(self.name, "llm"):
                await self.provider.prepare(messages)


class GuardedTts(Guarded[Tts]):
    """The text-to-speech providers behind the guard."""

    stage = "tts"

    def speak(
        self, text: str, failures: Failures | None = None
    ) -> AbstractAsyncContextManager[Answer[Tts, Speech]]:
        """Stream the speech of a text within `limits.tts_first_byte_ms` and `limits.tts_gap_ms`."""
        limits = "tts_first_byte_ms", "tts_gap_ms"
        return self.stream(lambda tts: tts.speak(text), *limits, _is_speech, failures)


async def _transcribe(stt: Stt, *, utterance: Utterance, eager: bool, ms: float) -> Transcript:
    """Return the final transcript, at most `ms` after the end of the utterance."""
    deadline = asyncio.timeout(None)

    async def start_deadline() -> None:
        await _until_over(utterance)
        deadline.reschedule(_now() + ms / 1000)

    try:
        async with deadline, beside(start_deadline()):
            final = await stt.transcribe(utterance, eager=eager)
    except TimeoutError:
        if not deadline.expired():
            raise
        raise DeadlineError(
            f"{stt.name} gave no transcript within {ms:.0f} ms of the end of the utterance",
            "raise limits.stt_ms, or choose a faster model",
        ) from None
    if not isinstance(final, Transcript) or not isinstance(final.text, str):
        raise GarbageError(
            f"{stt.name} gave no transcript but {plain(repr(final), limit=80)}", f"look into {stt.name}"
        )
    if not utterance.over:
        raise EndedEarlyError(f"{stt.name} stopped before the user did", "try again, or choose another model")
    return final


async def _until_over(utterance: Utterance) -> None:
    while not utterance.over:
        await utterance.marked()


def _is_part(part: LlmPart) -> bool:
    return isinstance(part, ToolCall | Usage | Retraction) or (
        isinstance(part, Text | Progress) and isinstance(part.text, str)
    )


def _is_speech(piece: Speech) -> bool:
    return (
        isinstance(piece, Speech)
        and isinstance(piece.samples, np.ndarray)
        and piece.samples.dtype == np.int16
        and piece.samples.ndim == 1
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
