"""Several providers asked for one answer: the next one also when one is slow, and the first answer counts."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

from workbench.engine.guard import Answer, Failures, Guard
from workbench.engine.interfaces import ModelProvider
from workbench.engine.tasks import Start, companions
from workbench.model.errors import DeadlineError, StageError

T = TypeVar("T")
P = TypeVar("P", bound=ModelProvider)


async def race(
    guards: Iterable[Guard[P]],
    ask: Callable[[Guard[P]], Awaitable[T]],
    slow: Callable[[], Awaitable[float]],
    take: Callable[[Guard[P], Failures], None],
    failures: Failures,
) -> list[tuple[Guard[P], T]]:
    """Return the first answer and whose it is, or nothing where all failed.

    `slow` returns once an answer counts as slow, with the ms. `take` is called before a provider is asked in the place
    of another. Who is overtaken is cancelled, and has failed.
    """
    outcomes: asyncio.Queue[tuple[Guard[P], list[T] | StageError | float]] = asyncio.Queue()
    rest, running = deque(guards), list[Guard[P]]()

    async def attempt(guard: Guard[P]) -> None:
        try:
            outcomes.put_nowait((guard, [await ask(guard)]))
        except StageError as error:
            outcomes.put_nowait((guard, error))

    async def watch(guard: Guard[P]) -> None:
        outcomes.put_nowait((guard, await slow()))

    async with companions() as start:

        def begin() -> Guard[P]:
            guard = rest.popleft()
            running.append(guard)
            start(attempt(guard))
            if rest:
                start(watch(guard))
            return guard

        newest = begin()
        while running:
            guard, outcome = await outcomes.get()
            if isinstance(outcome, list):
                failures.pop(guard.name, None)
                for other in running[: running.index(guard)]:
                    other.fail(failures[other.name])
                return [(guard, outcome[0])]
            if isinstance(outcome, StageError):
                running.remove(guard)
                failures[guard.name] = outcome
            elif guard in running:
                reason = f"{guard.name} did not answer within {outcome:.0f} ms"
                hint = "raise limits.hedge_ms, or choose a faster model"
                failures[guard.name] = DeadlineError(reason, hint, stage=guard.stage)
            if guard is newest and rest and guard.name in failures:
                failures.last = guard.name
                take(rest[0], failures)
                newest = begin()
    return []


class HeldStreams(Generic[P, T]):
    """Streams that tasks of their own hold open, so that one is opened beside another and left where it was entered."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._holders: dict[str, asyncio.Task[None]] = {}

    async def open(self, guard: Guard[P], stream: AbstractAsyncContextManager[Answer[P, T]]) -> Answer[P, T]:
        """Return the stream once its first item is there. StageError where it does not open."""
        opened: asyncio.Future[Answer[P, T]] = asyncio.get_running_loop().create_future()
        requests: asyncio.Queue[tuple[Callable[[], Awaitable[T]], asyncio.Future[T]]] = asyncio.Queue()

        async def hold() -> None:
            try:
                async with stream as answer:
                    _settle(opened, answer)
                    while True:
                        receive, item = await requests.get()
                        try:
                            _settle(item, await receive())
                        except StageError as error:
                            _settle(item, error)
            except StageError as error:
                _settle(opened, error)

        async def read(receive: Callable[[], Awaitable[T]]) -> T:
            item: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            requests.put_nowait((receive, item))
            return await item

        holder = self._holders[guard.name] = self._start(hold())
        try:
            return (await opened).read_by(read)
        except asyncio.CancelledError:
            holder.cancel()
            raise

    def leave_others(self, name: str) -> None:
        """Close all but the stream of that provider."""
        for other, holder in self._holders.items():
            if other != name:
                holder.cancel()


def _settle(future: asyncio.Future[T], outcome: T | StageError) -> None:
    if future.cancelled():
        return
    if isinstance(outcome, StageError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
