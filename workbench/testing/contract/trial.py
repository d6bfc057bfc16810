"""Running what is under test: on a loop of its own, each call in a task with a deadline, and a watch on the loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from workbench.engine.tasks import beside, single
from workbench.model.errors import UsageError, WorkbenchError
from workbench.simulation.clock import VirtualLoop
from workbench.testing.contract import leaks
from workbench.testing.contract.leaks import Holdings
from workbench.testing.contract.rules import BrokenRule, Ledger, Rule, shown

T = TypeVar("T")
BEAT_S = 0.005
LOOP_S = 0.1
"""The loop may be held for so long, s. The engine needs it every 20 ms; the bound is for a busy machine."""
ABANDONED_S = 1.0
"""What does not end when cancelled is waited for so long, s, and then left alone."""
WAITED = Path("/proc/thread-self/schedstat")


def run(main: Callable[[], Coroutine[Any, Any, T]], *, virtual: bool = False) -> T:
    """Run it on a loop of its own. What does not end by itself is abandoned, so that a check always ends."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise UsageError(
            "a check runs a loop of its own", "call it from a plain function, not from a coroutine"
        )
    loop = VirtualLoop() if virtual else asyncio.new_event_loop()
    threads = ThreadPoolExecutor(thread_name_prefix="worker of the loop")
    loop.set_default_executor(threads)
    try:
        return loop.run_until_complete(main())
    finally:
        _end(loop)
        threads.shutdown(wait=False, cancel_futures=True)
        loop.close()


def _end(loop: asyncio.AbstractEventLoop) -> None:
    loop.set_exception_handler(lambda *_: None)  # what is abandoned has nobody who would read its errors
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=ABANDONED_S))
    loop.run_until_complete(loop.shutdown_asyncgens())


class Trial:
    """One provider on the running loop."""

    def __init__(self, ledger: Ledger, deadline_s: float) -> None:
        self.ledger = ledger
        self.deadline_s = deadline_s
        self._held_s = 0.0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """The loop is watched meanwhile."""
        async with beside(self._watch()):
            yield

    async def _watch(self) -> None:
        while True:
            before = awake_s()
            await asyncio.sleep(BEAT_S)
            self._held_s = max(self._held_s, awake_s() - before - BEAT_S)

    async def done(self, what: str, work: Coroutine[Any, Any, T], deadline_s: float | None = None) -> T:
        """What an ordinary piece of work gives. It must end within the deadline, and without an error."""
        task = await self.ended(what, work, deadline_s)
        self._judge(task, what)
        error = task.exception()
        if isinstance(error, WorkbenchError):
            raise self.ledger.broken(Rule.ANSWERS, f"{what} failed: {error.reason}", error.hint)
        return task.result()

    async def tolerated(
        self, what: str, work: Coroutine[Any, Any, Any], patience_s: float | None = None
    ) -> None:
        """Odd input: an answer, or a StageError that says what is wrong with it. With `patience_s`, one that takes
        longer is cancelled, and has to end then."""
        task = await self.ended(what, work, patience_s, leave=patience_s is not None)
        if not task.cancelled():
            self._judge(task, what, Rule.TOLERATES)

    async def failing(self, what: str, work: Coroutine[Any, Any, Any]) -> WorkbenchError:
        """The error that it ends with: one with a reason and a hint."""
        task = await self.ended(what, work)
        self._judge(task, what)
        error = task.exception()
        self.ledger.need(error, Rule.WHY, f"{what} worked, and was to fail")
        assert isinstance(error, WorkbenchError)
        self.ledger.need(
            error.reason.strip() and error.hint.strip(), Rule.WHY, f"{what} failed with {error!r}"
        )
        return error

    async def ended(
        self,
        what: str,
        work: Coroutine[Any, Any, T],
        deadline_s: float | None = None,
        *,
        leave: bool = False,
    ) -> asyncio.Task[T]:
        """The task when it is done; with `leave`, it may be cancelled at the deadline.

        A task of nobody on purpose: a group would wait for one that never ends.
        """
        limit = self.deadline_s if deadline_s is None else deadline_s
        task = asyncio.get_running_loop().create_task(work)
        try:
            await asyncio.wait({task}, timeout=limit)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=ABANDONED_S)
                self.ledger.need(task.done(), Rule.CANCELS, f"{what} went on after it was cancelled")
        done = leave or not task.cancelled()
        self.ledger.need(done, Rule.ANSWERS, f"{what} was not done after {limit:g} s")
        return task

    def _judge(self, task: asyncio.Task[Any], what: str, rule: Rule = Rule.WHY) -> None:
        """AssertionErrors go on as they are; what is no error of ours does not say why."""
        error = task.exception()
        while isinstance(error, BaseExceptionGroup):
            error = single(error)
        if error is None or isinstance(error, WorkbenchError):
            return
        if isinstance(error, BrokenRule):
            raise error
        if "read-only" in str(error):  # the arrays that a check gives cannot be written to
            raise self.ledger.broken(Rule.UNTOUCHED, f"it writes into the sound: {error}") from error
        raise self.ledger.broken(
            rule, f"{what} raised {type(error).__name__}: {shown(str(error))}"
        ) from error

    async def loop_kept_free(self, what: str, make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """The work does not hold the loop. The best of three counts: the machine may have been busy with others."""
        held_s = list[float]()
        while len(held_s) < 3:
            self._held_s = 0.0
            await self.done(what, make())
            await asyncio.sleep(2 * BEAT_S)  # the beat that it held up is counted when it comes
            held_s.append(self._held_s)
            if held_s[-1] < LOOP_S:
                self.ledger.kept(Rule.LOOP, held_s[-1] * 1000, "ms held")
                return
        raise self.ledger.broken(Rule.LOOP, f"{what} held the loop for {min(held_s) * 1000:.0f} ms")

    async def nothing_grows(self, make: Callable[[], Coroutine[Any, Any, Any]], times: int = 4) -> None:
        """Calls do not leave more and more open while the provider is in use."""
        before = Holdings.now()
        for _ in range(times):
            await self.done("a call", make())
        new = await settled(lambda: found if len(found := before.new()) >= times else [])
        self.ledger.need(
            not new,
            Rule.CLOSES,
            f"{times} calls left {len(new)} things open until the provider is left: {', '.join(new[:4])}",
        )

    async def no_tasks(self, known: set[asyncio.Task[Any]]) -> None:
        """No tasks but the known ones and this are left on the loop."""
        mine = {*known, asyncio.current_task()}
        left = await settled(lambda: list(asyncio.all_tasks() - mine))
        names = ", ".join(sorted(shown(task.get_coro()) for task in left))
        self.ledger.need(not left, Rule.CLOSES, f"tasks go on after it was left: {names}")


async def settled(left: Callable[[], list[T]], seconds: float | None = None) -> list[T]:
    """What is left when all had the time to end: nothing tells when that is."""
    for _ in range(round((leaks.SETTLE_S if seconds is None else seconds) / BEAT_S)):
        if not (now := left()):
            return now
        await asyncio.sleep(BEAT_S)
    return left()


def now_s() -> float:
    """A clock to measure what is under test with: the loop's where that is virtual, else `awake_s`."""
    loop = asyncio.get_running_loop()
    return loop.time() if isinstance(loop, VirtualLoop) else awake_s()


def awake_s() -> float:
    """A clock that stands still while this thread is ready to run and the machine is busy with others, where the system
    tells (Linux)."""
    try:
        waited = int(WAITED.read_text().split()[1])
    except (OSError, IndexError, ValueError):
        waited = 0
    return time.monotonic() - waited / 1e9
