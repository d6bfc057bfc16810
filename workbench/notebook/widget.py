"""The widget: what the page runs, and the traits that it shows."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import anywidget
import traitlets
from IPython.display import display

from workbench.config.settings import sentences
from workbench.model.errors import UsageError, WorkbenchError
from workbench.model.text import plain
from workbench.notebook.kernel_status import hide_kernel_activity
from workbench.notebook.message_handler import MessageHandler
from workbench.notebook.page_links import link_of
from workbench.notebook.saved_output import conversation_bundle, saved_output
from workbench.notebook.session_watcher import SLIDER_SETTINGS, SessionWatcher, WidgetState, slider_values
from workbench.notebook.setting_widgets import bounds_of, setting_value, step_of
from workbench.session import Session
from workbench.views.palette import css

STATIC = Path(__file__).parent / "static"
PROGRAM = "uplot connection scheduled_playback audio file_source plugin_panels view live"
"""The page's program, in its order."""
BROWSER = "browser"
"""A source or sink: the page's."""
ECHO = {True: "echo cancelled by the browser", False: "echo not cancelled", None: ""}
LEAVE_S = 10.0
"""How long the end of a session is waited for, s."""

_watchers: WeakValueDictionary[int, SessionWatcher] = WeakValueDictionary()


class LiveWidget(anywidget.AnyWidget):
    """The widget. Its traits are what it shows; `muted` and `knobs` may also be set, from Python and from the page."""

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    ident = traitlets.Unicode().tag(sync=True)
    fresh = traitlets.Bool(True).tag(sync=True)
    owner = traitlets.Unicode().tag(sync=True)
    activity = traitlets.Unicode("starting").tag(sync=True)
    muted = traitlets.Bool(False).tag(sync=True)
    partial = traitlets.Unicode().tag(sync=True)
    lines: Any = traitlets.List().tag(sync=True)
    levels = traitlets.List([-120, -120, -120, -120]).tag(sync=True)
    waterfall: Any = traitlets.Dict({"title": "", "total_ms": None, "bars": []}).tag(sync=True)
    latency: Any = traitlets.Dict({"points": [], "p50": None, "p95": None, "n": 0}).tag(sync=True)
    tools: Any = traitlets.List().tag(sync=True)
    panels: Any = traitlets.List().tag(sync=True)
    knobs = traitlets.Dict().tag(sync=True)
    slider_bounds = traitlets.Dict().tag(sync=True)
    status = traitlets.Dict().tag(sync=True)

    def __init__(self, session: Session) -> None:
        self.session = session
        """The session; its verbs work in the next cell."""
        self._link = link_of(session)
        self._following = threading.local()
        """Of each thread: the trait and the value by which the widget follows the session now."""
        self._observer_error: list[str] | None = None
        self._state: WidgetState = {}
        self._replaced = self._gone = False
        super().__init__(
            _esm=page_program(),
            _css=page_style(),
            ident=f"{id(self):x}{time.monotonic_ns():x}",
            knobs=slider_values(session),
            slider_bounds=slider_bounds(),
            status=self._status({}),
        )
        hide_kernel_activity(str(getattr(self.comm, "comm_id", "")))
        # A page's messages go to the subshell that it chose, not to the thread that last sent: that may run a cell
        # (docs/decisions/0061).
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = None
        self._handler = MessageHandler(session, self._link, self.send)
        self.on_msg(self._handle)
        self.observe(self._trait_set, names=["muted", "knobs"])
        self._saved = saved_output(session, self.ident)
        self._watcher = watcher_of(session)
        self._watcher.subscribe(self._show)
        self._show()

    def close(self) -> None:
        """End the session, and take the widget away. Another widget on the session stays, and shows the end."""
        if not self._gone:  # ipywidgets closes what nobody holds any more
            self.end()
            self.leave()

    def leave(self) -> None:
        """Take the widget away; the session goes on."""
        self._gone = True
        self._handler.close()
        self._watcher.unsubscribe(self._show)
        super().close()

    def end(self, reason: str = "stopped") -> None:
        """End the session; the widget stays, and the recording is whole when this returns."""
        self.session.stop(reason)
        with suppress(WorkbenchError):
            self.session.wait(LEAVE_S)

    def replace(self) -> None:
        """End the session, as another has its place, and take the widget away when it has shown that."""
        self.end("replaced by a new one")
        self._replaced = True
        self._leave_if_replaced()

    def _leave_if_replaced(self) -> None:
        if self._replaced and self.activity == "ended":
            self.leave()

    def __repr__(self) -> str:
        name = self.session.agent.name or "agent"
        points = self._state.get("latency", {}).get("points", ())  # not the trait, which anybody may set
        return f"<LiveWidget {name}: {self.activity}, {len(points)} turns heard>"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live view, and the conversation until now for those who cannot show that."""
        data, metadata = self._view()
        return {**conversation_bundle(self.session), **data}, metadata

    def _ipython_display_(self) -> None:
        """Two outputs: the live view, and what is saved; the page hides that one while it has the view."""
        data, metadata = self._view()
        display(data, metadata=metadata, raw=True)
        self._saved.show()

    def _view(self) -> tuple[dict[str, Any], dict[str, Any]]:
        view: Any = super()._repr_mimebundle_() if self.comm is not None else None
        return view or ({"text/plain": repr(self)}, {})

    # --- from the session to the page --------------------------------------------------------------------------------

    # No `hold_sync` here: it holds back by a flag that all threads see, and those of the watcher, of a cell and of the
    # page's messages would lose each other's changes.

    def _show(self) -> None:
        """Show what has changed since the last time; mostly in the watcher's thread."""
        before, self._state = self._state, self._watcher.state
        for name, value in self._state.items():
            if name not in before or before[name] != value:
                self._follow(name, self._status(value) if name == "status" else value)
        if self._observer_error and not self.status.get("error"):
            self._follow("status", self._status(self._state["status"]))
        self._leave_if_replaced()

    def _follow(self, name: str, value: Any) -> None:
        """Set a trait to the session's value. An observer that raises is reported, after the session by the widget."""
        outer = getattr(self._following, "change", None)
        self._following.change = name, value
        error = self._watcher.call(f"an observer of {name}", lambda: setattr(self, name, value))
        self._following.change = outer
        if error is not None and self.session.trace.closed:
            self._observer_error = self._observer_error or [error.reason, error.hint]

    def _status(self, status: Mapping[str, Any]) -> dict[str, Any]:
        audio = self.session.settings.audio
        hears, speaks = audio.source == BROWSER, audio.sink == BROWSER
        return {
            **{"agent": "", "profile": "", "recording": None, "ended": "", **status},
            "error": status.get("error") or self._observer_error,
            "room": self.session.settings.room.name if audio.source == "room" else "",
            "browser": hears or speaks,
            "hears": hears,
            "speaks": speaks,
            "echo_wanted": audio.echo_cancellation and speaks,
            "echo": ECHO[self._link.echo_cancelled],
        }

    # --- from Python -------------------------------------------------------------------------------------------------

    def _trait_set(self, change: Any) -> None:
        """Somebody set `muted` or `knobs`: so does the session. What follows the session is so already."""
        if (change["name"], change["new"]) == getattr(self._following, "change", None):
            return
        try:
            if change["name"] == "muted":
                self.session.mute(bool(change["new"]))
            else:
                self._set_settings(change["new"])
        except UsageError:
            self._restore(change)
            raise
        if change["name"] == "knobs":
            self._restore(change)

    def _set_settings(self, values: Mapping[Any, Any]) -> None:
        for name, value in values.items():
            if name not in SLIDER_SETTINGS:
                hint = f"knobs: {', '.join(SLIDER_SETTINGS)}"
                raise UsageError(f"{plain(str(name), 40)} is no knob of the widget", hint)
            if value != setting_value(self.session, name):
                self.session.set(name, value)

    def _restore(self, change: Any) -> None:
        """Show the session's values: of all sliders where some were given, and of what was refused."""
        if change["name"] == "muted":
            self._follow("muted", bool(change["old"]))
        else:
            self._follow("knobs", slider_values(self.session))

    # --- from the page -----------------------------------------------------------------------------------------------

    def _handle(self, _widget: Any, content: Any, buffers: Sequence[Any]) -> None:
        self.fresh = False
        self._handler.handle(content, buffers)


def watcher_of(session: Session) -> SessionWatcher:
    """Return the one watcher of a session, for as long as a widget holds it."""
    watcher = _watchers.get(id(session))
    if watcher is None:
        watcher = _watchers[id(session)] = SessionWatcher(session)
    return watcher


# --- what the page runs ----------------------------------------------------------------------------------------------


@cache
def page_program() -> str:
    """Return the page's program as one module: uPlot, the code of the audio thread as a text, and ours in its order."""
    uplot, *ours = [(STATIC / f"{name}.js").read_text("utf-8") for name in PROGRAM.split()]
    worklet = (STATIC / "audio_worklet.js").read_text("utf-8")
    return "\n".join([uplot, f"const WORKLET = {json.dumps(worklet)};", *ours])


@cache
def page_style() -> str:
    """Return the page's style sheets, with the colours of the palette."""
    return "\n".join([css(), *((STATIC / f"{name}.css").read_text("utf-8") for name in ("uplot", "live"))])


@cache
def slider_bounds() -> dict[str, dict[str, Any]]:
    """Return bounds, step and description of each setting that has a slider."""
    descriptions, bounds = sentences(), {}
    for name in SLIDER_SETTINGS:
        low, high = (float(bounds_of(name)[end]) for end in ("min", "max"))
        step, description = step_of(high - low), descriptions[name]
        bounds[name] = {"low": low, "high": high, "step": step, "description": description}
    return bounds
