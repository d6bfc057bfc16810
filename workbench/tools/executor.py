"""A loop of its own, in a daemon thread, for coroutines of strangers: one that blocks there keeps no frame waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol, Self, TypeVar

from workbench.model.clock import outside
from workbench.plugin.threads import Left

T = TypeVar("T")

CLOSING_S = 1.0
"""What runs there has this long to end when it is closed, s; then it is left behind."""
PATIENCE_S = 0.5
"""A loop that answers so much too late is taken as blocked, s."""


class CoroutineExecutor(Protocol):
    """Where coroutines of strangers run."""

    async def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of `make()`; cancelling reaches it, and does not wait for it."""


class InlineExecutor:
    """On the loop of whoever asks, so that it follows that loop's clock: for tests under the virtual clock."""

    async def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """See `CoroutineExecutor`."""
        return await _contained(make)


class ThreadExecutor:
    """Entered with `async with`. The thread starts with the first coroutine; if one of them blocks it, the next one
    gets a new thread, and the blocked one is left behind."""

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
        if thread is None or thread.blocked or thread.gone:
            if thread is not None:
                thread.leave()
            thread = self._thread = _LoopThread(self._name)
        with outside():
            return await thread.run(make)


class _LoopThread:
    """One thread with one loop."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._asked_at: float | None = None
        self._end = asyncio.Event()
        self._now = False
        self._gone: Future[None] = Future()
        threading.Thread(target=self._live, name=name, daemon=True).start()

    @property
    def blocked(self) -> bool:
        """It was asked for a sign of life a while ago, and has not given it."""
        asked_at = self._asked_at
        return asked_at is not None and asyncio.get_running_loop().time() - asked_at > PATIENCE_S

    @property
    def gone(self) -> bool:
        """One of those that ran there has stopped the loop."""
        return self._gone.done()

    async def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        self._ask()
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_contained(make), self._loop))
        except asyncio.CancelledError:
            self._ask()
            raise

    def leave(self) -> None:
        """Take no more, and end with the last of those that run there: they are not to blame for one that blocks."""
        with suppress(RuntimeError):  # its loop has ended by itself
            self._loop.call_soon_threadsafe(self._end.set)

    async def close(self) -> None:
        """End now, with all that runs there."""
        self._now = True
        self.leave()
        await asyncio.wait([asyncio.wrap_future(self._gone)], timeout=CLOSING_S)

    def _ask(self) -> None:
        if self._asked_at is None:
            self._asked_at = asyncio.get_running_loop().time()
            self._loop.call_soon_threadsafe(self._alive)

    def _alive(self) -> None:
        self._asked_at = None

    def _live(self) -> None:
        try:
            with suppress(RuntimeError), asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._until_end())  # RuntimeError: the loop was stopped
        finally:
            self._gone.set_result(None)

    async def _until_end(self) -> None:
        while not self._end.is_set():
            with suppress(asyncio.CancelledError):  # by one that cancels all tasks that it finds
                await self._end.wait()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others and not self._now:
            await asyncio.wait(others)


async def _contained(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What would end a loop raises `Left`; so does a coroutine that cancels itself."""
    task = asyncio.current_task()
    assert task is not None
    try:
        return await make()
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        told = f"sys.exit({error.code!r})" if isinstance(error, SystemExit) else type(error).__name__
        raise Left(told) from error
    except asyncio.CancelledError as error:
        if task.cancelling():
            raise
        raise Left("it cancelled itself") from error
