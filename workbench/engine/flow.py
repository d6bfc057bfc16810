"""How work is run: beside something else, until it is cut, within deadlines, tried again, or not at all.

Providers are called through `Calls`, so that whatever they raise becomes a `StageError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar

from workbench.engine.knobs import LimitKnobs
from workbench.model.errors import (
    BusyError,
    DeadlineError,
    EndedEarlyError,
    OpenBreakerError,
    StageError,
    foreign,
)
from workbench.model.events import BreakerChanged, ProviderRetried, Stage
from workbench.trace.bus import Trace

T = TypeVar("T")


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run `work` beside the body: it ends with the body, and its failure ends the body."""
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(work)
            yield task
            task.cancel()
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class Scope:
    """A stretch of a task that somebody else may cut short: `with` it, and `cut()` from anywhere on the loop.

    Only a cut ends here; any other cancellation passes through (as in `asyncio.timeout`).
    """

    def __init__(self) -> None:
        self.was_cut = False
        self._task: asyncio.Task[Any] | None = None

    def cut(self) -> None:
        """Cancel what runs inside, at its next await."""
        if self._task is not None and not self.was_cut:
            self.was_cut = True
            self._task.cancel()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The stretch."""
        self._task = task = asyncio.current_task()
        assert task is not None
        try:
            yield
        except asyncio.CancelledError:
            if not self.was_cut or task.uncancel() > 0:
                raise
        finally:
            self._task = None


class Breaker:
    """Stops asking a provider that failed too often in a row; lets one probe through after a while."""

    def __init__(self) -> None:
        self.state: str = "closed"
        self.failures = 0
        self.until = 0.0
        """Loop time before which the provider is not asked."""


class Calls:
    """Calls to one provider: deadlines, retries with backoff, a circuit breaker whose changes are in the trace."""

    def __init__(self, stage: Stage, provider: str, limits: LimitKnobs, trace: Trace) -> None:
        self.stage = stage
        self.provider = provider
        self._limits = limits
        self._trace = trace
        self._breaker = Breaker()

    async def call(self, make: Callable[[], Awaitable[T]], deadline_ms: float) -> T:
        """The result of `make()`, each try within `deadline_ms`, tried again where that can help."""
        attempt = 0
        while True:
            self._admit()
            try:
                result = await self.guard(make, deadline_ms)
            except StageError as error:
                attempt += 1
                wait_s = self._failed(error, attempt)
                if wait_s is None:
                    raise
                self._trace.emit(
                    ProviderRetried(self.stage, self.provider, attempt, round(wait_s * 1000, 1), error.reason)
                )
                await asyncio.sleep(wait_s)
            except asyncio.CancelledError:
                self._released()
                raise
            else:
                self._worked()
                return result

    @asynccontextmanager
    async def stream(
        self,
        opened: Callable[[], AbstractAsyncContextManager[AsyncIterator[T]]],
        first_ms: float,
        gap_ms: float,
    ) -> AsyncIterator[AsyncIterator[T]]:
        """The items of a stream: tried again until the first item is there, never after."""
        async with AsyncExitStack() as stack:

            async def begin() -> tuple[T, AsyncIterator[T]]:
                async with AsyncExitStack() as fresh:
                    items = await fresh.enter_async_context(opened())
                    try:
                        first = await anext(items)
                    except StopAsyncIteration:
                        raise EndedEarlyError(
                            f"{self.provider} answered with nothing", "try again, or choose another model"
                        ) from None
                    stack.push_async_exit(fresh.pop_all())
                    return first, items

            first, items = await self.call(begin, first_ms)
            yield self._rest(first, items, gap_ms)

    async def _rest(self, first: T, items: AsyncIterator[T], gap_ms: float) -> AsyncIterator[T]:
        yield first
        while True:
            try:
                item = await self.guard(lambda: _next(items), gap_ms)
            except StageError as error:
                self._failed(error, self._limits.retries + 1)
                raise
            if item is _END:
                return
            yield item

    async def guard(self, make: Callable[[], Awaitable[T]], deadline_ms: float) -> T:
        """One try. Whatever it raises becomes a `StageError` that names the stage and the provider."""
        deadline = asyncio.timeout(deadline_ms / 1000)
        try:
            async with deadline:
                with foreign(self.provider, self.stage):
                    return await make()
        except TimeoutError:
            raise DeadlineError(
                f"{self.provider} did not answer within {deadline_ms:.0f} ms",
                "raise the deadline in [limits], or choose a faster model",
                stage=self.stage,
            ) from None

    def _admit(self) -> None:
        breaker, now = self._breaker, asyncio.get_running_loop().time()
        if now < breaker.until - 1e-6 or breaker.state == "half_open":
            raise OpenBreakerError(
                f"{self.provider} is not asked for another {max(0.0, breaker.until - now):.1f} s: {breaker.failures} "
                "failures in a row",
                "it is tried again by itself; or choose another provider",
                stage=self.stage,
            )
        if breaker.state == "open":
            self._enter("half_open")

    def _failed(self, error: StageError, attempt: int) -> float | None:
        """Count a failure; seconds to wait before the next try, None when there should be none."""
        limits, breaker = self._limits, self._breaker
        breaker.failures += 1
        now = asyncio.get_running_loop().time()
        if isinstance(error, BusyError) and error.retry_after is not None:
            wait_s = error.retry_after
            breaker.until = max(breaker.until, now + wait_s)
        else:
            wait_s = min(limits.backoff_ms * 2 ** (attempt - 1), limits.max_backoff_ms) / 1000
        if breaker.state == "half_open" or breaker.failures >= limits.breaker_failures:
            breaker.until = max(breaker.until, now + limits.breaker_ms / 1000)
            self._enter("open", breaker.until - now)
            return None
        if not error.retryable or attempt > limits.retries or wait_s > limits.max_backoff_ms / 1000:
            return None
        return wait_s

    def _worked(self) -> None:
        self._breaker.failures = 0
        if self._breaker.state != "closed":
            self._enter("closed")

    def _released(self) -> None:
        """A cancelled probe proves nothing: the next call may probe."""
        if self._breaker.state == "half_open":
            self._breaker.state = "open"

    def _enter(self, state: Any, wait_s: float = 0.0) -> None:
        if state != self._breaker.state:
            self._breaker.state = state
            self._trace.emit(BreakerChanged(self.stage, self.provider, state, round(wait_s * 1000, 1)))


_END: Any = object()


async def _next(items: AsyncIterator[T]) -> T:
    """The next item, or `_END`: StopAsyncIteration does not pass through a coroutine's deadline."""
    try:
        return await anext(items)
    except StopAsyncIteration:
        return _END  # type: ignore[no-any-return]
