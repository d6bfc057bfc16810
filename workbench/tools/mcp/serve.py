"""Our tools as an MCP server, for any client of the protocol."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from importlib import metadata
from typing import Any

import mcp.types as protocol
from mcp.server.lowlevel import Server

from workbench.plugin.loading import OURS
from workbench.tools.registry import Toolbox
from workbench.tools.tool import Tool

CallByName = Callable[[str, str], Awaitable[tuple[str, bool]]]
"""(name, arguments as JSON) → (text, whether it is an error)."""


def mcp_server(name: str, tools: Toolbox, call: CallByName) -> Server[Any]:
    """Return a server of the tools, to be run on any transport of the SDK."""

    async def list_tools(
        context: Any, params: protocol.PaginatedRequestParams | None
    ) -> protocol.ListToolsResult:
        return protocol.ListToolsResult(tools=[_listed(tool) for tool in tools])

    async def call_tool(context: Any, params: protocol.CallToolRequestParams) -> protocol.CallToolResult:
        text, failed = await call(params.name, json.dumps(params.arguments or {}))
        content = protocol.TextContent(type="text", text=text)
        return protocol.CallToolResult(content=[content], is_error=failed)

    return Server(name, version=metadata.version(OURS), on_list_tools=list_tools, on_call_tool=call_tool)


def _listed(tool: Tool) -> protocol.Tool:
    hints = protocol.ToolAnnotations(read_only_hint=tool.idempotent, destructive_hint=bool(tool.confirm))
    return protocol.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=dict(tool.parameters.schema),
        annotations=hints if tool.idempotent or tool.confirm else None,
    )
