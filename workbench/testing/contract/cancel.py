"""Cancelling a call at every place at which it waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

from workbench.testing.contract.rules import Rule
from workbench.testing.contract.trial import ABANDONED_S, Trial, now_s

CANCEL_S = 0.1
"""A cancelled call is over within this time, s."""
PLACES = 12
"""Waits at which a call is cancelled; where it waits more often, the first half of them and some of the rest."""
TRIES = 3
"""So often it may be late before it is the provider's fault and not the machine's."""
OPENING_S = (0.0, 0.001, 0.003, 0.01, 0.03)
"""Times after which who enters a provider is cancelled, s."""
Make = Callable[[], Coroutine[Any, Any, Any]]


class Cancelling:
    """Awaits `work`, counts how often it waits, and is cancelled at the wait number `at` (from 1)."""

    def __init__(self, work: Coroutine[Any, Any, Any], at: int = 0) -> None:
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
                self.cancel()
            try:
                yield awaited
            except GeneratorExit:  # nobody waits any more, and it did not end when cancelled
                self._work.close()
                raise
            except BaseException as thrown:  # noqa: BLE001  # it goes on to the work
                error = thrown

    def cancel(self) -> None:
        """As whoever holds the task would."""
        task = asyncio.current_task()
        assert task
        self.cancelled_at = now_s()
        task.cancel()

    async def run(self) -> Any:
        """As a coroutine."""
        return await self


async def ends_at_once(trial: Trial, make: Make) -> None:
    """Cancelled at any of its waits, and in the middle of a long one, a call is over; the next one works."""
    whole = Cancelling(make())
    began = time.monotonic()
    await trial.done("a call", whole.run())
    took_s = time.monotonic() - began
    for at in _places(whole.waits):
        await _late(trial, partial(_at_wait, trial, make, at), f"wait {at} of {whole.waits}")
    for share in (0.25, 0.75):
        await _late(trial, partial(_after, trial, make, share * took_s), f"{share:.0%} of its time")
    await trial.done("the call after cancelled ones", make())


async def opens_or_not(trial: Trial, enter: Make) -> None:
    """Cancelled while it is entered, a provider is not left half open."""
    for seconds in OPENING_S:
        await _late(trial, partial(_after, trial, enter, seconds), f"{seconds * 1000:g} ms of its opening")


def _places(waits: int) -> list[int]:
    first = list(range(1, min(waits, PLACES // 2) + 1))
    rest = max(1, (waits - len(first)) // (PLACES // 2))
    return [*first, *list(range(len(first) + rest, waits + 1, rest))[: PLACES // 2]]


async def _late(trial: Trial, cancelled: Callable[[], Coroutine[Any, Any, float]], where: str) -> None:
    took_s = list[float]()
    while len(took_s) < TRIES:
        took_s.append(await cancelled())
        if took_s[-1] <= CANCEL_S:
            trial.ledger.kept(Rule.CANCELS, took_s[-1] * 1000, "ms at most")
            return
    raise trial.ledger.broken(
        Rule.CANCELS, f"cancelled at {where}, a call was over only after {min(took_s) * 1000:.0f} ms"
    )


async def _at_wait(trial: Trial, make: Make, at: int) -> float:
    """How long a call that is cancelled there goes on, s; 0 if it did not come so far."""
    call = Cancelling(make(), at)
    return await _ended(trial, asyncio.get_running_loop().create_task(call.run()), lambda: call.cancelled_at)


async def _after(trial: Trial, make: Make, seconds: float) -> float:
    """The same after a time."""
    task = asyncio.get_running_loop().create_task(make())
    await asyncio.wait({task}, timeout=seconds)
    cancelled_at = None if task.done() else now_s()
    task.cancel()
    return await _ended(trial, task, lambda: cancelled_at)


async def _ended(trial: Trial, task: asyncio.Task[Any], cancelled_at: Callable[[], float | None]) -> float:
    ended_at: list[float] = []
    task.add_done_callback(lambda _: ended_at.append(now_s()))
    await asyncio.wait({task}, timeout=trial.deadline_s if cancelled_at() is None else ABANDONED_S)
    if not task.done():
        raise trial.ledger.broken(Rule.CANCELS, "a call went on after it was cancelled")
    began = cancelled_at()
    if began is None:  # it was done before
        return 0.0
    if not task.cancelled():
        error = task.exception()
        became = f"{type(error).__name__}: {error}" if error else "an ordinary end"
        raise trial.ledger.broken(Rule.CANCELS, f"it made {became} of a cancellation")
    await asyncio.sleep(0)
    return ended_at[0] - began
