"""How code that waits for the world outside says so to the loop's clock."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import Any


def outside() -> AbstractContextManager[Any]:
    """Around an await on something outside of the loop (a worker process, a socket).

    A loop with a clock of its own (`workbench.simulation.clock`) does not skip time meanwhile; others do nothing.
    """
    enter = getattr(asyncio.get_running_loop(), "outside", None)
    return nullcontext() if enter is None else enter()
