"""PluginPanels of plugins in the live widget: one for each session, made and fed in a thread of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ipywidgets import Widget

from workbench.model.errors import WorkbenchError, tried
from workbench.model.text import plain
from workbench.plugin.manager import notebook_panels
from workbench.plugin.values import Panel
from workbench.session import Session

POLL_S = 0.25
"""How often panels are fed, s."""
BATCH = 1_000
"""Entries that a panel is given at once."""
SLOW_S = 1.0
"""A panel that takes longer over a batch is dropped: those after it wait for it."""
STUCK_S = 5.0
"""One that is not back by then is said to be stuck, s."""
TEXT = 4_000
"""Characters of a text that are shown."""
HTML = 500_000
"""Characters of HTML that a panel may have."""

Offer = Callable[[], Sequence[tuple[str, Panel]]]
"""Gives (plugin, panel) for each."""


@dataclass(slots=True)
class PanelState:
    """A plugin's panel, its key on the page, what it made, the entry it is given next, and what is shown of it."""

    plugin: str
    panel: Panel
    key: str
    thing: Any = None
    read: int = 0
    shown: dict[str, str] = field(default_factory=dict)
    dropped: bool = False

    @property
    def who(self) -> str:
        return plain(f"panel {self.panel.name} of {self.plugin}", 80, one_line=True)

    def say(self, kind: str, what: str) -> None:
        title = plain(str(self.panel.title), 40, one_line=True)
        self.shown = {"key": self.key, "title": title, "kind": kind, "what": what}


class PluginPanels:
    """`shown` is what the page gets: title, kind (`text`, `html`, `model`, `error`) and content of each."""

    def __init__(self, session: Session, offer: Offer = notebook_panels) -> None:
        self._session = session
        self._offer = offer
        self._made: list[PanelState] = []
        self._busy: tuple[PanelState, float] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Make and feed them until the session has ended; where there are none nothing runs."""
        self._made = [PanelState(plugin, panel, str(n)) for n, (plugin, panel) in enumerate(self._offer())]
        if self._made:
            self._thread = threading.Thread(target=self._run, name="notebook-panels", daemon=True)
            self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait until they have seen the end."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    @property
    def shown(self) -> list[dict[str, str]]:
        """What there is of each that has something to show."""
        busy = self._busy
        if busy is not None and not busy[0].dropped and time.monotonic() - busy[1] > STUCK_S:
            busy[0].say("error", f"{busy[0].who} does not come back; so those after it are not fed either")
        return [dict(one.shown) for one in self._made if one.shown]

    def _run(self) -> None:
        for one in self._made:
            self._guarded(one, self._make)
        over = False
        while not over:
            with suppress(WorkbenchError):  # the widget says it
                self._session.wait(POLL_S)
            over = self._session.over
            for one in self._made:
                self._catch_up(one)

    def _catch_up(self, one: PanelState) -> None:
        trace = self._session.trace
        while not one.dropped and (entries := trace.since(one.read, BATCH)):
            one.read = entries[-1].i + 1
            feed = getattr(one.thing, "feed", None)
            if feed is None:
                return
            self._guarded(one, lambda one, feed=feed, entries=entries: feed(entries))  # type: ignore[misc]

    def _guarded(self, one: PanelState, work: Callable[[PanelState], None]) -> None:
        """Do it and look at it; whatever raises or is slow is said in the panel's place, and not asked again."""
        began = time.monotonic()
        self._busy = one, began

        def shown() -> None:
            work(one)
            one.say(*_look(one.thing))

        error = tried(one.who, shown)
        self._busy = None
        if error is not None:
            one.dropped = True
            one.say("error", error.reason)
        took = time.monotonic() - began
        if took > SLOW_S and not one.dropped and one.read:
            one.dropped = True
            one.say("error", f"{one.who} took {took:.1f} s for a batch of events, and gets no more of them")

    @staticmethod
    def _make(one: PanelState) -> None:
        one.thing = one.panel.make()


def _look(thing: Any) -> tuple[str, str]:
    """What it shows: a widget, its HTML where it says that it is some, else its text."""
    if isinstance(thing, Widget):
        return "model", str(thing.model_id)
    if (html := getattr(thing, "_repr_html_", None)) is None:
        return "text", plain(str(thing), TEXT)
    shown = html()
    if not isinstance(shown, str) or len(shown) > HTML:
        raise TypeError(f"_repr_html_ gave no text of at most {HTML} characters")
    return "html", shown
