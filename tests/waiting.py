"""Waiting for what must come: long enough that only what never comes fails, on a machine that is busy with others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 60.0
"""The longest wait for one thing, s."""


def until(condition: Callable[[], T | None], patience_s: float = PATIENCE_S) -> T:
    """Return the first value that is true; AssertionError if none comes in time."""
    end = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < end, f"it did not come in {patience_s:.0f} s"
        time.sleep(0.02)
    return value


async def eventually(condition: Callable[[], T | None], patience_s: float = PATIENCE_S) -> T:
    """Do the same in a coroutine: others run meanwhile."""
    async with asyncio.timeout(patience_s):
        while not (value := condition()):  # noqa: ASYNC110  # it is the world that changes
            await asyncio.sleep(0.01)
    return value
