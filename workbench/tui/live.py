"""The live screen: reads the trace twenty times a second, and calls verbs on the session. Nothing else."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Footer, Static

from workbench.handle import SessionHandle
from workbench.model.errors import WorkbenchError
from workbench.model.text import plain
from workbench.tui.panel_screen import EventLog, PanelScreen
from workbench.tui.panels import TOOLS, PanelSource
from workbench.tui.session_thread import SessionThread
from workbench.tui.tool_dialog import DialogKind, ToolDialog, ToolRequest, answers_for, arguments_for
from workbench.tui.widgets.conversation import ConversationView
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
SESSION_ACTIONS = ("mute", "interrupt", "bookmark", "tool")
"""What can be done only while the session runs."""


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
            "ctrl+r", "tool('call')", "Call", id="tools.call", priority=True,
            tooltip="Call a tool with arguments of your own; they begin with those of the chosen call.",
        ),
        Binding(
            "ctrl+n", "tool('mock')", "Mock", id="tools.mock", priority=True,
            tooltip="Give a tool's answer in its place for this session, or let it run again.",
        ),
        Binding(
            "f3", "thinking", "Thinking", id="session.thinking", show=False,
            tooltip="Show what the model thinks from now on, or only that it does.",
        ),
        Binding("pageup", "scroll('up')", "Scroll up", id="screen.up", show=False),
        Binding("pagedown", "scroll('down')", "Scroll down", id="screen.down", show=False),
    ]  # fmt: skip

    class SessionClosed(Message):
        """The session is closed, or could not be opened."""

    def __init__(self, session: SessionThread, panel_source: PanelSource = tuple) -> None:
        super().__init__(panel_source)
        self._session = session
        self._shows_thinking = False
        self._fold = ScreenFold()
        self._exit_code: int | None = None
        """The application is about to end with it."""
        self._panel_chosen = False
        """The user chose a panel, or it has opened by itself."""
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
        self._session.start(self._post_closed)
        self.find_panels()
        self.set_interval(POLL_S, self._poll)

    def _post_closed(self) -> None:
        """Tell the screen; called in the session's thread."""
        if self.is_running:
            self.post_message(self.SessionClosed())

    def _poll(self) -> None:
        handle = self._session.handle
        if handle is None:
            return
        if self._fold.trace is not handle.trace:
            self._fold = ScreenFold(handle.trace)
        if (log_lines := self._fold.read()) is not None:
            self._show(log_lines)
        self._tick(handle)
        self.panels.feed(handle.trace)

    def _show(self, log_lines: list[str]) -> None:
        fold, status = self._fold, self._fold.status
        self.query_one(ConversationView).lines = fold.lines
        self.query_one(LevelMeters).levels = fold.levels
        self.query_one(StatusBar).status = status
        self.query_one(Waterfall).turn = fold.waterfall
        self.query_one(LatencyChart).history = fold.history
        self.query_one(Welcome).state = WelcomeState(status)
        self.set_class(bool(fold.lines), "-noted")
        self.set_class(any(line.who != "note" for line in fold.lines), "-talking")
        if log_lines:
            self.query_one(EventLog).write_lines(log_lines)
        if fold.tools.calls and not self._panel_chosen:
            self._panel_chosen = True
            if self.has_class("-wide", "-tall"):
                self.panels.current = TOOLS
        if status.ended:
            self._show_end()
        elif status.listening:
            self.call_after_refresh(self.listening.set)

    def _tick(self, handle: SessionHandle) -> None:
        fold = self._fold
        t_ms = fold.t_ms if fold.status.ended else handle.trace.now()
        self.query_one(Header).state = HeaderState(fold.activity, fold.status, t_ms // 1000 * 1000)
        running = any(call.open for call in fold.tools.calls[-RUNNING:])
        self.tool_panel.state = ToolPanelState(fold.tools, t_ms // 100 * 100 if running else 0.0)

    def _show_end(self) -> None:
        """Say that the session is over; if it failed, why."""
        self.query_one(Prompt).ended = True
        self.refresh_bindings()
        if (error := self._session.error) is not None:
            self.query_one(Welcome).state = WelcomeState(self._fold.status, *explain(error))
            self.add_class("-failed")
        self.call_after_refresh(self.listening.set)
        self.call_after_refresh(self.ended.set)

    @on(SessionClosed)
    def _session_closed(self) -> None:
        """Leave, if the user is leaving; else say why the session could not be opened."""
        self._poll()
        if self._exit_code is not None:
            self.app.exit(return_code=self._exit_code)
        elif self._session.error is not None:
            self.query_one(Header).state = HeaderState("ended", self._fold.status, self._fold.t_ms)
            self._show_end()

    def leave(self, code: int, reason: str) -> None:
        """End the session, then the application with that exit code; called a second time, do not wait."""
        again = self._exit_code is not None
        self._exit_code = code
        if again or self._session.closed:
            self.app.exit(return_code=code)
        else:
            self.notify("Closing the session …", timeout=60)
            self._session.close(reason)

    # --- keys --------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tools are called from their panel; a session that has ended can only be looked at."""
        if action in SESSION_ACTIONS and self.query_one(Prompt).ended:
            return False
        return self.panels.current == TOOLS if action == "tool" else super().check_action(action, parameters)

    def _handle(self) -> SessionHandle | None:
        """Return the session, or say that it is not there yet."""
        if self._session.handle is None:
            self.notify("Still opening the session.", timeout=2)
        return self._session.handle

    @on(Prompt.Typed)
    def _type(self, typed: Prompt.Typed) -> None:
        if (handle := self._handle()) is not None:
            handle.type(typed.text)

    def action_mute(self) -> None:
        """Stop listening, or listen again."""
        if (handle := self._handle()) is not None:
            handle.mute(not self._fold.levels.muted)

    def action_interrupt(self) -> None:
        """Stop the answer."""
        if (handle := self._handle()) is not None:
            handle.interrupt()

    def action_bookmark(self) -> None:
        """Mark this moment."""
        if (handle := self._handle()) is not None:
            handle.bookmark()

    def action_thinking(self) -> None:
        """Show what the model thinks, or only that it does."""
        if (handle := self._handle()) is not None:
            self._shows_thinking = not self._shows_thinking
            handle.set("reply.show_thinking", self._shows_thinking)
            self.notify(
                f"thinking is {'shown from now on' if self._shows_thinking else 'not shown'}", timeout=3
            )

    def action_log(self) -> None:
        """Show or hide the event log, at its end."""
        super().action_log()
        self.call_after_refresh(self.query_one(EventLog).scroll_end, animate=False)

    async def action_panel(self) -> None:
        """Show the next panel, or none; from now on none opens by itself."""
        self._panel_chosen = True
        await super().action_panel()

    def action_scroll(self, direction: str) -> None:
        """Look back in the conversation."""
        conversation = self.query_one(ConversationView)
        if direction == "up":
            conversation.scroll_page_up()
        elif conversation.is_vertical_scroll_end:
            conversation.anchor()  # follow it again
        else:
            conversation.scroll_page_down()

    def action_tool(self, kind: DialogKind) -> None:
        """Ask what to call a tool with, or what it shall answer."""
        if (handle := self._handle()) is None:
            return
        if not (names := handle.tools.names):
            self.notify("Give the agent a tool first.", timeout=3)
            return
        tools, chosen = self._fold.tools, self.tool_panel.chosen
        initial_text = (arguments_for if kind == "call" else answers_for)(tools, chosen)
        name = chosen.name if chosen is not None and chosen.name in names else names[0]
        dialog = ToolDialog(kind, names, name, initial_text, tools.mocks)
        self.app.push_screen(dialog, partial(self._run_tool, handle, kind))

    def _run_tool(self, handle: SessionHandle, kind: DialogKind, request: ToolRequest | None) -> None:
        if request is None:
            return
        try:
            if kind == "mock":
                handle.tools.mock(request.name, request.text)
            else:
                handle.tools.call(request.name, request.text or "")
        except WorkbenchError as error:
            self.notify(plain(error.hint), title=plain(error.reason), severity="warning", markup=False)


def explain(error: BaseException) -> tuple[str, str]:
    """Return reason and next step of whatever ended the session."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, WorkbenchError):
        return error.reason, error.hint
    return f"{type(error).__name__}: {error}", "this is our own fault; details follow when you leave"
