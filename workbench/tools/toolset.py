"""The tools of a session's agent: its own, those of plugins and of MCP servers, and the runner of them all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from workbench.agent import Agent
from workbench.config import Settings
from workbench.plugin.manager import plugin_tools
from workbench.tools.executor import ThreadExecutor
from workbench.tools.invocation import ToolEnvironment
from workbench.tools.mcp.manager import McpServers
from workbench.tools.mcp.server import McpServer, from_settings
from workbench.tools.registry import Toolbox
from workbench.tools.runner import Runner
from workbench.tools.tool import Tool, as_tool
from workbench.trace.trace import Trace


def tools_of(agent: Agent) -> tuple[Tool, ...]:
    """Return the tools of an agent itself. UsageError for what is none."""
    return tuple(as_tool(tool) for tool in agent.tools if not isinstance(tool, McpServer))


@dataclass(slots=True)
class Toolset:
    """Made by `open_toolset`; `runner` runs what is in it."""

    runner: Runner
    _tools: Toolbox
    _servers: McpServers
    _shared_servers: Sequence[McpServer]
    _agent_tools: Iterable[Tool]

    async def use_agent(self, agent: Agent) -> None:
        """Put the tools and MCP servers of this agent in the place of those of the one before. UsageError for what is
        no tool, and for two of one name."""
        new = tools_of(agent)
        self._tools.exchange(self._agent_tools, new, "the agent has")
        self._agent_tools = new
        servers = [server for server in agent.tools if isinstance(server, McpServer)]
        await self._servers.exchange([*self._shared_servers, *servers])


@asynccontextmanager
async def open_toolset(
    tools: Toolbox,
    trace: Trace,
    settings: Settings,
    environment: ToolEnvironment,
    agent_tools: Iterable[Tool] = (),
    *,
    shared: bool = True,
) -> AsyncIterator[Toolset]:
    """Open the tools of plugins, and those of the MCP servers of the settings once an agent is used; `agent_tools` are
    there already, of the agent that is used first. Without `shared` there are none but those of the agent. UsageError
    for two tools of one name."""
    async with (
        ThreadExecutor("tools") as executor,
        McpServers(tools, trace) as servers,
        Runner(tools, trace, settings.limits, executor, environment) as runner,
    ):
        for plugin, tool in plugin_tools() if shared else ():
            tools.add(tool, origin=f"the plugin {plugin}")
        yield Toolset(runner, tools, servers, from_settings(settings.mcp) if shared else (), agent_tools)
