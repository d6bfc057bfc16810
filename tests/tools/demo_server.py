"""A server made with the official SDK: `demo_server.py` on standard input and output, `demo_server.py PORT` by HTTP."""

from __future__ import annotations

import asyncio
import sys

from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("demo")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
async def slow(context: Context, steps: int = 2) -> str:
    """Count."""
    for step in range(steps):
        await context.report_progress(step, steps, f"step {step}")
        await asyncio.sleep(0.01)
    return "counted"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run("stdio")
