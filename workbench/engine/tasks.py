"""Ways to run a coroutine: beside other code, until it is cut, within a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from workbench.model.errors import DeadlineError, StageError, foreign
from workbench.model.events import Stage

T = TypeVar("T")


Start = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


@asynccontextmanager
async def companions() -> AsyncIterator[Start]:
    """Give what starts coroutines beside the body: they end with it, and the failure of one ends the body."""
    started: list[asyncio.Task[None]] = []
    try:
        async with asyncio.TaskGroup() as tasks:

            def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
                started.append(tasks.create_task(work))
                return started[-1]

            yield start
            for task in started:
                task.cancel()
    except BaseExceptionGroup as group:
        if _being_cancelled():  # Python < 3.13 forgets a cancellation that comes while the group fails
            raise asyncio.CancelledError from None
        raise single(group) from None


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run `work` beside the body: it ends with the body, and its failure ends the body."""
    async with companions() as start:
        yield start(work)


def single(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group: the one that made the others be cancelled."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class CancelScope:
    """Code of a task that others may cut short: `with scope.entered()`, and `cut()` from anywhere on the loop.

    Only a cut ends here; any other cancellation passes through (as in `asyncio.timeout`).
    """

    def __init__(self) -> None:
        self.was_cut = False
        self._task: asyncio.Task[Any] | None = None

    def cut(self) -> None:
        """Cancel what runs in the scope, at its next await."""
        if self._task is not None and not self.was_cut:
            self.was_cut = True
            self._task.cancel()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Run the body in the scope."""
        self._task = task = asyncio.current_task()
        assert task is not None
        try:
            yield
        except asyncio.CancelledError:
            if not self.was_cut or task.uncancel() > 0:
                raise
        except BaseException:
            if self.was_cut:
                task.uncancel()
            raise
        else:
            if self.was_cut:  # somebody inside swallowed the cancellation
                task.uncancel()
        finally:
            self._task = None


async def within(owner: str, stage: Stage, make: Callable[[], Awaitable[T]], deadline_ms: float) -> T:
    """Return the result of `make()`. Whatever it raises is a `StageError` that names `owner` and the stage; what is
    late is a `DeadlineError`. Only a cancellation from outside leaves as one, and none is lost on the way."""
    failed: StageError
    try:
        async with asyncio.timeout(deadline_ms / 1000):
            with foreign(owner, stage):
                result = await make()
        if not _being_cancelled():
            return result
        raise asyncio.CancelledError
    except TimeoutError:
        failed = DeadlineError(
            f"{owner} did not answer within {deadline_ms:.0f} ms",
            "raise the deadline in [limits], or choose a faster model",
            stage=stage,
        )
    except StageError as error:
        failed = error
    except asyncio.CancelledError:
        failed = StageError(f"{owner} cancelled itself", f"look into {owner}", stage=stage)
    if _being_cancelled():
        raise asyncio.CancelledError
    raise failed
