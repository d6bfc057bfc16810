"""An event loop whose time is virtual: tasks that wait for time only do not wait at all.

    result = run_virtual(main())     # an hour of sleeps is over at once, and every run is the same

When nothing is ready, the clock jumps to the next timer; callbacks run in the order of (virtual time, sequence).
Executor jobs run on the loop's own thread while the clock stands still; those for an executor of their own (plugins'
code) run there, and time is real for one that takes longer than a second. If nothing is ready, no timer is set and no
task waits for the world outside, the run could never go on: that is a `Deadlock`, at once. While a task does wait for
it (`workbench.model.clock.outside`), time flows at its real rate and the loop really waits, so that the latency of
sockets and worker processes is real.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, wait
from contextvars import Context
from itertools import count
from time import monotonic
from types import CoroutineType
from typing import Any, NoReturn, TypeVar, TypeVarTuple

from workbench.model.errors import InternalError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

POLL_EVERY = 64
"""Turns of the loop between two polls of file descriptors while no task waits for them: a poll costs 2 µs, and only
signals come this way."""
PATIENCE_S = 1.0
"""How long the clock stands still for a job on an executor of its own, real seconds: longer than any job takes on a
busy machine, unless it hangs."""


class Deadlock(InternalError):
    """Every task waits for another one, none for time or for the world outside."""


def run_virtual(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Run a coroutine on a `VirtualLoop` and cancel the tasks that remain. Raises its error, or Deadlock."""
    with asyncio.Runner(debug=debug, loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a virtual clock, which starts at 0."""

    _scheduled: list[asyncio.TimerHandle]  # asyncio's own heap of timers

    def __init__(self) -> None:
        self._now = 0.0
        self._numbers = count()
        self._outside = _Outside(self)
        self._task_numbers = count()
        super().__init__(_Selector(self))
        self.set_task_factory(self._make_task)

    def _make_task(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        return _NumberedTask(next(self._task_numbers), work, loop=loop, **options)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        outside = self._outside
        return self._now + (monotonic() - outside.since) if outside.pending else self._now

    def outside(self) -> _Outside:
        """Return the context for an await on the world outside: time is real meanwhile."""
        return self._outside

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer; timers of the same time run in the order in which they were set."""
        timer = _Timer(when, callback, args, self, context)
        timer.number = next(self._numbers)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run the job on the loop's thread, at the present virtual time, after the callbacks that are ready now.

        A job for a given executor runs there, so that one that hangs meets its deadline. While time is real anyway,
        any job goes to the executor like on any loop, and time stays real until it is done.
        """
        if self._outside.pending:
            self._outside.__enter__()
            job = super().run_in_executor(executor, func, *args)
            job.add_done_callback(self._outside.__exit__)
            return job
        future: asyncio.Future[T] = self.create_future()
        if executor is None:
            self.call_soon(_run_job, future, func, args)
        else:
            self.call_soon(self._run_on, future, executor, func, args)
        return future

    def _run_on(
        self, future: asyncio.Future[T], executor: Executor, func: Callable[..., T], args: tuple[Any, ...]
    ) -> None:
        if future.done():  # cancelled before its turn
            return
        job = executor.submit(func, *args)
        wait([job], PATIENCE_S)
        if job.done():
            _run_job(future, job.result, ())
            return
        self._outside.__enter__()
        future.add_done_callback(self._outside.__exit__)
        asyncio.wrap_future(job, loop=self).add_done_callback(lambda late: _run_job(future, late.result, ()))

    async def shutdown_default_executor(self, *timeout: float) -> None:
        """Shut the executor down in real time, as it waits for threads."""
        with self._outside:
            await super().shutdown_default_executor(*timeout)

    def skip_to_next_timer(self) -> None:
        """Let the time pass until the next timer."""
        self._now = max(self._now, self._scheduled[0].when())


class _NumberedTask(asyncio.Task[T]):
    """A task that is hashed by its number: a TaskGroup cancels its tasks in the order of a set, which would be another
    one in each run by their addresses."""

    def __init__(self, number: int, work: Coroutine[Any, Any, T], **options: Any) -> None:
        self._number = number  # before the base puts it into a set
        super().__init__(work, **options)

    def __hash__(self) -> int:
        return self._number


class _Outside:
    """Counts the tasks that wait for the world outside."""

    __slots__ = ("_loop", "pending", "since")

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.pending = 0
        self.since = 0.0

    def __enter__(self) -> None:
        if not self.pending:
            self.since = monotonic()
        self.pending += 1

    def __exit__(self, *_: object) -> None:
        if self.pending == 1:
            self._loop._now = self._loop.time()
        self.pending -= 1


class _Selector(selectors.DefaultSelector):
    """A selector that lets virtual time pass instead of waiting."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._unpolled = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self._loop
        if loop.outside().pending:
            return super().select(timeout)
        if timeout is None:  # the last hope: a signal
            return super().select(0) or _give_up(loop)
        if timeout > 0:
            loop.skip_to_next_timer()
        self._unpolled = (self._unpolled + 1) % POLL_EVERY
        return [] if self._unpolled else super().select(0)


class _Timer(asyncio.TimerHandle):
    """A timer with a number, which orders timers of the same time."""

    __slots__ = ("number",)
    number: int
    _when: float
    _scheduled: bool

    def __lt__(self, other: _Timer) -> bool:  # type: ignore[override]  # this loop sets no other timers
        return self._when < other._when or (self._when == other._when and self.number < other.number)


def _run_job(future: asyncio.Future[T], func: Callable[[*Ts], T], args: tuple[*Ts]) -> None:
    if future.done():  # cancelled before its turn
        return
    try:
        future.set_result(func(*args))
    except Exception as error:  # noqa: BLE001  # whatever the job raises belongs to who awaits it
        future.set_exception(error)


def _give_up(loop: VirtualLoop) -> NoReturn:
    waiting = sorted(f"{task.get_name()} at {_where(task)}" for task in asyncio.all_tasks(loop))
    tasks = "; ".join(waiting) or "nobody"
    raise Deadlock(
        f"deadlock at {loop.time():.3f} s: nothing is ready, no timer is set; waiting: {tasks}",
        "wait for a condition with a timeout; an await on a process or socket belongs inside "
        "`with workbench.model.clock.outside():`",
    )


def _where(task: asyncio.Task[Any]) -> str:
    """Return the innermost place at which a task waits."""
    place = "?"
    awaited: object = task.get_coro()
    while isinstance(awaited, CoroutineType):
        if awaited.cr_frame:
            code = awaited.cr_code
            place = f"{code.co_filename}:{awaited.cr_frame.f_lineno} ({code.co_qualname})"
        awaited = awaited.cr_await
    return place
