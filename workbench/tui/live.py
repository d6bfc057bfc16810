"""The live screen: reads the trace twenty times a second, and calls verbs on the session. Nothing else."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer, Static

from workbench.handle import SessionHandle
from workbench.model.errors import WorkbenchError
from workbench.model.text import plain
from workbench.tui.messages import SessionClosed, Typed
from workbench.tui.panel_screen import PanelScreen
from workbench.tui.panels import TOOLS, PanelSource
from workbench.tui.session_thread import SessionThread
from workbench.tui.tool_dialog import DialogKind, ToolDialog, ToolRequest, answers_for, arguments_for
from workbench.tui.widgets.conversation import ConversationView
from workbench.tui.widgets.eventlog import EventLog
from workbench.tui.widgets.header import Header, HeaderState
from workbench.tui.widgets.latency_chart import LatencyChart
from workbench.tui.widgets.level_meters import LevelMeters
from workbench.tui.widgets.prompt import Prompt
from workbench.tui.widgets.status_bar import StatusBar
from workbench.tui.widgets.tool_panel import ToolPanelState
from workbench.tui.widgets.waterfall import Waterfall
from workbench.tui.widgets.welcome import Welcome, WelcomeState
from workbench.views.screen import ScreenFold

POLL_S = 1 / 20
"""The trace is read so often: levels come at 10 Hz, and 50 ms is not seen as late."""


RUNNING = 50
"""Of so many calls, the newest, the time is shown while it passes."""


class LiveScreen(PanelScreen):
    """A conversation and the instruments beside it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+o", "mute", "Mute", id="session.mute", priority=True,
            tooltip="Stop listening, or listen again. Typing works meanwhile.",
        ),
        Binding(
            "escape", "interrupt", "Interrupt", id="session.interrupt", priority=True,
            tooltip="Stop the agent's answer here.",
        ),
        Binding(
            "ctrl+b", "bookmark", "Bookmark", id="session.bookmark", priority=True,
            tooltip="Mark this moment in the recording.",
        ),
        Binding(
            "ctrl+l", "log", "Log", id="screen.log", priority=True,
            tooltip="Show or hide the event log.",
        ),
        Binding(
            "ctrl+r", "tool('call')", "Call", id="tools.call", priority=True,
            tooltip="Call a tool with arguments of your own; they begin with those of the chosen call.",
        ),
        Binding(
            "ctrl+n", "tool('mock')", "Mock", id="tools.mock", priority=True,
            tooltip="Give a tool's answer in its place for this session, or let it run again.",
        ),
        Binding("pageup", "scroll('up')", "Scroll up", id="screen.up", show=False),
        Binding("pagedown", "scroll('down')", "Scroll down", id="screen.down", show=False),
    ]  # fmt: skip

    def __init__(self, host: SessionThread, offer: PanelSource = tuple) -> None:
        super().__init__(offer)
        self._host = host
        self._fold = ScreenFold()
        self._leaving: int | None = None
        self._offered = False
        self.listening = asyncio.Event()
        """The screen shows that the session listens, or that it never will."""
        self.ended = asyncio.Event()
        """The screen shows the end of the session."""

    def compose(self) -> ComposeResult:
        """Header; conversation and log on the left, instruments on the right; prompt, facts and keys below."""
        yield Header()
        with Horizontal(id="body"):
            with Vertical(id="talk"):
                yield Welcome()
                yield ConversationView()
                yield self.panels
                yield EventLog()
            with Vertical(id="instruments"):
                yield LevelMeters()
                yield Waterfall()
                yield LatencyChart()
        with Horizontal(id="ask"):
            yield Static("›", id="caret")
            yield Prompt()
        yield StatusBar()
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Open the session once the screen has been seen."""
        self.call_after_refresh(self._open)

    def _open(self) -> None:
        self._host.start(self._session_left)
        self.find_panels()
        self.set_interval(POLL_S, self._poll)

    def _session_left(self) -> None:
        """On the session's thread: it was left, or could not be opened."""
        if self.is_running:
            self.post_message(SessionClosed())

    def _poll(self) -> None:
        handle = self._host.handle
        if handle is None:
            return
        if self._fold.trace is not handle.trace:
            self._fold = ScreenFold(handle.trace)
        news = self._fold.read()
        if news is not None:
            self._show(news)
        self._tick(handle)
        self.panels.feed(handle.trace)

    def _show(self, logged: list[str]) -> None:
        fold = self._fold
        status, lines = fold.status, fold.lines
        self.query_one(ConversationView).lines = lines
        self.query_one(LevelMeters).gauges = fold.levels
        self.query_one(StatusBar).status = status
        self.query_one(Waterfall).turn = fold.waterfall
        self.query_one(LatencyChart).history = fold.history
        self.query_one(Welcome).state = WelcomeState(status)
        self.set_class(bool(lines), "-noted")
        self.set_class(any(line.who != "note" for line in lines), "-talking")
        if logged:
            self.query_one(EventLog).write_lines(logged)
        if fold.tools.calls and not self._offered:
            self._offered = True
            if self.has_class("-wide", "-tall"):
                self.panels.current = TOOLS
        if status.ended:
            self._show_end()
        elif status.listening:
            self.call_after_refresh(self.listening.set)

    def _tick(self, handle: SessionHandle) -> None:
        fold = self._fold
        t_ms = fold.t_ms if fold.activity == "ended" else handle.trace.now()
        self.query_one(Header).heading = HeaderState(fold.activity, fold.status, t_ms // 1000 * 1000)
        running = any(call.open for call in fold.tools.calls[-RUNNING:])
        self.tool_panel.shown = ToolPanelState(fold.tools, t_ms // 100 * 100 if running else 0.0)

    @on(SessionClosed)
    def _over(self) -> None:
        """Leave, if that was asked for; else say why it could not be opened."""
        self._poll()
        if self._leaving is not None:
            self.app.exit(return_code=self._leaving)
        elif self._host.error is not None:
            self.query_one(Header).heading = HeaderState("ended", self._fold.status, self._fold.t_ms)
            self._show_end()

    def _show_end(self) -> None:
        """Say that the session is over; if it failed, why."""
        self.query_one(Prompt).ended = True
        self.refresh_bindings()
        error = self._host.error
        if error is not None:
            self.query_one(Welcome).state = WelcomeState(self._fold.status, *explained(error))
            self.add_class("-failed")
        self.call_after_refresh(self.listening.set)
        self.call_after_refresh(self.ended.set)

    def leave(self, code: int, reason: str) -> None:
        """End the session, then the application with that exit code; asked a second time, do not wait."""
        again = self._leaving is not None
        self._leaving = code
        if again or self._host.left:
            self.app.exit(return_code=code)
        else:
            self.notify("Closing the session …", timeout=60)
            self._host.leave(reason)

    @on(Typed)
    def _type(self, typed: Typed) -> None:
        if (handle := self._talking()) is not None:
            handle.type(typed.text)

    def action_mute(self) -> None:
        """Stop listening, or listen again."""
        if (handle := self._talking()) is not None:
            handle.mute(not self._fold.levels.muted)

    def action_interrupt(self) -> None:
        """Stop the answer."""
        if (handle := self._talking()) is not None:
            handle.interrupt()

    def action_bookmark(self) -> None:
        """Mark this moment."""
        if (handle := self._talking()) is not None:
            handle.bookmark()

    def action_log(self) -> None:
        """Show or hide the event log."""
        self.toggle_class("-log")
        self.call_after_refresh(self.query_one(EventLog).scroll_end, animate=False)

    async def action_panel(self) -> None:
        """Show the next panel, or none; from now on nobody else does."""
        self._offered = True
        await super().action_panel()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tools are called from their panel; a session that has ended can only be looked at."""
        if action in ("mute", "interrupt", "bookmark", "tool") and self.query_one(Prompt).ended:
            return False
        return self.panels.current == TOOLS if action == "tool" else super().check_action(action, parameters)

    def action_tool(self, kind: DialogKind) -> None:
        """Call a tool, or give its answer."""
        handle, tools, chosen = self._talking(), self._fold.tools, self.tool_panel.chosen
        if handle is None:
            return
        names = handle.tools.names
        if not names:
            self.notify("Give the agent a tool first.", timeout=3)
            return
        begin = (arguments_for if kind == "call" else answers_for)(tools, chosen)
        name = chosen.name if chosen is not None and chosen.name in names else names[0]
        self.app.push_screen(
            ToolDialog(kind, names, name, begin, tools.mocks), partial(self._asked, handle, kind)
        )

    def _asked(self, handle: SessionHandle, kind: DialogKind, answer: ToolRequest | None) -> None:
        if answer is None:
            return
        try:
            if kind == "mock":
                handle.tools.mock(answer.name, answer.text)
            else:
                handle.tools.call(answer.name, answer.text or "")
        except WorkbenchError as error:
            self.notify(plain(error.hint), title=plain(error.reason), severity="warning", markup=False)

    def action_scroll(self, way: str) -> None:
        """Look back in the conversation."""
        conversation = self.query_one(ConversationView)
        conversation.scroll_page_up() if way == "up" else conversation.scroll_page_down()

    def _talking(self) -> SessionHandle | None:
        """The session, or a word to the user that it is not there yet."""
        handle = self._host.handle
        if handle is None and self._host.error is None:
            self.notify("Still opening the session.", timeout=2)
        elif handle is None or self._host.left or self._fold.activity == "ended":
            self.notify("The session is over.", timeout=2)
        else:
            return handle
        return None


def explained(error: BaseException) -> tuple[str, str]:
    """Reason and next step of whatever ended the session."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, WorkbenchError):
        return error.reason, error.hint
    return f"{type(error).__name__}: {error}", "this is our own fault; details follow when you leave"
