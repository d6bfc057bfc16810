"""What the live screen and a recording have in common: panels, an event log, and the keys for them."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Log

from workbench.model.text import plain
from workbench.tui.panels import TOOLS, PanelSource, PanelSwitcher
from workbench.tui.widgets.tool_panel import ToolPanel

LOG_LINES = 2_000
"""Lines of the event log that are kept."""


class EventLog(Log):
    """What the trace says, one line an event; the newest at the end."""

    can_focus = False

    def __init__(self) -> None:
        super().__init__(max_lines=LOG_LINES, auto_scroll=True)


class PanelScreen(Screen[None]):
    """A screen with a place for panels below the conversation. No panel takes the focus away from typing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+g,f2", "panel", "Tools", id="screen.panel", priority=True, key_display="^g",
            tooltip="Show the tools' calls, then the panels of plugins one by one, then none.",
        ),
        Binding(
            "ctrl+l", "log", "Log", id="screen.log", priority=True, tooltip="Show or hide the event log."
        ),
        Binding("up", "choose(-1)", "Earlier call", id="tools.earlier", show=False),
        Binding("down", "choose(1)", "Later call", id="tools.later", show=False),
        Binding("ctrl+up", "details(-2)", "Details up", id="tools.up", show=False),
        Binding("ctrl+down", "details(2)", "Details down", id="tools.down", show=False),
    ]  # fmt: skip

    def __init__(self, panel_source: PanelSource = tuple) -> None:
        super().__init__()
        self._panel_source = panel_source
        self.panels = PanelSwitcher()
        """To be composed where there is room for it."""

    @work(thread=True)
    def find_panels(self) -> None:
        """Ask the plugins, after the first paint."""
        self.app.call_from_thread(self.panels.add, self._panel_source())

    @property
    def tool_panel(self) -> ToolPanel:
        """The panel that is always there."""
        return self.panels.query_one(ToolPanel)

    async def action_panel(self) -> None:
        """Show the next panel, or none."""
        await self.panels.step()

    async def show_panel(self, key: str) -> None:
        """Show this one."""
        await self.panels.show(key)

    def action_log(self) -> None:
        """Show or hide the event log."""
        self.toggle_class("-log")

    def action_choose(self, by: int) -> None:
        """Look at another call."""
        if self.panels.current == TOOLS:
            self.tool_panel.step(by)

    def action_details(self, by: int) -> None:
        """Read on in the details of a call."""
        if self.panels.current == TOOLS:
            self.tool_panel.scroll_details(by)

    @on(PanelSwitcher.Dropped)
    def _panel_dropped(self, event: PanelSwitcher.Dropped) -> None:
        self.notify(
            plain(event.reason, 300), title=f"Dropped: {event.label}", severity="warning", timeout=10, markup=False
        )  # fmt: skip
