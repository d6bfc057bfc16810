"""Retries, deadlines and a circuit breaker around a provider: the one handle that a model stage is held by.

This is the one place where a provider is called, retried, or refused to be called; its exceptions become
`StageError`s. Requests take the provider as an argument, so that a handle with fallbacks could offer them another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np

from workbench.engine.interfaces import (
    Llm,
    LlmPart,
    ModelProvider,
    Progress,
    Retraction,
    Speech,
    Stt,
    Text,
    Tts,
)
from workbench.engine.loading import deadline_ms, while_loading
from workbench.engine.settings import EngineSettings, LimitSettings
from workbench.engine.tasks import beside, within
from workbench.engine.utterance import Utterance
from workbench.model.conversation import Message, ToolCall, ToolSpec, Transcript, Usage
from workbench.model.errors import (
    BusyError,
    DeadlineError,
    EndedEarlyError,
    GarbageError,
    OpenBreakerError,
    StageError,
)
from workbench.model.events import BreakerChanged, Notice, ProviderRetried, Stage
from workbench.model.text import plain
from workbench.trace.trace import Trace

CLOSE_MS = 1000.0
"""A provider has this long to close a stream, ms."""
ROUNDING_S = 1e-6
"""A clock of floats may wake this much before its time, s."""
BreakerState = Literal["closed", "open", "half_open"]
T = TypeVar("T")
P = TypeVar("P", bound=ModelProvider)


class Guarded(Generic[P]):
    """A provider of a model stage with its deadlines, retries and circuit breaker; it is held and swapped whole."""

    stage: ClassVar[Stage]

    def __init__(self, provider: P, settings: EngineSettings, trace: Trace) -> None:
        self.provider = provider
        self._settings = settings
        self._trace = trace
        self._breaker = CircuitBreaker(settings.limits)

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.provider.name

    async def warm(self) -> None:
        """Do once, within `limits.warm_ms`, what makes the first request slow."""
        await self._attempt(self.provider.warm, self._deadline_ms("warm_ms"))

    async def call(
        self,
        request: Callable[[P], Awaitable[T]],
        deadline_ms: float,
        asked: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Return the result of a request, each try within `deadline_ms`, retried where that can help.

        `asked` returns when the provider has all that it needs to answer; at once if absent.
        """
        result = await self._retry(lambda: request(self.provider), deadline_ms, asked)
        self._update(self._breaker.succeed)
        return result

    @asynccontextmanager
    async def stream(
        self,
        request: Callable[[P], AbstractAsyncContextManager[AsyncIterator[T]]],
        first_ms: float,
        gap_ms: float,
        is_valid: Callable[[T], bool] = lambda item: True,
    ) -> AsyncIterator[AsyncIterator[T]]:
        """Open a stream of items: retried until the first one is there, never after.

        The first item must come within `first_ms`, each of the next within `gap_ms`. An invalid one is a GarbageError.
        """
        stack = AsyncExitStack()
        failed = True
        error: BaseException | None = None

        async def start() -> tuple[T, AsyncIterator[T]]:
            async with AsyncExitStack() as attempt:
                source = await attempt.enter_async_context(request(self.provider))
                first = await _next(source)
                if first is _END:
                    reason = f"{self.name} answered with nothing"
                    raise EndedEarlyError(reason, "try again, or choose another model")
                self._check(first, is_valid)
                stack.push_async_exit(attempt.pop_all())
                return first, source

        async def receive() -> T:
            nonlocal failed
            try:
                item: T = await self._within(lambda: _next(source), gap_ms)
                if item is not _END:
                    self._check(item, is_valid)
                return item
            except StageError as failure:
                failed = True
                self._fail(failure, self._settings.limits.retries + 1)
                raise

        try:
            first, source = await self._retry(start, first_ms)
            failed = False
            yield _Items(first, receive)
        except BaseException as raised:
            error = raised
            raise
        finally:
            if not failed:
                self._update(self._breaker.succeed)
            await self._close(stack, error)

    def _deadline_ms(self, name: str) -> float:
        return deadline_ms(self.provider, self._settings.limits, name)

    async def _attempt(
        self,
        request: Callable[[], Awaitable[T]],
        deadline_ms: float,
        asked: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Make one try; a server that loads its model is waited for."""
        limits = self._settings.limits
        return await while_loading(
            self.provider, self.stage, limits, self._trace, lambda: self._within(request, deadline_ms), asked
        )

    async def _within(self, request: Callable[[], Awaitable[T]], deadline_ms: float) -> T:
        return await within(self.name, self.stage, request, deadline_ms)

    async def _retry(
        self,
        request: Callable[[], Awaitable[T]],
        deadline_ms: float,
        asked: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Return the result of the first try that succeeds; wait before each of the next as `_fail` says."""
        attempt = 0
        while True:
            self._admit()
            try:
                return await self._attempt(request, deadline_ms, asked)
            except StageError as error:
                attempt += 1
                wait_s = self._fail(error, attempt)
                if wait_s is None:
                    raise
                wait_ms = round(wait_s * 1000, 1)
                self._trace.emit(ProviderRetried(self.stage, self.name, attempt, wait_ms, error.reason))
            except asyncio.CancelledError:
                self._update(self._breaker.abandon)
                raise
            await asyncio.sleep(wait_s)

    def _check(self, item: T, is_valid: Callable[[T], bool]) -> None:
        if not is_valid(item):
            reason = f"{self.name} answered with what cannot be used: {plain(repr(item), limit=80)}"
            raise GarbageError(reason, f"look into {self.name}", stage=self.stage)

    async def _close(self, stack: AsyncExitStack, error: BaseException | None) -> None:
        """Close a stream; one that cannot be closed is worth a notice, not the turn."""
        kind, traceback = (type(error), error.__traceback__) if error else (None, None)
        try:
            await self._within(lambda: stack.__aexit__(kind, error, traceback), CLOSE_MS)
        except StageError as failure:
            self._trace.emit(Notice("warning", self.stage, failure.reason, failure.hint))

    def _admit(self) -> None:
        refusal = self._breaker.refusal(_now())
        if refusal is not None:
            hint = "it is tried again by itself; or choose another provider"
            raise OpenBreakerError(f"{self.name} {refusal}", hint, stage=self.stage)
        self._update(self._breaker.admit)

    def _fail(self, error: StageError, attempt: int) -> float | None:
        """Count a failure. Return the seconds to wait before the next try, None when there should be none."""
        limits, now = self._settings.limits, _now()
        wait_s = min(limits.backoff_ms * 2 ** (attempt - 1), limits.max_backoff_ms) / 1000
        if isinstance(error, BusyError) and error.retry_after is not None:
            wait_s = max(0.0, error.retry_after)
            self._breaker.hold(now, wait_s)
        state = self._update(lambda: self._breaker.fail(now))
        # a server gives loading up with the request, and would begin anew
        given_up = self.provider.loads and isinstance(error, DeadlineError)
        hopeless = (
            given_up
            or not error.retryable
            or attempt > limits.retries
            or wait_s > limits.max_backoff_ms / 1000
        )
        return None if state == "open" or hopeless else wait_s

    def _update(self, transition: Callable[[], BreakerState]) -> BreakerState:
        """Take a transition of the breaker; a change of its state is in the trace."""
        before, state = self._breaker.state, transition()
        if state != before:
            wait_ms = self._breaker.open_for_s(_now()) * 1000 if state == "open" else 0.0
            self._trace.emit(BreakerChanged(self.stage, self.name, state, round(wait_ms, 1)))
        return state


class GuardedStt(Guarded[Stt]):
    """A speech-to-text provider behind the guard."""

    stage = "stt"

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
        """Return the final transcript, at most `limits.stt_ms` after the end of the utterance."""
        stt_ms = self._deadline_ms("stt_ms")
        longest_ms = self._settings.turn.max_utterance_s * 1000 + 2 * stt_ms
        return await self.call(
            lambda stt: _transcribe(stt, utterance, eager, stt_ms),
            longest_ms,
            partial(_until_over, utterance),
        )


class GuardedLlm(Guarded[Llm]):
    """A language model behind the guard."""

    stage = "llm"

    def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> AbstractAsyncContextManager[AsyncIterator[LlmPart]]:
        """Stream an answer within `limits.llm_first_token_ms` and `limits.llm_gap_ms`."""
        first_ms, gap_ms = self._deadline_ms("llm_first_token_ms"), self._deadline_ms("llm_gap_ms")
        return self.stream(lambda llm: llm.reply(messages, tools), first_ms, gap_ms, _is_part)


class GuardedTts(Guarded[Tts]):
    """A text-to-speech provider behind the guard."""

    stage = "tts"

    def speak(self, text: str) -> AbstractAsyncContextManager[AsyncIterator[Speech]]:
        """Stream the speech of a text within `limits.tts_first_byte_ms` and `limits.tts_gap_ms`."""
        first_ms, gap_ms = self._deadline_ms("tts_first_byte_ms"), self._deadline_ms("tts_gap_ms")
        return self.stream(lambda tts: tts.speak(text), first_ms, gap_ms, _is_speech)


class CircuitBreaker:
    """When a provider may be called: a pure state machine, `now` is the loop's time in seconds.

    closed → open after `breaker_failures` in a row → half open for the first request after `breaker_ms` (the probe) →
    closed if that one succeeds, open if it fails. A 429's Retry-After is kept in every state. Transitions return the
    new state.
    """

    def __init__(self, limits: LimitSettings) -> None:
        self.state: BreakerState = "closed"
        self.failures = 0
        """In a row."""
        self._limits = limits
        self._opens_at = 0.0
        self._not_before = 0.0

    def refusal(self, now: float) -> str | None:
        """Return why the provider must not be called now, None if it may."""
        if (wait_s := self._not_before - now) > ROUNDING_S:
            return f"asked us to come back in {wait_s:.1f} s"
        if (wait_s := self._opens_at - now) > ROUNDING_S:
            return f"is not asked for another {wait_s:.1f} s after {self.failures} failures in a row"
        if self.state == "half_open":
            return f"is being probed by another request after {self.failures} failures in a row"
        return None

    def hold(self, now: float, retry_after: float) -> None:
        """Refuse requests for as long as the provider asks for, s."""
        self._not_before = max(self._not_before, now + retry_after)

    def admit(self) -> BreakerState:
        """Let a request begin."""
        if self.state == "open":
            self.state = "half_open"
        return self.state

    def fail(self, now: float) -> BreakerState:
        """Count a request that failed."""
        self.failures += 1
        if self.state == "half_open" or self.failures >= self._limits.breaker_failures:
            self.state, self._opens_at = "open", now + self._limits.breaker_ms / 1000
        return self.state

    def succeed(self) -> BreakerState:
        """Count a request that succeeded."""
        self.failures, self._opens_at, self.state = 0, 0.0, "closed"
        return self.state

    def abandon(self) -> BreakerState:
        """Forget a request that was cancelled: it proves nothing, and the next one may probe."""
        if self.state == "half_open":
            self.state = "open"
        return self.state

    def open_for_s(self, now: float) -> float:
        """Return how long the provider will not be called, s."""
        return max(0.0, self._opens_at - now, self._not_before - now)


class _Items(Generic[T]):
    """The items of a stream, the first one received. No generator: an abandoned one would be closed in a loose task."""

    def __init__(self, first: T, receive: Callable[[], Awaitable[T]]) -> None:
        self._first = [first]
        self._receive = receive

    def __aiter__(self) -> _Items[T]:
        return self

    async def __anext__(self) -> T:
        item: Any = self._first.pop() if self._first else await self._receive()
        if item is _END:
            raise StopAsyncIteration
        return item  # type: ignore[no-any-return]


_END: Any = object()


async def _next(items: AsyncIterator[T]) -> T:
    """Return the next item, or `_END`: StopAsyncIteration does not pass through a coroutine's deadline."""
    try:
        return await anext(items)
    except StopAsyncIteration:
        return _END  # type: ignore[no-any-return]


async def _transcribe(stt: Stt, utterance: Utterance, eager: bool, ms: float) -> Transcript:
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
