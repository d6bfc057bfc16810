"""Where async tools run: on a loop of their own, so that one that blocks keeps no frame waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol, Self, TypeVar

from workbench.model.clock import outside
from workbench.plugin.threads import AbnormalExit

T = TypeVar("T")

CLOSING_S = 1.0
"""What runs there has this long to end when it is closed, s; then it is left behind."""
PATIENCE_S = 0.5
"""A loop that answers so much too late is taken as blocked, s."""


class CoroutineExecutor(Protocol):
    """Where coroutines of strangers run."""

    async def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of `make()`; cancelling reaches it, and does not wait for it."""


class InlineExecutor:
    """On the loop of the caller, so that it follows that loop's clock: for tests under the virtual clock."""

    async def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """See `CoroutineExecutor`."""
        return await _contained(make)


class ThreadExecutor:
    """On a loop in a daemon thread. Entered with `async with`; the thread starts with the first coroutine. If one of
    them blocks it, the next one gets a new thread, and the blocked one is left behind."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: _LoopThread | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            with outside():
                await thread.close()

    async def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """See `CoroutineExecutor`."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            if thread is not None:
                thread.retire()
            thread = self._thread = _LoopThread(self._name)
        with outside():
            return await thread.run(make)


class _LoopThread:
    """One thread with one loop."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._pinged_at: float | None = None
        """Loop time of the caller when it was asked for a sign of life that it has not given yet, s."""
        self._retired = asyncio.Event()
        self._closing = False
        self._ended: Future[None] = Future()
        threading.Thread(target=self._live, name=name, daemon=True).start()

    def is_alive(self) -> bool:
        """Decide whether it takes coroutines: none blocks it, and none has stopped its loop."""
        now = asyncio.get_running_loop().time()
        blocked = self._pinged_at is not None and now - self._pinged_at > PATIENCE_S
        return not blocked and not self._ended.done()

    async def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        self._ping()
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_contained(make), self._loop))
        except asyncio.CancelledError:
            self._ping()
            raise

    def retire(self) -> None:
        """Take no more, and end with the last of those that run there: they are not to blame for one that blocks."""
        with suppress(RuntimeError):  # its loop has ended by itself
            self._loop.call_soon_threadsafe(self._retired.set)

    async def close(self) -> None:
        """End now, with all that runs there."""
        self._closing = True
        self.retire()
        await asyncio.wait([asyncio.wrap_future(self._ended)], timeout=CLOSING_S)

    def _ping(self) -> None:
        if self._pinged_at is None:
            self._pinged_at = asyncio.get_running_loop().time()
            self._loop.call_soon_threadsafe(self._pong)

    def _pong(self) -> None:
        self._pinged_at = None

    def _live(self) -> None:
        try:
            with suppress(RuntimeError), asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._until_retired())  # RuntimeError: the loop was stopped
        finally:
            self._ended.set_result(None)

    async def _until_retired(self) -> None:
        while not self._retired.is_set():
            with suppress(asyncio.CancelledError):  # by one that cancels all tasks that it finds
                await self._retired.wait()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks and not self._closing:
            await asyncio.wait(tasks)


async def _contained(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What would end a loop raises `AbnormalExit`; so does a coroutine that cancels itself."""
    task = asyncio.current_task()
    assert task is not None
    try:
        return await make()
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        name = f"sys.exit({error.code!r})" if isinstance(error, SystemExit) else type(error).__name__
        raise AbnormalExit(name) from error
    except asyncio.CancelledError as error:
        if task.cancelling():
            raise
        raise AbnormalExit("it cancelled itself") from error
