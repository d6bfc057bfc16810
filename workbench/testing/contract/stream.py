"""What an LLM and a TTS have in common: a call is a context that gives an iterator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from workbench.testing.contract.rules import Ledger, Rule, shown
from workbench.testing.contract.trial import Trial

T = TypeVar("T")
Stream = AbstractAsyncContextManager[AsyncIterator[Any]]
BRIEF = 2
"""Items that a short call takes before it is left."""
LEAVE_S = 0.1
"""Leaving a stream takes so long at most, s."""
TRIES = 3
"""So often it may be late before it is the provider's fault and not the machine's."""
AFTER_S = 1.0
"""Who is asked after the end must say within this time that it is over, s."""


def opened(ledger: Ledger, stream: object, what: str) -> Stream:
    """The stream, if it is a context."""
    if asyncio.iscoroutine(stream):
        stream.close()  # or Python warns that nobody awaited it
    entered = hasattr(stream, "__aenter__") and hasattr(stream, "__aexit__")
    ledger.need(
        entered,
        Rule.SHAPE,
        f"{what} gives {shown(stream)} and no async context",
        "decorate it with contextlib.asynccontextmanager, and yield the iterator",
    )
    return stream  # type: ignore[return-value]


async def items_of(
    ledger: Ledger, stream: object, what: str, take: int | None, check: Callable[[Any], None]
) -> list[Any]:
    """The items of a call, each of them checked as it comes; with `take`, only so many, and then it is left."""
    got: list[Any] = []
    async with opened(ledger, stream, what) as items:
        iterates = hasattr(items, "__aiter__") and hasattr(items, "__anext__")
        ledger.need(iterates, Rule.SHAPE, f"the context of {what} gives {shown(items)} and no async iterator")
        async for item in items:
            check(item)
            got.append(item)
            if take is not None and len(got) >= take:
                break
    return got


async def is_over_when_left(trial: Trial, make: Callable[[], object], what: str) -> None:
    """Left after an item, a stream is over at once: whoever asks it then gets nothing more."""

    async def leave() -> tuple[float, Any]:
        loop = asyncio.get_running_loop()
        async with opened(trial.ledger, make(), what) as items:
            await anext(items, None)
            left_at = loop.time()
        return loop.time() - left_at, items

    took_s = list[float]()
    items: AsyncIterator[Any] | None = None
    while items is None or (took_s[-1] > LEAVE_S and len(took_s) < TRIES):
        seconds, items = await trial.done("leaving a call after an item", leave())
        took_s.append(seconds)
    trial.ledger.need(min(took_s) <= LEAVE_S, Rule.LEAVES, f"leaving took {min(took_s) * 1000:.0f} ms")
    task = asyncio.get_running_loop().create_task(_ask(items))
    await asyncio.wait({task}, timeout=AFTER_S)
    still_open = not task.done() or (task.exception() is None and task.result() is not None)
    task.cancel()
    await asyncio.wait({task}, timeout=AFTER_S)
    trial.ledger.need(not still_open, Rule.LEAVES, "its iterator is still open after the context was left")
    trial.ledger.kept(Rule.LEAVES, min(took_s) * 1000, "ms")


async def _ask(items: AsyncIterator[Any]) -> Any:
    return await anext(items, None)
