"""The loop that runs, and waits for the world outside of it."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import Any


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs on this thread, None without one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def outside() -> AbstractContextManager[Any]:
    """Return a context for an await on something outside of the loop (a worker process, a socket).

    A loop with a clock of its own (`workbench.simulation.clock`) does not skip time meanwhile; others do nothing.
    """
    enter = getattr(asyncio.get_running_loop(), "outside", None)
    return nullcontext() if enter is None else enter()
