"""What the agent of a session can do: its own tools, those of plugins and of MCP servers, and what runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from workbench.agent import Agent
from workbench.config import Settings
from workbench.plugin.manager import tools_of_plugins
from workbench.tools.executor import ThreadExecutor
from workbench.tools.invocation import ToolEnvironment
from workbench.tools.mcp.manager import McpServers
from workbench.tools.mcp.server import McpServer, from_settings
from workbench.tools.registry import Toolbox
from workbench.tools.runner import Runner
from workbench.tools.tool import Tool, as_tool
from workbench.trace.trace import Trace


def tools_of(agent: Agent) -> tuple[Tool, ...]:
    """The tools that an agent brings itself. UsageError for what is none."""
    return tuple(as_tool(one) for one in agent.tools if not isinstance(one, McpServer))


class Toolset:
    """Made by `open_toolset`."""

    def __init__(
        self,
        tools: Toolbox,
        runner: Runner,
        servers: McpServers,
        always: Iterable[McpServer],
        agents: Iterable[Tool],
    ) -> None:
        self.runner = runner
        self._tools = tools
        self._servers = servers
        self._always = tuple(always)
        self._agents = tuple(agents)

    async def use_agent(self, agent: Agent) -> None:
        """Have the tools and MCP servers of this agent in the place of those of the one before. UsageError for what is
        no tool, and for two of one name."""
        new = tools_of(agent)
        self._tools.exchange(self._agents, new, "the agent has")
        self._agents = new
        servers = [one for one in agent.tools if isinstance(one, McpServer)]
        await self._servers.exchange([*self._always, *servers])


@asynccontextmanager
async def open_toolset(
    tools: Toolbox, trace: Trace, settings: Settings, around: ToolEnvironment, agents: Iterable[Tool] = ()
) -> AsyncIterator[Toolset]:
    """With the tools of plugins, and those of the MCP servers of the settings once an agent is adopted; `agents` are
    there already, for the agent that is adopted first. UsageError for two tools of one name."""
    async with (
        ThreadExecutor("tools") as place,
        McpServers(tools, trace) as servers,
        Runner(tools, trace, settings.limits, place, around) as runner,
    ):
        for plugin, brought in tools_of_plugins():
            tools.add(brought, origin=f"the plugin {plugin}")
        yield Toolset(tools, runner, servers, from_settings(settings.mcp), agents)
