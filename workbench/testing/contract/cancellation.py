"""Cancelling a call at every place at which it waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from workbench.testing.contract.check import ABANDONED_S, ContractCheck, Work, now_s
from workbench.testing.contract.rules import Rule

CANCEL_S = 0.1
"""A cancelled call is over within this time, s."""
PLACES = 12
"""Waits at which a call is cancelled; where it waits more often, the first half of them and some of the rest."""
TRIES = 3
"""So often it may be late before it is the provider's fault and not the machine's."""
OPENING_S = (0.0, 0.001, 0.003, 0.01, 0.03)
"""Times after which the entering of a provider is cancelled, s."""
Call = Callable[[], Work[Any]]


class CancelledAtWait:
    """An awaitable that counts how often `work` waits, and is cancelled at the wait number `at` (from 1)."""

    def __init__(self, work: Work[Any], at: int = 0) -> None:
        self.waits = 0
        self.cancelled_at: float | None = None
        self._work = work
        self._at = at

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._work.__await__()
        error: BaseException | None = None
        while True:
            try:
                awaited = inner.throw(error) if error else next(inner)
            except StopIteration as done:
                return done.value
            error = None
            self.waits += 1
            if self.waits == self._at:
                task = asyncio.current_task()
                assert task
                self.cancelled_at = now_s()
                task.cancel()
            try:
                yield awaited
            except GeneratorExit:  # nobody waits any more, and it did not end when cancelled
                self._work.close()
                raise
            except BaseException as thrown:  # noqa: BLE001  # it goes on to the work
                error = thrown

    async def run(self) -> Any:
        """Return the result of the work, as a coroutine."""
        return await self


async def require_prompt_end(check: ContractCheck, call: Call) -> None:
    """Require that a call cancelled at any of its waits, or in the middle, is over at once, and the next one works."""
    whole = CancelledAtWait(call())
    began = time.monotonic()
    await check.complete("a call", whole.run())
    took_s = time.monotonic() - began
    for at in _places(whole.waits):
        await _require_prompt(check, partial(_cancel_at, check, call, at), f"wait {at} of {whole.waits}")
    for share in (0.25, 0.75):
        cancel = partial(_cancel_after, check, call, share * took_s)
        await _require_prompt(check, cancel, f"{share:.0%} of its time")
    await check.complete("the call after cancelled ones", call())


async def require_whole_opening(check: ContractCheck, enter: Call) -> None:
    """Require that a provider is not left half open when it is cancelled while it is entered."""
    for seconds in OPENING_S:
        cancel = partial(_cancel_after, check, enter, seconds)
        await _require_prompt(check, cancel, f"{seconds * 1000:g} ms of its opening")


def _places(waits: int) -> list[int]:
    first = list(range(1, min(waits, PLACES // 2) + 1))
    step = max(1, (waits - len(first)) // (PLACES // 2))
    return [*first, *list(range(len(first) + step, waits + 1, step))[: PLACES // 2]]


async def _require_prompt(check: ContractCheck, cancel: Callable[[], Work[float]], where: str) -> None:
    took_s = list[float]()
    while len(took_s) < TRIES:
        took_s.append(await cancel())
        if took_s[-1] <= CANCEL_S:
            check.keep(Rule.CANCELS, took_s[-1] * 1000, "ms at most")
            return
    text = f"cancelled at {where}, a call was over only after {min(took_s) * 1000:.0f} ms"
    raise check.broken(Rule.CANCELS, text)


async def _cancel_at(check: ContractCheck, call: Call, at: int) -> float:
    """Return how long a call that is cancelled at that wait goes on, s; 0 if it did not come so far."""
    work = CancelledAtWait(call(), at)
    task = asyncio.get_running_loop().create_task(work.run())
    return await _time_to_end(check, task, lambda: work.cancelled_at)


async def _cancel_after(check: ContractCheck, call: Call, seconds: float) -> float:
    """Return how long a call that is cancelled after that time goes on, s; 0 if it was done before."""
    task = asyncio.get_running_loop().create_task(call())
    await asyncio.wait({task}, timeout=seconds)
    cancelled_at = None if task.done() else now_s()
    task.cancel()
    return await _time_to_end(check, task, lambda: cancelled_at)


async def _time_to_end(
    check: ContractCheck, task: asyncio.Task[Any], cancelled_at: Callable[[], float | None]
) -> float:
    ended_at: list[float] = []
    task.add_done_callback(lambda _: ended_at.append(now_s()))
    await asyncio.wait({task}, timeout=check.deadline_s if cancelled_at() is None else ABANDONED_S)
    check.require(task.done(), Rule.CANCELS, "a call went on after it was cancelled")
    began = cancelled_at()
    if began is None:  # it was done before
        return 0.0
    if not task.cancelled():
        error = task.exception()
        became = f"{type(error).__name__}: {error}" if error else "an ordinary end"
        raise check.broken(Rule.CANCELS, f"it made {became} of a cancellation")
    await asyncio.sleep(0)
    return ended_at[0] - began
