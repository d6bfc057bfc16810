"""Waiting for what must come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 20.0


def until(what: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """The first value of `what` that is true; an assertion if none comes in time."""
    end = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < end, f"it did not come in {patience_s:.0f} s"
        time.sleep(0.02)
    return found
