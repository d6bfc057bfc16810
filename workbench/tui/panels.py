"""The place for panels below the conversation: the tools, then those of plugins, one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from workbench.model.errors import StageError, foreign
from workbench.model.text import plain
from workbench.trace.trace import Trace
from workbench.tui.widgets.tool_panel import ToolPanel

if TYPE_CHECKING:
    from workbench.plugin.values import Panel

TOOLS = "tools"
BATCH = 1_000
"""Entries that a panel is given at once: one that is shown late catches up in steps."""
SLOW_S = 1.0
"""A panel that takes longer over a batch is dropped: nothing else is drawn meanwhile."""

PanelSource = Callable[[], "Sequence[tuple[str, Panel]]"]
"""Returns (plugin, panel) for each; called in a thread, because plugins are imported for it."""


class PanelSlot(Vertical):
    """The place of a plugin's panel, empty until it is first shown. Whatever raises in it is the plugin's."""

    def __init__(self, key: str, plugin: str, panel: Panel) -> None:
        super().__init__(id=key)
        self.label = plain(f"panel {panel.name} of {plugin}", 80, one_line=True)
        self.title = plain(str(panel.title), 40, one_line=True)
        self.filling = self.dropped = False
        self._panel = panel
        self._widget: Widget | None = None
        self._next = 0

    async def fill(self) -> None:
        """Make the panel's widget, once. Raises StageError."""
        if self._widget is not None:
            return
        with foreign(self.label, "host"):
            widget = self._panel.make()
            if not isinstance(widget, Widget):
                raise TypeError(f"make() gave a {type(widget).__name__}, no Textual widget")
        widget.border_title = widget.border_title or self.title.replace("[", "\\[")
        self.filling, self._widget = True, widget
        await self.mount(widget)
        self.filling = False

    def feed(self, trace: Trace) -> None:
        """Give the widget the next batch of the trace. Raises StageError for one that raises or is slow."""
        feed = getattr(self._widget, "feed", None)
        if feed is None or self._next >= trace.end or not (entries := trace.since(self._next, BATCH)):
            return
        self._next = entries[-1].i + 1
        start = time.perf_counter()
        with foreign(self.label, "host"):
            feed(entries)
        if (took_s := time.perf_counter() - start) > SLOW_S:
            raise StageError(f"{self.label} took {took_s:.1f} s for {len(entries)} events")


class PanelSwitcher(ContentSwitcher):
    """Shows one panel or none. A plugin's is made when it is first shown, and dropped when it raises."""

    can_focus = False

    class Dropped(Message):
        """A plugin's panel raised or was slow, and is gone."""

        def __init__(self, label: str, reason: str) -> None:
            super().__init__()
            self.label = label
            self.reason = reason

    def __init__(self) -> None:
        super().__init__(ToolPanel())
        self._numbers = count()

    def add(self, panels: Sequence[tuple[str, Panel]]) -> None:
        """Add these panels of plugins."""
        for plugin, panel in panels:
            slot = PanelSlot(f"panel-{next(self._numbers)}", plugin, panel)
            slot.display = False
            self.mount(slot)

    def watch_current(self, old: str | None, new: str | None) -> None:
        """Let the screen make room where there is a panel."""
        super().watch_current(old, new)
        self.screen.set_class(new is not None, "-panel")
        self.screen.refresh_bindings()

    @property
    def _slots(self) -> list[PanelSlot]:
        return [slot for slot in self.query_children(PanelSlot).results() if not slot.dropped]

    @property
    def titles(self) -> dict[str, str]:
        """Return the panels' titles by key, in the order in which they are stepped through."""
        return {TOOLS: "Tools"} | {str(slot.id): slot.title for slot in self._slots}

    async def show(self, key: str | None) -> None:
        """Show this panel; None: no panel."""
        for slot in self._slots:
            if slot.id == key:
                try:
                    await slot.fill()
                except StageError as error:
                    self._drop(slot, error.reason)
                if slot.dropped:  # it may have raised while it was mounted
                    slot.remove()
                    return
        self.current = key

    async def step(self) -> None:
        """Show the next panel, after the last one none."""
        keys: list[str | None] = [None, *self.titles]
        await self.show(keys[(keys.index(self.current) + 1) % len(keys)])

    def feed(self, trace: Trace) -> None:
        """Give the panels that were made what they have not seen of the trace."""
        for slot in self._slots:
            try:
                slot.feed(trace)
            except StageError as error:
                self._drop(slot, error.reason)

    def drop(self, widget: Widget, error: BaseException) -> bool:
        """Drop the panel that this widget is in; return whether it is in one."""
        slots = [above for above in widget.ancestors_with_self if isinstance(above, PanelSlot)]
        for slot in slots:
            self._drop(slot, plain(f"{slot.label} raised {type(error).__name__}: {error}", 300))
        return bool(slots)

    def _drop(self, slot: PanelSlot, reason: str) -> None:
        if slot.dropped:
            return
        slot.dropped = True
        if self.current == slot.id:
            self.current = None
        slot.display = False
        if not slot.filling:  # else whoever mounts it would wait for ever
            slot.remove()
        self.post_message(self.Dropped(slot.label, reason))
