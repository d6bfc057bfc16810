"""How `rooms` speaks with the processes that it measures: in lines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator


async def orders() -> AsyncIterator[str]:
    """What the measuring process says on standard input."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield line.decode().strip()


def answer(what: str) -> None:
    """Say it to the measuring process."""
    print(what, flush=True)
