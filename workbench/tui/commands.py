"""The command palette: everything that a key does, found by name."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from textual.app import App, SystemCommand
from textual.screen import Screen

from workbench.tui.panel_screen import PanelScreen
from workbench.tui.panels import TOOLS


def commands(app: App[None], screen: Screen[Any]) -> Iterable[SystemCommand]:
    """Return a command for each binding with a tooltip, each panel of a plugin, and the help panel."""
    actions: set[str] = set()
    for _, binding, enabled, tooltip in screen.active_bindings.values():
        if tooltip and enabled and binding.action not in actions:
            actions.add(binding.action)
            yield SystemCommand(binding.description, tooltip, _runner(app, binding.action))
    first = app.screen_stack[0]
    if isinstance(first, PanelScreen):
        for key, title in first.panels.titles.items():
            if key != TOOLS:
                yield SystemCommand(f"Panel: {title}", "Show this panel.", partial(first.show_panel, key))
    yield SystemCommand("Keys", "Show the keys and what they do.", app.action_show_help_panel)


def _runner(app: App[None], action: str) -> Any:
    async def run() -> None:
        await app.run_action(action, app.screen_stack[0])

    return run
