"""Tools of MCP servers for an agent, and an agent's tools as an MCP server.

    from workbench.tools.mcp import McpServer

    agent = Agent(instructions="…", tools=[McpServer.stdio("npx", "-y", "@scope/server")])

The protocol is spoken by the official `mcp` SDK, which is imported when the first server is opened (0.5 s).
"""

from workbench.tools.mcp.server import McpServer

__all__ = ["McpServer"]
