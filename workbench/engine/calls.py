"""Calls to providers: within deadlines, tried again where that can help, or not at all.

Whatever a provider raises becomes a `StageError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Generic, TypeVar

from workbench.engine.breaker import Breaker, State
from workbench.engine.flow import within
from workbench.engine.settings import LimitKnobs
from workbench.model.errors import BusyError, EndedEarlyError, GarbageError, OpenBreakerError, StageError
from workbench.model.events import BreakerChanged, Notice, ProviderRetried, Stage
from workbench.model.text import plain
from workbench.trace.trace import Trace

T = TypeVar("T")
LEAVE_MS = 1000.0
"""A provider that is left has this long to close what it opened, ms."""


class Calls:
    """Calls to one provider: deadlines, retries with backoff, a circuit breaker whose changes are in the trace."""

    def __init__(self, stage: Stage, provider: str, limits: LimitKnobs, trace: Trace) -> None:
        self.stage = stage
        self.provider = provider
        self._limits = limits
        self._trace = trace
        self._breaker = Breaker(limits)

    async def call(self, make: Callable[[], Awaitable[T]], deadline_ms: float) -> T:
        """The result of `make()`, each try within `deadline_ms`, tried again where that can help."""
        result = await self._tries(make, deadline_ms)
        self._say(self._breaker.worked)
        return result

    @asynccontextmanager
    async def stream(
        self,
        opened: Callable[[], AbstractAsyncContextManager[AsyncIterator[T]]],
        first_ms: float,
        gap_ms: float,
        fits: Callable[[T], bool] = lambda item: True,
    ) -> AsyncIterator[AsyncIterator[T]]:
        """The items of a stream: tried again until the first item is there, never after. One that does not fit is
        garbage."""
        stack = AsyncExitStack()
        items: _Items[T] | None = None
        error: BaseException | None = None

        async def begin() -> tuple[T, AsyncIterator[T]]:
            async with AsyncExitStack() as fresh:
                source = await fresh.enter_async_context(opened())
                first = await _next(source)
                if first is _END:
                    raise EndedEarlyError(
                        f"{self.provider} answered with nothing", "try again, or choose another model"
                    )
                self.check(first, fits)
                stack.push_async_exit(fresh.pop_all())
                return first, source

        try:
            first, source = await self._tries(begin, first_ms)
            items = _Items(self, first, source, gap_ms, fits)
            yield items
        except BaseException as left:
            error = left
            raise
        finally:
            if items is not None and not items.failed:
                self._say(self._breaker.worked)
            await self._leave(stack, error)

    async def guard(self, make: Callable[[], Awaitable[T]], deadline_ms: float) -> T:
        """One try. Whatever it raises becomes a `StageError` that names the stage and the provider."""
        return await within(self.provider, self.stage, make, deadline_ms)

    def check(self, item: T, fits: Callable[[T], bool]) -> None:
        """GarbageError for an item that does not fit."""
        if not fits(item):
            raise GarbageError(
                f"{self.provider} answered with what cannot be used: {plain(repr(item), limit=80)}",
                f"look into {self.provider}",
                stage=self.stage,
            )

    def failed_midway(self, error: StageError) -> None:
        """A stream failed after its first item."""
        self._failed(error, self._limits.retries + 1)

    async def _tries(self, make: Callable[[], Awaitable[T]], deadline_ms: float) -> T:
        attempt = 0
        while True:
            self._admit()
            try:
                return await self.guard(make, deadline_ms)
            except StageError as error:
                attempt += 1
                wait_s = self._failed(error, attempt)
                if wait_s is None:
                    raise
                self._trace.emit(
                    ProviderRetried(self.stage, self.provider, attempt, round(wait_s * 1000, 1), error.reason)
                )
            except asyncio.CancelledError:
                self._say(self._breaker.given_up)
                raise
            await asyncio.sleep(wait_s)

    async def _leave(self, stack: AsyncExitStack, error: BaseException | None) -> None:
        """Close a stream; one that cannot be closed is worth a notice, not the turn."""
        kind, trace = (type(error), error.__traceback__) if error else (None, None)
        try:
            await self.guard(lambda: stack.__aexit__(kind, error, trace), LEAVE_MS)
        except StageError as failed:
            self._trace.emit(Notice("warning", self.stage, failed.reason, failed.hint))

    def _admit(self) -> None:
        refusal = self._breaker.refusal(_now())
        if refusal is not None:
            hint = "it is tried again by itself; or choose another provider"
            raise OpenBreakerError(f"{self.provider} {refusal}", hint, stage=self.stage)
        self._say(self._breaker.asked)

    def _failed(self, error: StageError, attempt: int) -> float | None:
        """Count a failure; seconds to wait before the next try, None when there should be none."""
        limits, now = self._limits, _now()
        wait_s = min(limits.backoff_ms * 2 ** (attempt - 1), limits.max_backoff_ms) / 1000
        if isinstance(error, BusyError) and error.retry_after is not None:
            wait_s = max(0.0, error.retry_after)
            self._breaker.later(now, wait_s)
        state = self._say(lambda: self._breaker.failed(now))
        hopeless = not error.retryable or attempt > limits.retries or wait_s > limits.max_backoff_ms / 1000
        return None if state == "open" or hopeless else wait_s

    def _say(self, step: Callable[[], State]) -> State:
        """Take a step of the breaker, and tell the trace if its state is another one."""
        before, state = self._breaker.state, step()
        if state != before:
            wait_ms = self._breaker.open_for_s(_now()) * 1000 if state == "open" else 0.0
            self._trace.emit(BreakerChanged(self.stage, self.provider, state, round(wait_ms, 1)))
        return state


def _now() -> float:
    return asyncio.get_running_loop().time()


class _Items(Generic[T]):
    """The items of a stream, the first of which is there. No generator: one that is left half-way would be closed by a
    task of nobody."""

    def __init__(
        self, calls: Calls, first: T, source: AsyncIterator[T], gap_ms: float, fits: Callable[[T], bool]
    ) -> None:
        self.failed = False
        self._calls = calls
        self._first: list[T] = [first]
        self._source = source
        self._gap_ms = gap_ms
        self._fits = fits

    def __aiter__(self) -> _Items[T]:
        return self

    async def __anext__(self) -> T:
        if self._first:
            return self._first.pop()
        try:
            item = await self._calls.guard(lambda: _next(self._source), self._gap_ms)
            if item is not _END:
                self._calls.check(item, self._fits)
                return item
        except StageError as error:
            self.failed = True
            self._calls.failed_midway(error)
            raise
        raise StopAsyncIteration


_END: Any = object()


async def _next(items: AsyncIterator[T]) -> T:
    """The next item, or `_END`: StopAsyncIteration does not pass through a coroutine's deadline."""
    try:
        return await anext(items)
    except StopAsyncIteration:
        return _END  # type: ignore[no-any-return]
