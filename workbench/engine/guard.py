"""One provider with its deadlines and its circuit breaker: the one place where a provider is called.

Each call here is one try; what it raises becomes a `StageError`, and counts for the breaker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Generic, TypeVar

from workbench.engine.breaker import BreakerState, CircuitBreaker
from workbench.engine.interfaces import ModelProvider
from workbench.engine.loading import deadline_ms, while_loading
from workbench.engine.settings import LimitSettings
from workbench.engine.tasks import within
from workbench.model.errors import (
    BusyError,
    DeadlineError,
    EndedEarlyError,
    GarbageError,
    OpenBreakerError,
    StageError,
)
from workbench.model.events import BreakerChanged, ModelLoading, Notice, Stage
from workbench.model.text import plain
from workbench.trace.trace import Trace

CLOSE_MS = 1000.0
"""A provider has this long to close a stream, ms."""
T = TypeVar("T")
P = TypeVar("P", bound=ModelProvider)


class Failures(dict[str, StageError]):
    """Why providers are not asked (again) for an answer, by name: of one request, or of all of a reply."""

    last: str | None = None
    """Who is to be replaced, until somebody is asked in its place."""
    pardoned: bool = False
    """Those who failed are asked once more where nobody else is left; that was done."""

    def note(self, name: str, error: StageError) -> None:
        """Note who failed, and why."""
        self[name], self.last = error, name


class Guard(Generic[P]):
    """A provider, called `name` in the trace, behind its circuit breaker."""

    def __init__(self, name: str, provider: P, stage: Stage, limits: LimitSettings, trace: Trace) -> None:
        self.name = name
        self.provider = provider
        self.stage = stage
        self._limits = limits
        self._trace = trace
        self._breaker = CircuitBreaker(limits)

    async def warm(self) -> None:
        """Do once, within `limits.warm_ms`, what makes the first request slow."""
        await self._attempt(self.provider.warm, self.deadline_ms("warm_ms"))

    def deadline_ms(self, name: str) -> float:
        """Return that deadline of [limits] for this provider, which may have to load its model."""
        return deadline_ms(self.provider, self._limits, name)

    def refusal(self) -> OpenBreakerError | None:
        """Return why the provider must not be called now, None if it may."""
        reason = self._breaker.refusal(_now())
        hint = "it is tried again by itself; or choose another provider"
        return OpenBreakerError(f"{self.name} {reason}", hint, stage=self.stage) if reason else None

    async def call(
        self,
        request: Callable[[P], Awaitable[T]],
        deadline_ms: float,
        asked: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Return the result of one request, within `deadline_ms`.

        `asked` returns when the provider has all that it needs to answer; at once if absent.
        """
        with self._counted():
            result = await self._attempt(lambda: request(self.provider), deadline_ms, asked)
        self._update(self._breaker.succeed)
        return result

    @asynccontextmanager
    async def stream(
        self,
        request: Callable[[P], AbstractAsyncContextManager[AsyncIterator[T]]],
        first: float | str,
        gap: float | str,
        is_valid: Callable[[T], bool],
    ) -> AsyncIterator[Answer[P, T]]:
        """Open a stream of items, of which the first must come within `first`, each of the next within `gap`: a number
        of ms, or the name of a limit. An invalid one is a GarbageError.
        """
        first_ms, gap_ms = (self.deadline_ms(it) if isinstance(it, str) else it for it in (first, gap))
        stack = AsyncExitStack()
        failed = True
        error: BaseException | None = None

        async def start() -> tuple[T, AsyncIterator[T]]:
            async with AsyncExitStack() as attempt:
                source = await attempt.enter_async_context(request(self.provider))
                item = await _next(source)
                if item is _END:
                    reason = f"{self.name} answered with nothing"
                    raise EndedEarlyError(reason, "try again, or choose another model")
                self._check(item, is_valid)
                stack.push_async_exit(attempt.pop_all())
                return item, source

        async def receive() -> T:
            nonlocal failed
            try:
                item: T = await within(self.name, self.stage, lambda: _next(source), gap_ms)
                if item is not _END:
                    self._check(item, is_valid)
                return item
            except StageError as failure:
                failed = True
                self.fail(failure)
                raise

        try:
            with self._counted():
                item, source = await self._attempt(start, first_ms)
            failed = False
            if (
                self._breaker.state == "half_open"
            ):  # the first item proves it: others need not wait for the last
                self._update(self._breaker.succeed)
            yield Answer(self.name, self.provider, item, receive)
        except BaseException as raised:
            error = raised
            raise
        finally:
            if not failed:
                self._update(self._breaker.succeed)
            await self._close(stack, error)

    def fail(self, error: StageError) -> None:
        """Count a failure."""
        now = _now()
        if isinstance(error, BusyError) and error.retry_after is not None:
            self._breaker.hold(now, max(0.0, error.retry_after))
        self._update(lambda: self._breaker.fail(now))

    def wait_s(self, error: StageError, attempt: int) -> float | None:
        """Return how long to wait after that failure before the next try, s; None where there should be none."""
        limits = self._limits
        wait_s = min(limits.backoff_ms * 2 ** (attempt - 1), limits.max_backoff_ms) / 1000
        if isinstance(error, BusyError) and error.retry_after is not None:
            wait_s = max(0.0, error.retry_after)
        # a server gives loading up with the request, and would begin anew
        given_up = self.provider.loads and isinstance(error, DeadlineError)
        often = attempt > limits.retries
        hopeless = given_up or not error.retryable or often or wait_s > limits.max_backoff_ms / 1000
        return None if self._breaker.state == "open" or hopeless else wait_s

    async def _attempt(
        self,
        request: Callable[[], Awaitable[T]],
        deadline_ms: float,
        asked: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Make one try; a server that loads its model is waited for."""
        if not self.provider.loads:
            return await within(self.name, self.stage, request, deadline_ms)

        def show(waited_ms: float, reason: str) -> None:
            self._trace.emit(ModelLoading(self.stage, self.name, waited_ms, reason))

        attempt = partial(within, self.name, self.stage, request, deadline_ms)
        return await while_loading(attempt, self._limits.load_ms, show, asked)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Admit a request; its failure counts, a cancellation proves nothing."""
        self._update(self._breaker.admit)
        try:
            yield
        except StageError as error:
            self.fail(error)
            raise
        except asyncio.CancelledError:
            self._update(self._breaker.abandon)
            raise

    def _check(self, item: T, is_valid: Callable[[T], bool]) -> None:
        if not is_valid(item):
            reason = f"{self.name} answered with what cannot be used: {plain(repr(item), limit=80)}"
            raise GarbageError(reason, f"look into {self.name}", stage=self.stage)

    async def _close(self, stack: AsyncExitStack, error: BaseException | None) -> None:
        """Close a stream; one that cannot be closed is worth a notice, not the turn."""
        kind, traceback = (type(error), error.__traceback__) if error else (None, None)
        try:
            await within(self.name, self.stage, lambda: stack.__aexit__(kind, error, traceback), CLOSE_MS)
        except StageError as failure:
            self._trace.emit(Notice("warning", self.stage, failure.reason, failure.hint))

    def _update(self, transition: Callable[[], BreakerState]) -> None:
        """Take a transition of the breaker; a change of its state is in the trace."""
        before, state = self._breaker.state, transition()
        if state != before:
            wait_ms = self._breaker.open_for_s(_now()) * 1000 if state == "open" else 0.0
            self._trace.emit(BreakerChanged(self.stage, self.name, state, round(wait_ms, 1)))


class Answer(Generic[P, T]):
    """The items of a stream, the first one received, and whose they are.

    No generator: an abandoned one would be closed in a loose task.
    """

    def __init__(self, name: str, provider: P, first: T, receive: Callable[[], Awaitable[T]]) -> None:
        self.name = name
        self.provider = provider
        self._first = [first]
        self._receive = receive

    def __aiter__(self) -> Answer[P, T]:
        return self

    async def __anext__(self) -> T:
        item: Any = self._first.pop() if self._first else await self._receive()
        if item is _END:
            raise StopAsyncIteration
        return item  # type: ignore[no-any-return]

    def read_by(self, reader: Callable[[Callable[[], Awaitable[T]]], Awaitable[T]]) -> Answer[P, T]:
        """Return the same items, each of the next received by `reader`."""
        receive = self._receive
        return Answer(self.name, self.provider, self._first[0], lambda: reader(receive))


_END: Any = object()


async def _next(items: AsyncIterator[T]) -> T:
    """Return the next item, or `_END`: StopAsyncIteration does not pass through a coroutine's deadline."""
    try:
        return await anext(items)
    except StopAsyncIteration:
        return _END  # type: ignore[no-any-return]


def _now() -> float:
    return asyncio.get_running_loop().time()
