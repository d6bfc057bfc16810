"""The session's clock of a rerun: recorded inputs come at their time, and those of one time in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

A_MOMENT_S = 1e-6
"""How long one waits for another to do what came before at the same time, s."""
MOST_LATE = 20
"""So often in a row others may not have done it: then the rerun has gone its own way."""

Waiting = dict[asyncio.Future[None], Callable[[], bool]]
"""Those who wait, and for what."""


class SessionClock:
    """Tells the session's time, s, and waits for recorded ones.

    What comes at one time is woken in the order of `i`, how much had happened before it, so that those who come then
    find what they found. Where the rerun goes its own way that order means nothing any more, and is not waited for.
    """

    def __init__(self) -> None:
        self.origin = 0.0
        """When it is 0, on the loop's clock, s."""
        self.events: Callable[[], int] = lambda: 0
        """How many there are in the trace."""
        self._inputs = 0
        self._patience = MOST_LATE
        self._waiting: Waiting = {}
        self._sleeping: dict[float, list[tuple[int, int, asyncio.Future[None]]]] = {}
        self._numbers = count()

    def now(self) -> float:
        """Return the time."""
        return asyncio.get_running_loop().time() - self.origin

    def has_come(self, t: float) -> bool:
        """Decide whether a time has come, as those who wait for it are woken: `now() >= t` would be wrong by a rounding
        where the origin is not 0."""
        return asyncio.get_running_loop().time() >= self.origin + t

    @property
    def index(self) -> int:
        """How many events and inputs there were until now."""
        return self.events() + self._inputs

    async def until(self, t: float, i: int = 0) -> None:
        """Wait for a time; return at once where it has come."""
        if not self.has_come(t):
            await self.timer(t, i)

    def timer(self, t: float, i: int = 0) -> asyncio.Future[None]:
        """Return what is done at that time, which is still to come."""
        loop = asyncio.get_running_loop()
        due, future = self.origin + t, loop.create_future()
        if due not in self._sleeping:
            self._sleeping[due] = []
            loop.call_at(due, self._wake, due)
        self._sleeping[due].append((i, next(self._numbers), future))
        return future

    def _wake(self, due: float) -> None:
        for _, _, future in sorted(self._sleeping.pop(due)):
            resolve(future)

    async def turn_of(self, row: dict[str, Any], shift: float = 0.0) -> None:
        """Wait for the time of a recorded input, `shift` s later, and for its turn."""
        i = row.get("i", 0)
        await self.until(row["t"] + shift, i)
        await self.in_order(i)

    async def in_order(self, i: int) -> None:
        """Wait until as much has happened as before this input, as long as the rerun goes as the recording; the input
        counts from now on."""
        if i > self.index and self._patience:
            await self.first(self._waiting, lambda: i <= self.index)
        self.count()

    def count(self) -> None:
        """Count an input."""
        self._inputs += 1
        self.progressed()

    async def first(self, waiting: Waiting, done: Callable[[], bool]) -> None:
        """Let others do first what they did before at this time; whoever does it looks again whether it is `done`."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        waiting[future] = done
        timer = loop.call_later(A_MOMENT_S, resolve, future)
        try:
            await future
        finally:
            timer.cancel()
            waiting.pop(future, None)
        self._patience = MOST_LATE if done() else max(0, self._patience - 1)

    def progressed(self) -> None:
        """Something has happened."""
        look_again(self._waiting)


def look_again(waiting: Waiting) -> None:
    """Wake those who need not wait any more."""
    for future, done in list(waiting.items()) if waiting else ():
        if done():
            del waiting[future]
            resolve(future)


def resolve(future: asyncio.Future[None]) -> None:
    """Wake who waits for it, unless somebody has."""
    if not future.done():
        future.set_result(None)
