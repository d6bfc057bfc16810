"""Our tools as an MCP server, for any client of the protocol."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from importlib import metadata
from typing import Any

from mcp.server.lowlevel import Server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from workbench.plugin.loading import OURS
from workbench.tools.registry import Toolbox

Called = Callable[[str, str], Awaitable[tuple[str, bool]]]
"""(name, arguments as JSON) → (text, whether it is an error)."""


def mcp_server(name: str, tools: Toolbox, call: Called) -> Server[Any]:
    """A server of the tools, to be run on any transport of the SDK."""

    async def listed(context: Any, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_tool(one) for one in tools])

    async def called(context: Any, params: CallToolRequestParams) -> CallToolResult:
        text, failed = await call(params.name, json.dumps(params.arguments or {}))
        return CallToolResult(content=[TextContent(type="text", text=text)], is_error=failed)

    return Server(name, version=metadata.version(OURS), on_list_tools=listed, on_call_tool=called)


def _tool(one: Any) -> Tool:
    hints = ToolAnnotations(read_only_hint=one.idempotent, destructive_hint=bool(one.confirm))
    return Tool(
        name=one.name,
        description=one.description,
        input_schema=dict(one.parameters.schema),
        annotations=hints if one.idempotent or one.confirm else None,
    )
