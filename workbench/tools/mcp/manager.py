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
    """Entered with `async with`; at its end every connection is closed. Costs nothing without a server."""

    def __init__(self, tools: Toolbox, trace: Trace) -> None:
        self._tools = tools
        self._trace = trace
        self._connections: dict[McpServer, ServerConnection] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.exchange(())

    async def exchange(self, servers: Iterable[McpServer]) -> None:
        """Have these servers and no others: close the connections to the rest, open new ones, all at once."""
        chosen, before = list(dict.fromkeys(servers)), self._connections
        added = {
            server: ServerConnection(server, self._tools, self._trace)
            for server in chosen
            if server not in before
        }
        removed = [server for server in before if server not in chosen]
        self._connections = before | added
        async with asyncio.TaskGroup() as tasks:
            for server in removed:
                tasks.create_task(before[server].close())
            for connection in added.values():
                tasks.create_task(connection.open())
        for server in removed:
            del self._connections[server]
