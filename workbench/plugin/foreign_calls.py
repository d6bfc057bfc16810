"""Calls of foreign code: in a thread, under a deadline, and the outcome is a value or a `HookError`."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, TypeVar

from workbench.model.text import plain, redacted
from workbench.plugin.threads import AbnormalExit, DaemonThreads, contain

T = TypeVar("T")
LIMIT = 300
"""Characters of a reason."""
PACKAGE = str(Path(__file__).parents[1])
"""Our own code: the place of an error is looked for outside of it."""


class HookError(Exception):
    """A hook raised, hung, or returned what it must not; `took_ms` is how long that took."""

    def __init__(self, reason: str, took_ms: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.took_ms = round(took_ms, 1)


class WrongValueError(TypeError):
    """A hook returned something else than it says."""


def call_in_thread(threads: DaemonThreads, job: Callable[[], T], limit_s: float) -> T:
    """Return the result of the job, which is waited for at most `limit_s`. Raises HookError."""
    began = time.perf_counter()
    future = threads.submit(job)
    wait([future], limit_s)
    return _result(future, (time.perf_counter() - began) * 1000)


async def call_from_loop(threads: DaemonThreads, job: Callable[[], T], limit_ms: float) -> T:
    """Await the result of the job, by the loop's clock. Raises HookError.

    A job that was ready in time counts, however late the loop looks.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    future = loop.run_in_executor(threads, contain, job)
    try:
        await asyncio.wait([future], timeout=limit_ms / 1000)
        return _result(future, (loop.time() - began) * 1000)
    finally:
        future.cancel()  # left behind, so that its late result goes nowhere


def _result(future: Future[T] | asyncio.Future[T], took_ms: float) -> T:
    if not future.done():
        raise HookError(f"did not return within {took_ms:.0f} ms", took_ms)
    error = future.exception()
    if error is not None:
        raise HookError(describe_error(error), took_ms) from error
    return future.result()


def describe_error(error: BaseException) -> str:
    """Return an error in one line, without what looks like a key, with the place where it was raised."""
    if isinstance(error, WrongValueError):
        return plain(str(error), LIMIT, one_line=True)
    frames = traceback.extract_tb((error.__cause__ or error).__traceback__)
    origin = next((frame for frame in reversed(frames) if not frame.filename.startswith(PACKAGE)), None)
    text = str(error) if isinstance(error, AbnormalExit) else f"{type(error).__name__}: {error}"
    place = f" ({plain(Path(origin.filename).name, 60, one_line=True)}:{origin.lineno})" if origin else ""
    return plain(redacted(text), LIMIT, one_line=True) + place


def describe_value(value: Any) -> str:
    """Return a value in a few words."""
    return plain(f"{type(value).__name__} {value!r:.60}", 80, one_line=True)
