"""The development workbench for voice agents: what an agent's file and a script need.

Plugins find the rest in `workbench.spi`; `workbench.simulation`, `workbench.testing`, `workbench.notebook` and
`workbench.server` are the other public modules. Anything else may move.
"""

from __future__ import annotations

from workbench.lazy import lazy_exports

TYPE_CHECKING = (
    False  # as type checkers know it; the module `typing` alone would cost 4 ms, half a Python start
)
if TYPE_CHECKING:
    from typing import Any

    from workbench.agent import Agent
    from workbench.config import load_settings
    from workbench.plugin.hookspecs import hookimpl
    from workbench.session import open_session
    from workbench.tools.context import RunContext, ToolError
    from workbench.tools.mcp import McpServer
    from workbench.tools.tool import raw_tool, tool
    from workbench.views.trace import open_trace

__all__ = [
    "Agent",
    "McpServer",
    "RunContext",
    "ToolError",
    "hookimpl",
    "load_settings",
    "open_session",
    "open_trace",
    "raw_tool",
    "tool",
]
__version__ = "0.1.0"

__getattr__, __dir__ = lazy_exports(__name__)


def load_ipython_extension(shell: Any) -> None:
    """Bring the magics `%%agent` and `%%score` into a notebook: `%load_ext workbench`."""
    from workbench.notebook.magics import load

    load(shell)
