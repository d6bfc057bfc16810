"""The development workbench for voice agents: what an agent's file and a script need.

Plugins find the rest in `workbench.spi`; `workbench.simulation`, `workbench.testing`, `workbench.notebook` and
`workbench.server` are the other public modules. Anything else may move.
"""

from __future__ import annotations

from workbench.lazy import lazy_exports

# As type checkers know it: the module `typing` alone would cost 4 ms, half a Python start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from workbench.agent import Agent as Agent
    from workbench.config import load_settings as load_settings
    from workbench.plugin.hookspecs import hookimpl as hookimpl
    from workbench.session import open_session as open_session
    from workbench.tools.context import RunContext as RunContext
    from workbench.tools.context import ToolError as ToolError
    from workbench.tools.mcp import McpServer as McpServer
    from workbench.tools.tool import raw_tool as raw_tool
    from workbench.tools.tool import tool as tool
    from workbench.views.trace import open_trace as open_trace
else:
    __getattr__, __dir__ = lazy_exports(__name__)

__version__ = "0.1.0"


def load_ipython_extension(shell: Any) -> None:
    """Bring the magics `%%agent` and `%%score` into a notebook: `%load_ext workbench`."""
    from workbench.notebook.magics import load

    load(shell)
