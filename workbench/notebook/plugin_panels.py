"""Panels of plugins in the live widget: one for each session, made and fed in a thread of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ipywidgets import Widget

from workbench.handle import SessionHandle
from workbench.model.errors import WorkbenchError, run_foreign
from workbench.model.text import plain
from workbench.plugin.manager import notebook_panels
from workbench.plugin.values import Panel

POLL_S = 0.25
"""How often panels are fed, s."""
BATCH = 1_000
"""Entries that a panel is given at once."""
SLOW_S = 1.0
"""A panel that takes longer over a batch is dropped: those after it wait for it."""
STUCK_S = 5.0
"""One that is not back by then is reported as stuck, s."""
TEXT = 4_000
"""Characters of a text that are shown."""
HTML = 500_000
"""Characters of HTML that a panel may have."""


@dataclass(slots=True)
class NotebookPanel:
    """A plugin's panel, and what the page gets of it."""

    plugin: str
    panel: Panel
    key: str
    """Its name on the page."""
    view: Any = None
    """What the panel made."""
    next_entry: int = 0
    content: dict[str, str] = field(default_factory=dict)
    dropped: bool = False

    @property
    def label(self) -> str:
        """The panel and its plugin, for errors."""
        return plain(f"panel {self.panel.name} of {self.plugin}", 80, one_line=True)

    def set(self, kind: str, body: str) -> None:
        """Show `body` of this kind: `text`, `html`, `model` (a widget's id) or `error`."""
        title = plain(str(self.panel.title), 40, one_line=True)
        self.content = {"key": self.key, "title": title, "kind": kind, "body": body}

    def drop(self, reason: str) -> None:
        """Show the reason in its place; it is fed no more."""
        self.dropped = True
        self.set("error", reason)

    def make(self) -> None:
        """Make the view, which is the plugin's code."""
        self.view = self.panel.make()
        self.draw()

    def draw(self) -> None:
        """Show a widget, HTML where the view has some, else its text."""
        if isinstance(self.view, Widget):
            return self.set("model", str(self.view.model_id))
        if (as_html := getattr(self.view, "_repr_html_", None)) is None:
            return self.set("text", plain(str(self.view), TEXT))
        html = as_html()
        if not isinstance(html, str) or len(html) > HTML:
            raise TypeError(f"_repr_html_ gave no text of at most {HTML} characters")
        return self.set("html", html)


class PluginPanels:
    """The panels of all plugins on one session; `contents` is what the page gets."""

    def __init__(
        self, session: SessionHandle, find: Callable[[], Sequence[tuple[str, Panel]]] = notebook_panels
    ) -> None:
        self._session = session
        self._find = find
        self._panels: list[NotebookPanel] = []
        self._busy: tuple[NotebookPanel, float] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Make and feed them until the session has ended; where there are none nothing runs."""
        self._panels = [
            NotebookPanel(plugin, panel, str(n)) for n, (plugin, panel) in enumerate(self._find())
        ]
        if self._panels:
            self._thread = threading.Thread(target=self._run, name="notebook-panels", daemon=True)
            self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait until they have seen the end."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    @property
    def contents(self) -> list[dict[str, str]]:
        """Key, title, kind and body of each panel that has something to show."""
        busy = self._busy
        if busy is not None and not busy[0].dropped and time.monotonic() - busy[1] > STUCK_S:
            stuck = busy[0]
            stuck.set("error", f"{stuck.label} does not come back; so those after it are not fed either")
        return [dict(panel.content) for panel in self._panels if panel.content]

    def _run(self) -> None:
        for panel in self._panels:
            self._guard(panel, panel.make)
        over = False
        while not over:
            with suppress(WorkbenchError):  # the widget shows it
                self._session.wait(POLL_S)
            over = self._session.over
            for panel in self._panels:
                self._feed(panel)

    def _feed(self, panel: NotebookPanel) -> None:
        feed: Any = getattr(panel.view, "feed", None)

        def feed_and_draw() -> None:
            feed(entries)
            panel.draw()

        trace = self._session.trace
        while feed is not None and not panel.dropped and (entries := trace.since(panel.next_entry, BATCH)):
            panel.next_entry = entries[-1].i + 1
            self._guard(panel, feed_and_draw)

    def _guard(self, panel: NotebookPanel, work: Callable[[], None]) -> None:
        """Call the plugin; a panel that raises or is slow is dropped, with the reason in its place."""
        start = time.monotonic()
        self._busy = panel, start
        error = run_foreign(panel.label, work)
        self._busy = None
        took = time.monotonic() - start
        if error is not None:
            panel.drop(error.reason)
        elif took > SLOW_S and panel.next_entry:
            panel.drop(f"{panel.label} took {took:.1f} s for a batch of events, and gets no more of them")
