"""Ctrl-C, a closed terminal and a polite kill: which callback gets them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Handler = Callable[[signal.Signals], object]
_outer: ContextVar[Handler | None] = ContextVar("_outer", default=None)


@contextmanager
def signals(stop: Handler) -> Iterator[list[int]]:
    """Call `stop` with each signal meanwhile, the handler before afterwards; yield the numbers of those that came."""
    caught, outer = list[int](), _outer.get()

    def handle(number: signal.Signals) -> None:
        caught.append(number)
        stop(number)

    reset = _outer.set(handle)
    _install(handle)
    try:
        yield caught
    finally:
        _outer.reset(reset)
        _install(outer)


async def until_signal(work: Coroutine[Any, Any, int]) -> int:
    """Await `work`, which a signal cancels, so that it leaves nothing behind; return its code, or 128 + signal."""
    task = asyncio.current_task()
    assert task is not None
    with signals(lambda _: task.cancel()) as caught:
        try:
            return await work
        except asyncio.CancelledError:
            if not caught:
                raise
            return 128 + caught[0]


def _install(handler: Handler | None) -> None:
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        if handler is not None:
            loop.add_signal_handler(number, handler, number)
        else:
            loop.remove_signal_handler(number)
