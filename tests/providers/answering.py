"""An HTTP server that answers everything in one way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from aiohttp import web

from tests.waiting import PATIENCE_S
from workbench.plugin.values import ProviderOptions, Secret


@asynccontextmanager
async def server(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """The base URL of a server that answers everything with `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@contextmanager
def served(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Iterator[str]:
    """The base URL of such a server in a thread, for what has a loop of its own."""
    ready, loop, done = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with server(handler) as url:
            urls.append(url)
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(PATIENCE_S)
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(PATIENCE_S)
        loop.close()


T = TypeVar("T")


KEY = "sk-very-secret-123"


def run(main: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(PATIENCE_S):
            return await main

    return asyncio.run(bounded())


def options(base_url: str, **more: Any) -> ProviderOptions:
    return ProviderOptions("some-model", base_url=base_url, api_key=Secret(KEY), **more)
