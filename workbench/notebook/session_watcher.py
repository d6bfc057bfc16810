"""What widgets show of a session: its trace is read ten times a second, once for all widgets on it."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from workbench.model.errors import WorkbenchError, run_foreign
from workbench.model.events import Notice
from workbench.model.text import plain
from workbench.notebook.page_links import link_of
from workbench.notebook.plugin_panels import PluginPanels
from workbench.notebook.setting_widgets import setting_value
from workbench.readers.folds.calls import MARKS, CallRecord, outcome, signature
from workbench.readers.folds.conversation import ConversationLine
from workbench.session import Session
from workbench.session.process import tuned_process
from workbench.views.format import money
from workbench.views.screen import ScreenFold

POLL_S = 0.1
"""How often the trace is read, s: levels come as often."""
PANELS_S = 2.0
"""How long the panels of plugins may take to see the end, s."""
LINES = 60
"""Lines of the conversation that are shown."""
TOOL_CALLS = 5
"""Calls of tools that are shown."""
ARGUMENT_CHARACTERS = 400
"""Shown of an argument or a result."""
LINE_CHARACTERS = 4_000
"""Shown of a line."""

SLIDER_SETTINGS = (
    "vad.threshold",
    "turn.silence_ms",
    "turn.min_silence_ms",
    "bargein.min_speech_ms",
    "bargein.verdict_ms",
)
"""Settings that have a slider."""

WidgetState = dict[str, Any]
"""The widget's traits by name."""


class SessionWatcher:
    """Follows one session in a thread of its own, from its first event until it has ended.

    `state` is what there is to show; each is a new one. Subscribers are called in that thread, while no lock is held.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._fold = ScreenFold(session.trace)
        self._panels = PluginPanels(session)
        self.state: WidgetState = {}
        self._subscribers: list[Callable[[], None]] = []
        self._reported: set[str] = set()
        self._lock = threading.Lock()
        # In the cell's context: what observers print goes where the cell's output goes, while it is shown.
        cell = contextvars.copy_context()
        self._thread = threading.Thread(
            target=cell.run, args=(self._run,), name="notebook-watcher", daemon=True
        )

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Call this at each change from now on."""
        with self._lock:
            self._subscribers.append(on_change)
            if self._thread.ident is None:
                self._thread.start()

    def unsubscribe(self, on_change: Callable[[], None]) -> None:
        """Call this no more."""
        with self._lock, contextlib.suppress(ValueError):
            self._subscribers.remove(on_change)

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
        link_of(self._session).check_presence()
        if self._update():
            with self._lock:
                subscribers = list(self._subscribers)
            for subscriber in subscribers:
                self.call("the widget", subscriber)

    def call(self, name: str, work: Callable[[], object]) -> WorkbenchError | None:
        """Do `work`; return its failure, which is reported in the trace once for each `name`."""
        error = run_foreign(name, work)
        if error is not None and name not in self._reported:
            self._reported.add(name)
            if not self._session.trace.closed:
                self._session.trace.emit(Notice("warning", "widget", error.reason, error.hint))
        return error

    def _update(self) -> bool:
        """Read what is new; return whether anything has changed."""
        self._fold.read()
        before, self.state = self.state, self._new_state()
        return self.state != before

    def _new_state(self) -> WidgetState:
        fold, session, link = self._fold, self._session, link_of(self._session)
        levels, status = fold.levels, fold.status
        partial = next((line.text for line in reversed(fold.lines) if line.state == "partial"), "")
        return {
            "muted": levels.muted,
            "partial": plain(partial, LINE_CHARACTERS),
            "lines": [line_state(line) for line in fold.lines[-LINES:]],
            "levels": [levels.user_db, levels.user_peak_db, levels.agent_db, levels.agent_peak_db],
            "waterfall": asdict(replace(fold.waterfall, calls=())),
            "latency": asdict(fold.history),
            "tools": [call_state(call, fold.t_ms) for call in fold.tools.calls[-TOOL_CALLS:]],
            "panels": self._panels.contents,
            "knobs": slider_values(session),
            "owner": link.owner or "",
            "activity": fold.activity,  # after what it tells of: observers look at the others
            "status": {
                "agent": status.agent,
                "profile": status.profile,
                "duplex": setting_value(session, "bargein.mode"),
                "by_text": status.by_text,
                "answers": [
                    f"{stage}: {plain(provider.answers, 80)} for {plain(provider.name, 80)}"
                    for stage, provider in status.providers.items()
                    if provider.answers
                ],
                "lag": status.lag_max_ms if (status.lag_max_ms or 0) > 20 else None,
                "cost": money(status.spent) if status.spent and status.spent.get("cost") != 0 else None,
                "recording": status.recording,
                "echo_cancelled": link.echo_cancelled,
                "ended": status.ended,
                "error": [session.error.reason, session.error.hint] if session.error else None,
            },
        }


def slider_values(session: Session) -> dict[str, Any]:
    """Return the values of the settings that have a slider."""
    return {name: setting_value(session, name) for name in SLIDER_SETTINGS}


@lru_cache(2 * LINES)  # ten times a second nearly all of them are as before: 0.4 ms, 8 ms of long ones
def line_state(line: ConversationLine) -> dict[str, Any]:
    """Return a line of the conversation for the page: no longer than anybody reads."""
    texts = {name: plain(getattr(line, name), LINE_CHARACTERS) for name in ("text", "unheard", "hint")}
    return {"who": line.who, "state": line.state, **texts, "turn": line.turn, "heard_ms": line.heard_ms}


def call_state(call: CallRecord, now_ms: float) -> dict[str, Any]:
    """Return a call of a tool for the page: its result, or its progress."""
    result = call.error or call.result or ("" if call.open else "nothing")
    return {
        "name": plain(call.name, 80, one_line=True),
        "call": signature(call, ARGUMENT_CHARACTERS),
        "args": plain(call.arguments, ARGUMENT_CHARACTERS),
        "state": call.state,
        "mark": MARKS[call.state],
        "outcome": outcome(call, now_ms),
        "progress": plain(call.progress, ARGUMENT_CHARACTERS) if call.open else "",
        "fraction": call.fraction if call.open else None,
        "result": plain(result, ARGUMENT_CHARACTERS),
    }
