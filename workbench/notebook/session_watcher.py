"""What widgets show of a session: its trace is read ten times a second, once for all widgets on it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from workbench.model.errors import WorkbenchError, tried
from workbench.model.events import Notice
from workbench.model.text import plain
from workbench.notebook.page_links import link_of
from workbench.notebook.plugin_panels import PluginPanels
from workbench.notebook.setting_widgets import setting
from workbench.readers.folds.calls import MARKS, Call, outcome, signature
from workbench.readers.folds.conversation import Line
from workbench.readers.folds.screen import ScreenFold
from workbench.session import Session
from workbench.session.process import tuned_process

POLL_S = 0.1
"""How often the trace is read, s: levels come as often."""
PANELS_S = 2.0
"""How long the panels of plugins may take to see the end, s."""
LINES = 60
"""Lines of the conversation that are shown."""
TOOLS = 5
"""Calls of tools that are shown."""
SHOWN = 400
"""Characters of an argument or a result that are shown."""
TEXT = 4_000
"""Characters of a line that are shown."""

SLIDER_SETTINGS = (
    "vad.threshold",
    "turn.silence_ms",
    "turn.min_silence_ms",
    "bargein.min_speech_ms",
    "bargein.verdict_ms",
)
"""Settings that have a slider."""

State = dict[str, Any]
"""The widget's traits by name."""


class SessionWatcher:
    """Follows one session in a thread of its own, from its first event until it has ended.

    `state` is what there is to show; each is a new one. Who watches is called in that thread, while nothing is held.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._fold = ScreenFold()
        self._panels = PluginPanels(session)
        self._read = 0
        self.state: State = {}
        self._watchers: list[Callable[[], None]] = []
        self._failed: set[str] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="notebook-feed", daemon=True)

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call this at each change from now on."""
        with self._lock:
            self._watchers.append(on_change)
            if self._thread.ident is None:
                self._thread.start()

    def leave(self, on_change: Callable[[], None]) -> None:
        """Call this no more."""
        with self._lock:
            if on_change in self._watchers:
                self._watchers.remove(on_change)

    def _run(self) -> None:
        with tuned_process():  # cells compute while it talks
            self._panels.start()
            while not self._session.over:
                self._poll()
            self._panels.join(PANELS_S)
            self._poll()

    def _poll(self) -> None:
        with contextlib.suppress(WorkbenchError):  # `error` has it
            self._session.wait(POLL_S)
        link_of(self._session).look()
        if self._look():
            with self._lock:
                watchers = list(self._watchers)
            for watcher in watchers:  # one that fails keeps nothing from the others
                self.tell("the widget", watcher)

    def tell(self, who: str, work: Callable[[], object]) -> WorkbenchError | None:
        """Do it; what it fails of is said, once for each `who`."""
        error = tried(who, work)
        if error is not None and who not in self._failed:
            self._failed.add(who)
            if not self._session.trace.closed:
                self._session.trace.emit(Notice("warning", "widget", error.reason, error.hint))
        return error

    def _look(self) -> bool:
        """Read what is new; whether anything is other than before."""
        while entries := self._session.trace.since(self._read):
            self._read = entries[-1].i + 1
            self._fold.feed(entries)
        now = self._shown()
        before, self.state = self.state, now
        return now != before

    def _shown(self) -> State:
        fold, session = self._fold, self._session
        gauges, status = fold.gauges, fold.status
        partial = next((line.text for line in reversed(fold.lines) if line.state == "partial"), "")
        return {
            "activity": fold.activity,
            "muted": gauges.muted,
            "partial": plain(partial, TEXT),
            "lines": [shown_line(line) for line in fold.lines[-LINES:]],
            "levels": [gauges.user_db, gauges.user_peak_db, gauges.agent_db, gauges.agent_peak_db],
            "waterfall": asdict(replace(fold.last, calls=())),
            "latency": asdict(fold.history),
            "tools": [shown_call(call, fold.t_ms) for call in fold.tools.calls[-TOOLS:]],
            "panels": self._panels.shown,
            "knobs": {name: setting(session, name) for name in SLIDER_SETTINGS},
            "owner": link_of(session).owner or "",
            "session_status": {
                "agent": status.agent,
                "profile": status.profile,
                "duplex": setting(session, "bargein.mode"),
                "lag": status.lag_max_ms if (status.lag_max_ms or 0) > 20 else None,
                "recording": status.recording,
                "echo_cancelled": link_of(session).echo_cancelled,
                "ended": status.ended,
                "error": [session.error.reason, session.error.hint] if session.error else None,
            },
        }


@lru_cache(2 * LINES)  # ten times a second nearly all of them are as before: 0.4 ms, 8 ms of long ones
def shown_line(line: Line) -> dict[str, Any]:
    """A line of the conversation as the page gets it: no longer than anybody reads."""
    texts = {name: plain(getattr(line, name), TEXT) for name in ("text", "unheard", "hint")}
    return {"who": line.who, "state": line.state, **texts, "turn": line.turn, "heard_ms": line.heard_ms}


def shown_call(call: Call, now_ms: float) -> dict[str, Any]:
    """A call of a tool as the page gets it: what came of it, or how far it is."""
    came = call.error or call.result or ("" if call.open else "nothing")
    return {
        "name": plain(call.name, 80, one_line=True),
        "call": signature(call, SHOWN),
        "args": plain(call.arguments, SHOWN),
        "state": call.state,
        "mark": MARKS[call.state],
        "outcome": outcome(call, now_ms),
        "progress": plain(call.progress, SHOWN) if call.open else "",
        "fraction": call.fraction if call.open else None,
        "result": plain(came, SHOWN),
    }
