"""The MCP servers of a session."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Self

from workbench.tools.mcp.connection import ServerConnection
from workbench.tools.mcp.server import McpServer
from workbench.tools.registry import Toolbox
from workbench.trace.trace import Trace


class McpServers:
    """Entered with `async with`; at its end every server is left. Costs nothing without one."""

    def __init__(self, tools: Toolbox, trace: Trace) -> None:
        self._tools = tools
        self._trace = trace
        self._connections: list[ServerConnection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.exchange(())

    async def exchange(self, servers: Iterable[McpServer]) -> None:
        """Have these and no others: leave those that are open, open those that are not, all at once."""
        wanted = list(dict.fromkeys(servers))
        gone = [one for one in self._connections if one.server not in wanted]
        kept = [one for one in self._connections if one.server in wanted]
        there = [one.server for one in kept]
        come = [
            ServerConnection(server, self._tools, self._trace) for server in wanted if server not in there
        ]
        self._connections = [*kept, *gone, *come]
        async with asyncio.TaskGroup() as tasks:
            for one in gone:
                tasks.create_task(one.close())
            for one in come:
                tasks.create_task(one.open())
        self._connections = [*kept, *come]
