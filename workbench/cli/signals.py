"""Ctrl-C, a closed terminal and a polite kill: who is told of them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Told = Callable[[signal.Signals], object]
_outer: ContextVar[Told | None] = ContextVar("_outer", default=None)


@contextmanager
def signals(stop: Told) -> Iterator[list[int]]:
    """Meanwhile `stop` is called with each signal, afterwards who was before; the numbers of those that came."""
    caught, outer = list[int](), _outer.get()

    def told(number: signal.Signals) -> None:
        caught.append(number)
        stop(number)

    reset = _outer.set(told)
    _tell(told)
    try:
        yield caught
    finally:
        _outer.reset(reset)
        _tell(outer)


async def until_signal(work: Coroutine[Any, Any, int]) -> int:
    """Await `work`, which a signal cancels, so that it leaves nothing behind; its exit code, or 128 + signal."""
    task = asyncio.current_task()
    assert task is not None
    with signals(lambda _: task.cancel()) as caught:
        try:
            return await work
        except asyncio.CancelledError:
            if not caught:
                raise
            return 128 + caught[0]


def _tell(told: Told | None) -> None:
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        if told is not None:
            loop.add_signal_handler(number, told, number)
        else:
            loop.remove_signal_handler(number)
