"""The place for panels below the conversation: the tools, then those of plugins, one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from workbench.model.errors import StageError, foreign
from workbench.model.events import Entry
from workbench.model.text import plain
from workbench.trace.trace import Trace
from workbench.tui.widgets.tool_panel import ToolPanel

TOOLS = "tools"
BATCH = 1_000
"""Entries that a panel is given at once: one that is shown late catches up in steps."""
SLOW_S = 1.0
"""A panel that takes longer over a batch is dropped: nothing else is drawn meanwhile."""


class Panel(Protocol):
    """A plugin's panel: `make` gives a Textual widget, which may have `feed(entries)`."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def make(self) -> Callable[[], Any]: ...


PanelSource = Callable[[], Sequence[tuple[str, Panel]]]
"""Gives (plugin, panel) for each; called in a thread, because plugins are imported for it."""


@dataclass(slots=True)
class _PluginPanel:
    """A plugin's panel, its widget from when it is shown, and which entry it is given next."""

    plugin: str
    panel: Panel
    widget: Widget | None = None
    mounted: bool = False
    read: int = 0

    @property
    def who(self) -> str:
        return plain(f"panel {self.panel.name} of {self.plugin}", 80, one_line=True)


class PanelSlot(Vertical):
    """The place of a plugin's panel: whatever raises in it is the plugin's."""


class PanelSwitcher(ContentSwitcher):
    """Shows one panel or none. A plugin's is made when it is first shown, and dropped when it raises."""

    can_focus = False

    class Dropped(Message):
        """A plugin's panel raised or was slow, and is gone."""

        def __init__(self, who: str, reason: str) -> None:
            super().__init__()
            self.who = who
            self.reason = reason

    def __init__(self) -> None:
        super().__init__(ToolPanel())
        self._offered: dict[str, _PluginPanel] = {}
        self._numbers = count()

    def offer(self, panels: Sequence[tuple[str, Panel]]) -> None:
        """There are these, too."""
        for plugin, panel in panels:
            self._offered[f"panel-{next(self._numbers)}"] = _PluginPanel(plugin, panel)

    def watch_current(self, old: str | None, new: str | None) -> None:
        """The screen makes room where there is a panel."""
        super().watch_current(old, new)
        self.screen.set_class(new is not None, "-panel")
        self.screen.refresh_bindings()

    @property
    def titles(self) -> dict[str, str]:
        """The panels by their keys, in the order in which they are stepped through."""
        ours = {key: plain(str(one.panel.title), 40, one_line=True) for key, one in self._offered.items()}
        return {TOOLS: "Tools"} | ours

    async def show(self, key: str | None) -> None:
        """Show this panel; None: no panel."""
        offered = self._offered.get(key or "")
        if offered is None or offered.widget is not None or await self._make(key or "", offered):
            self.current = key

    async def step(self) -> None:
        """Show the next panel, after the last one none."""
        keys: list[str | None] = [None, *self.titles]
        await self.show(keys[(keys.index(self.current) + 1) % len(keys)])

    def feed(self, trace: Trace) -> None:
        """Give the panels that were made what they have not seen of the trace."""
        for key, one in list(self._offered.items()):
            feed = getattr(one.widget, "feed", None)
            if feed is not None and one.read < trace.end and (entries := trace.since(one.read, BATCH)):
                one.read = entries[-1].i + 1
                self._feed(key, one, feed, entries)

    def _feed(
        self, key: str, one: _PluginPanel, feed: Callable[[list[Entry]], Any], entries: list[Entry]
    ) -> None:
        began = time.perf_counter()
        try:
            with foreign(one.who, "host"):
                feed(entries)
        except StageError as error:
            self._drop(key, error.reason)
            return
        took = time.perf_counter() - began
        if took > SLOW_S:
            self._drop(key, f"{one.who} took {took:.1f} s for {len(entries)} events")

    async def _make(self, key: str, one: _PluginPanel) -> bool:
        try:
            with foreign(one.who, "host"):
                made = one.panel.make()
                if not isinstance(made, Widget):
                    raise TypeError(f"make() gave a {type(made).__name__}, no Textual widget")
        except StageError as error:
            self._drop(key, error.reason)
            return False
        one.widget = made
        made.border_title = made.border_title or self.titles[key].replace("[", "\\[")
        slot = PanelSlot(made, id=key)
        await self.add_content(slot)
        one.mounted = True
        if key not in self._offered:  # it raised meanwhile
            await slot.remove()
        return key in self._offered

    def drop(self, widget: Widget, error: BaseException) -> bool:
        """Drop the panel that this widget is in, if it is in one that is left; whether it is in one."""
        slot = next((above for above in widget.ancestors_with_self if isinstance(above, PanelSlot)), None)
        if slot is None:
            return False
        if (one := self._offered.get(slot.id or "")) is not None:
            self._drop(slot.id or "", plain(f"{one.who} raised {type(error).__name__}: {error}", 300))
        return True

    def _drop(self, key: str, reason: str) -> None:
        dropped = self._offered.pop(key)
        if self.current == key:
            self.current = None
        if dropped.mounted:  # else whoever mounts it would wait for ever
            slot = self.get_child_by_id(key)
            slot.display = False
            slot.remove()
        self.post_message(self.Dropped(dropped.who, reason))
