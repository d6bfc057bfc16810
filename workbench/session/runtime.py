"""The lifetime of a session: its thread, its loop, its clock, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Self

from workbench.engine.tasks import single
from workbench.model.errors import InternalError, UsageError, WorkbenchError
from workbench.model.events import Notice, SessionEnded
from workbench.model.text import plain
from workbench.views.trace import OpenTrace

NATURAL_END = "source ended"


class Runtime(ABC):
    """Runs from its beginning to its end, once: with `async with` on this loop, with `with` on a thread of its own."""

    def __init__(self, make_trace: Callable[[Callable[[], float]], OpenTrace] = OpenTrace) -> None:
        self.error: WorkbenchError | None = None
        """Why it failed, if it did."""
        self.trace = make_trace(self._now_ms)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._origin = 0.0
        """The loop's time at the beginning, s."""
        self._tasks: asyncio.TaskGroup | None = None
        self._main: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._reason = NATURAL_END
        self._over = threading.Event()
        self._complete = threading.Event()
        """Over, and its recording is closed."""

    @abstractmethod
    def _open(self) -> Coroutine[Any, Any, None]:
        """Return all that it does; UsageError where it cannot even begin."""

    # --- entering and leaving ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            raise UsageError("a session is entered once", "open another one with open_session")
        self._loop = asyncio.get_running_loop()
        self._origin = self._loop.time()
        life = self._open()
        self._tasks = await asyncio.TaskGroup().__aenter__()
        self._main = self._tasks.create_task(life)
        await asyncio.sleep(0)  # it has begun: whoever stops it at once still has its end in the trace
        return self

    async def __aexit__(self, *error: Any) -> None:
        assert self._tasks is not None
        assert self._main is not None
        if not self.over:
            self._reason = "stopped" if self._reason == NATURAL_END else self._reason
            self._note_stop(self._reason)
            self._main.cancel()
        try:
            await self._tasks.__aexit__(*error)
        except BaseExceptionGroup as group:
            raise single(group) from None
        finally:
            self._over.set()
            self._complete.set()

    def __enter__(self) -> Self:
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run_thread, args=(opened,), name="session", daemon=True)
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            self._thread.join()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def _run_thread(self, opened: Future[None]) -> None:
        async def main() -> None:
            async with self:
                opened.set_result(None)
                assert self._main is not None
                await asyncio.wait([self._main])

        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001  # the thread's last line: whoever waits for it gets the error
            if not opened.done():
                opened.set_exception(error)
            else:
                self.error = self.error or InternalError(plain(f"{type(error).__name__}: {error}", limit=300))
            self._over.set()
            self._complete.set()

    # --- the end -----------------------------------------------------------------------------------------------------

    def stop(self, reason: str = "stopped") -> None:
        """End the session; what is being said is cut."""
        self._reason = reason
        self._note_stop(reason)
        self._call(lambda: self._main.cancel() if self._main else None)

    @abstractmethod
    def _note_stop(self, reason: str) -> None:
        """It is ended from outside, now."""

    async def ended(self) -> None:
        """Wait until the session has ended by itself or was stopped; raise `error` if it failed."""
        assert self._main is not None
        await asyncio.wait([self._main])
        if self.error:
            raise self.error

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the same from another thread; False if it goes on after `timeout_s`. The recording is whole then."""
        done = self._complete.wait(timeout_s)
        if done and self.error:
            raise self.error
        return done

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over.is_set()

    async def _until_over(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`, and write into the trace how it ended; a `WorkbenchError` becomes `error`."""
        try:
            await work
            reason = NATURAL_END
        except WorkbenchError as error:
            self.error = error
            reason = f"failed: {plain(error.reason, limit=300)}"
            self.trace.emit(Notice("error", "session", error.reason, error.hint))
        except asyncio.CancelledError:
            reason = self._reason
            raise
        except BaseException:
            reason = "failed: our own fault"
            raise
        finally:
            self.trace.emit(SessionEnded(reason))
            self.trace.close()
            self._over.set()

    # --- its loop and its clock --------------------------------------------------------------------------------------

    def _call(self, function: Callable[[], object]) -> None:
        """Call a function on the loop's thread, unless the session is not there."""
        loop = self._loop
        if loop is not None and not loop.is_closed() and not self.over:
            loop.call_soon_threadsafe(function)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._tasks is not None
        self._tasks.create_task(work)

    def _now_ms(self) -> float:
        return self._ms(self._loop.time()) if self._loop is not None else 0.0

    def _now_s(self) -> float:
        """Return the session's clock as exact as the loop's, s."""
        return self._loop.time() - self._origin if self._loop is not None else 0.0

    def _ms(self, loop_time: float) -> float:
        """Return a time of the loop's clock (s) on the session's, ms."""
        return (loop_time - self._origin) * 1000
