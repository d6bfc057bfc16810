"""The development workbench for voice agents.

`from workbench import Agent, tool, RunContext, ToolError, open_session, open_trace, hookimpl`
"""

from __future__ import annotations

TYPE_CHECKING = (
    False  # as type checkers know it; the module `typing` alone would cost 4 ms, half a Python start
)
if TYPE_CHECKING:
    from typing import Any

    from workbench.agent import Agent
    from workbench.plugin.hookspecs import hookimpl
    from workbench.readers.opened import open_trace
    from workbench.session import open_session
    from workbench.tools.context import RunContext, ToolError
    from workbench.tools.tool import tool

__all__ = ["Agent", "RunContext", "ToolError", "hookimpl", "open_session", "open_trace", "tool"]
__version__ = "0.1.0"

_HOMES = {
    "Agent": "workbench.agent",
    "RunContext": "workbench.tools.context",
    "ToolError": "workbench.tools.context",
    "hookimpl": "workbench.plugin.hookspecs",
    "open_session": "workbench.session",
    "open_trace": "workbench.readers.opened",
    "tool": "workbench.tools.tool",
}
"""Names are imported when they are asked for: the package itself costs nothing, the engine 0.3 s."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext workbench` in a notebook: the magics `%%agent` and `%%score`."""
    from workbench.notebook.magics import load

    load(shell)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
