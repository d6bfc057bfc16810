"""The widget: what the page runs, and the traits that it shows."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
from workbench.notebook.saved_output import bundle, saved
from workbench.notebook.session_watcher import SLIDER_SETTINGS, SessionWatcher, State
from workbench.notebook.setting_widgets import bounds_of, setting, step_of
from workbench.session import Session

STATIC = Path(__file__).parent / "static"
BROWSER = "browser"
"""A source or sink: the page's."""
LEAVE_S = 10.0
"""How long the end of a session is waited for, s."""

_feeds: WeakValueDictionary[int, SessionWatcher] = WeakValueDictionary()


class _Local(threading.local):
    """Of each thread: the changes that are to be told yet, and the one told now that follows the session."""

    changes: list[Any] | None = None
    fed: Any = None


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
    knob_bounds = traitlets.Dict().tag(sync=True)
    status = traitlets.Dict().tag(sync=True)

    def __init__(self, session: Session) -> None:
        self.session = session
        """The session; its verbs work in the next cell."""
        self._link = link_of(session)
        self._local = _Local()
        self._given: State = {}
        self._replaced = self._left = False
        self._traits_lock = threading.RLock()
        super().__init__(
            _esm=page_program(),
            _css=page_style(),
            ident=f"{id(self):x}{time.monotonic_ns():x}",
            knobs={name: setting(session, name) for name in SLIDER_SETTINGS},
            knob_bounds=knob_bounds(),
            status=self._status({}),
        )
        hide_kernel_activity(str(getattr(self.comm, "comm_id", "")))
        # A page's messages go to the subshell that it chose, not to the thread that last sent: that may run a cell.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = None
        self._handler = MessageHandler(session, self._link, self.send)
        self.on_msg(self._take)
        self.observe(self._wanted, names=["muted", "knobs"])
        self._saved = saved(session, self.ident)
        self._feed = feed_of(session)
        self._feed.watch(self._show)
        self._show()

    def close(self) -> None:
        """End the session, and take the widget away. Another widget on the session stays, and shows the end."""
        if not self._left:  # ipywidgets closes what nobody holds any more
            self.end()
            self.leave()

    def leave(self) -> None:
        """Take the widget away; the session goes on."""
        self._left = True
        self._handler.close()
        self._feed.leave(self._show)
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
        self._go()

    def _go(self) -> None:
        if self._replaced and self.activity == "ended":
            self.leave()

    # ipywidgets holds changes back by a flag that all threads see: those of the feed, of a cell and of the page's
    # messages would lose each other's.

    def notify_change(self, change: Any) -> None:
        """A trait has changed; one thread at a time."""
        with self._alone():
            super().notify_change(change)

    @contextmanager
    def _alone(self, *, fed: bool = False) -> Iterator[None]:
        """Traits change here and in no other thread. Whoever observes them is called after that, while nothing is held.

        `fed`: they follow the session, whose thread no observer ends by raising.
        """
        if self._local.changes is not None:
            yield
            return
        changes = self._local.changes = []
        try:
            with self._traits_lock:
                yield
        finally:
            self._local.changes = None
        for change in changes:
            if fed:
                self._tell(change)
            else:
                super()._notify_observers(change)

    def _notify_observers(self, event: Any) -> None:
        if self._local.changes is not None:
            self._local.changes.append(event)
        else:
            super()._notify_observers(event)

    def _tell(self, change: Any) -> None:
        """An observer of what the session did; what it fails of is shown, in a session that is over as its error."""
        self._local.fed = change
        notify = super()._notify_observers
        error = self._feed.tell(f"an observer of {change['name']}", lambda: notify(change))
        if error is not None and self.session.trace.closed and not self.status.get("error"):
            with self._alone(fed=True):
                self.status = {**self.status, "error": [error.reason, error.hint]}

    def send_state(self, key: Any = None) -> None:
        """Send traits to the pages; one thread at a time."""
        with self._traits_lock:
            super().send_state(key)

    def __repr__(self) -> str:
        name = self.session.agent.name or "agent"
        points = self._given.get("latency", {}).get("points", ())  # not the trait, which anybody may set
        return f"<LiveWidget {name}: {self.activity}, {len(points)} turns heard>"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live view, and for those who cannot show that, what there was until now."""
        data, metadata = self._view()
        return {**bundle(self.session), **data}, metadata

    def _ipython_display_(self) -> None:
        """Two outputs: the live view, and what is saved; the page hides that one while it has the view."""
        data, metadata = self._view()
        display(data, metadata=metadata, raw=True)
        self._saved.show()

    def _view(self) -> tuple[dict[str, Any], dict[str, Any]]:
        made: Any = super()._repr_mimebundle_() if self.comm is not None else None
        return made or ({"text/plain": repr(self)}, {})

    # --- from the session to the page --------------------------------------------------------------------------------

    def _show(self) -> None:
        """What has changed since the last time; mostly in the feed's thread."""
        with self._alone(fed=True), self.hold_sync():
            now, before = self._feed.state, self._given
            self._given = now
            for name, value in now.items():
                if name in before and before[name] == value:
                    continue
                if name == "session_status":
                    self.status = self._status(value)
                else:
                    setattr(self, name, value)
        self._go()

    def _status(self, status: Mapping[str, Any]) -> dict[str, Any]:
        audio = self.session.settings.audio
        hears, speaks = audio.source == BROWSER, audio.sink == BROWSER
        return {
            "agent": "",
            "profile": "",
            "recording": None,
            "ended": "",
            "error": None,
            **status,
            "room": self.session.settings.room.name if audio.source == "room" else "",
            "browser": hears or speaks,
            "hears": hears,
            "speaks": speaks,
            "echo_wanted": audio.echo_cancellation and speaks,
            "echo": self._echo(),
        }

    def _echo(self) -> str:
        words = {True: "echo cancelled by the browser", False: "echo not cancelled", None: ""}
        return words[self._link.echo_cancelled]

    # --- from Python -------------------------------------------------------------------------------------------------

    def _wanted(self, change: Any) -> None:
        """Somebody set a trait; what the feed sets is what already is."""
        if change is self._local.fed:
            return
        try:
            if change["name"] == "muted":
                self.session.mute(bool(change["new"]))
            else:
                self._turn(change["new"])
        except UsageError:
            self._put_back(change)
            raise
        if change["name"] == "knobs":
            self._put_back(change)

    def _turn(self, knobs: Mapping[Any, Any]) -> None:
        for name, value in knobs.items():
            if name not in SLIDER_SETTINGS:
                hint = f"knobs: {', '.join(SLIDER_SETTINGS)}"
                raise UsageError(f"{plain(str(name), 40)} is no knob of the widget", hint)
            if value != setting(self.session, name):
                self.session.set(name, value)

    def _put_back(self, change: Any) -> None:
        """What is: all knobs where some were given, and whatever was refused."""
        with self._alone(fed=True):
            if change["name"] == "muted":
                self.muted = bool(change["old"])
            else:
                self.knobs = {name: setting(self.session, name) for name in SLIDER_SETTINGS}

    # --- from the page -----------------------------------------------------------------------------------------------

    def _take(self, _widget: Any, content: Any, buffers: Sequence[Any]) -> None:
        self.fresh = False
        self._handler.handle(content, buffers)


def feed_of(session: Session) -> SessionWatcher:
    """The one feed of a session, for as long as a widget holds it."""
    feed = _feeds.get(id(session))
    if feed is None:
        feed = _feeds[id(session)] = SessionWatcher(session)
    return feed


# --- what the page runs ----------------------------------------------------------------------------------------------


@cache
def page_program() -> str:
    """The page's program as one module: uPlot, the code of the audio thread as a text, and ours in its order."""
    parts = [
        (STATIC / f"{name}.js").read_text("utf-8")
        for name in (
            "uplot",
            "connection",
            "scheduled_playback",
            "audio",
            "file_source",
            "plugin_panels",
            "view",
            "live",
        )
    ]
    worklet = (STATIC / "audio_worklet.js").read_text("utf-8")
    parts.insert(1, f"const WORKLET = {json.dumps(worklet)};")
    return "\n".join(parts)


@cache
def page_style() -> str:
    """The page's style sheets."""
    return "\n".join((STATIC / f"{name}.css").read_text("utf-8") for name in ("uplot", "live"))


@cache
def knob_bounds() -> dict[str, dict[str, Any]]:
    """Bounds, step and sentence of each setting that has a slider."""
    told = sentences()
    found = {}
    for name in SLIDER_SETTINGS:
        low, high = (float(bounds_of(name)[end]) for end in ("min", "max"))
        found[name] = {"low": low, "high": high, "step": step_of(high - low), "says": told[name]}
    return found
