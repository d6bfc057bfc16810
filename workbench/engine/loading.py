"""Waiting for a server that loads its model: with patience, on the screen, and without making it begin anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from workbench.engine.interfaces import ModelProvider
from workbench.engine.settings import LimitSettings
from workbench.engine.tasks import beside
from workbench.model.errors import BusyError, DeadlineError

SHOWN_AFTER_S = 1.0
"""A request that is answered sooner loads nothing worth a word."""
POLL_S = 1.0
"""Between two questions whether the model is loaded, where the server names no time."""

T = TypeVar("T")


def deadline_ms(provider: ModelProvider, limits: LimitSettings, name: str) -> float:
    """Return a deadline of `limits`; `load_ms` for a model that may have to be loaded, unless that one was set."""
    deadline: float = getattr(limits, name)
    if not provider.loads or name in limits.model_fields_set:
        return deadline
    return max(deadline, limits.load_ms)


async def while_loading(
    request: Callable[[], Awaitable[T]],
    load_ms: float,
    show: Callable[[float, str], None],
    asked: Callable[[], Awaitable[None]] | None = None,
) -> T:
    """Make a request, and again for as long as the server says that it loads its model, within `load_ms`.

    `show` is called each second with the ms so far and what the server said. `asked` returns when the server has all
    that it needs to answer; at once if absent.
    """
    loop = asyncio.get_running_loop()
    began, reason = loop.time(), ""

    async def watch() -> None:
        nonlocal began
        if asked is not None:
            await asked()
            began = loop.time()
        while True:
            await asyncio.sleep(SHOWN_AFTER_S)
            show(round((loop.time() - began) * 1000), reason)

    async def load() -> T:
        nonlocal reason
        while True:
            try:
                return await request()
            except BusyError as error:
                wait_s = POLL_S if error.retry_after is None else error.retry_after
                if not error.loading or loop.time() + wait_s - began > load_ms / 1000:
                    raise
                reason = error.reason
            except DeadlineError as error:
                text = f"{error.reason}; {reason or 'does it load its model?'}"
                raise DeadlineError(text, "raise limits.load_ms, or load the model beforehand") from None
            await asyncio.sleep(wait_s)

    async with beside(watch()):
        return await load()
