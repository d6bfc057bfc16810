from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from workbench.transports.livekit.server import LocalServer

Run = Callable[[Callable[[LocalServer], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture
def with_server() -> Run:
    """Runs a coroutine with a server of its own."""

    def run(main: Callable[[LocalServer], Coroutine[Any, Any, Any]]) -> Any:
        async def both() -> Any:
            async with LocalServer() as server:
                return await main(server)

        return asyncio.run(both())

    return run
