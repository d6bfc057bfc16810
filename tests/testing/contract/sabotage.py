"""What saboteurs do: leave open, swallow cancellation, block. Each breaks one rule and keeps the others."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from workbench.testing import BrokenRule, Rule

opened: list[Any] = []
"""What saboteurs leave open."""


def a_socket() -> None:
    left = socket.socket()
    opened.append(left.close)


def a_file() -> None:
    number = os.open(os.devnull, os.O_RDONLY)
    opened.append(lambda: os.close(number))


def a_thread() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="forgotten")
    thread.start()
    opened.extend([thread.join, over.set])  # from its end


def a_process() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    opened.append(lambda: child.communicate(b"\n"))


def a_task() -> None:
    forgotten = asyncio.get_running_loop().create_task(asyncio.sleep(60))
    opened.append(forgotten.cancel)


LEAKS = [a_socket, a_file, a_thread, a_process, a_task]


class Outside:
    """Waits for a thread, and does not say so."""

    async def wait(self) -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        timer = threading.Timer(0.01, lambda: loop.call_soon_threadsafe(done.set))
        timer.start()
        try:
            await done.wait()
        finally:
            timer.cancel()
            timer.join()


async def deaf_to_cancellation(seconds: float = 0.4) -> None:
    try:
        await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        await asyncio.sleep(seconds)
        raise


async def swallowing() -> None:
    try:
        await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        pass


async def stubborn() -> None:
    while True:
        try:
            await asyncio.sleep(0.01)
            return
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    continue


async def blocking() -> None:
    time.sleep(0.5)  # noqa: ASYNC251


def now(step: Callable[[], object]) -> Callable[[], Any]:
    """The step as one that is awaited."""

    async def stepping() -> None:
        step()

    return stepping


def every(count: int, step: Callable[[], Any]) -> Callable[[], Any]:
    """The step, but only each time that it is asked for `count` times."""
    asked = itertools.count(1)

    async def sometimes() -> None:
        if next(asked) % count == 0:
            await step()

    return sometimes


async def nothing() -> None:
    pass


def with_member(thing: Any, name: str, value: object) -> Any:
    """The thing, with another value of a member."""
    setattr(thing, name, value)
    return thing


def caught(check: Callable[[], object], what: str) -> Rule:
    """The rule that the check found broken, with these words."""
    with pytest.raises(BrokenRule, match=what) as error:
        check()
    assert error.value.hint
    return error.value.rule
