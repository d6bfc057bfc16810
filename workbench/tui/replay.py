"""A recording in the same screen: turn by turn, with its waterfall and its sound."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.reactive import reactive
from textual.widgets import Footer, Static

from workbench.model.errors import MissingError
from workbench.model.text import plain
from workbench.readers.folds.conversation import ConversationLine
from workbench.tui.panel_screen import EventLog, PanelScreen
from workbench.tui.panels import TOOLS, PanelSource
from workbench.tui.player import Player
from workbench.tui.recording import Recording
from workbench.tui.widgets.conversation import ConversationView
from workbench.tui.widgets.header import Header, HeaderState
from workbench.tui.widgets.latency_chart import LatencyChart
from workbench.tui.widgets.status_bar import StatusBar
from workbench.tui.widgets.tool_panel import ToolPanelState
from workbench.tui.widgets.waterfall import Waterfall
from workbench.tui.widgets.waveform import WaveformView
from workbench.views.trace import OpenTrace
from workbench.views.waterfall import lay_out

TICK_S = 1 / 10
"""How often the place of playing moves."""
AROUND = 40
"""Lines of the conversation shown before and after a turn."""


class ReplayScreen(PanelScreen):
    """Steps through the turns of a closed trace."""

    index: reactive[int] = reactive(0, init=False)
    """Which of the recording's turns is looked at."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Earlier", id="replay.earlier", tooltip="The turn before."),
        Binding("right", "step(1)", "Later", id="replay.later", tooltip="The turn after."),
        Binding("home", "first", "First", id="replay.first", show=False, tooltip="The first turn."),
        Binding("end", "last", "Last", id="replay.last", show=False, tooltip="The last turn."),
        Binding("space", "play", "Play", id="replay.play", tooltip="Play this turn, or stop."),
    ]  # fmt: skip

    def __init__(self, trace: OpenTrace, panel_source: PanelSource = tuple) -> None:
        super().__init__(panel_source)
        self._trace = trace
        self._player = Player()
        self.recording: Recording | None = None
        self.drawn = asyncio.Event()
        """The recording has been read, and the screen shows it."""

    def compose(self) -> ComposeResult:
        """The live screen, with the sound of a turn in the place of the levels."""
        yield Header()
        with Horizontal(id="body"):
            with Vertical(id="talk"):
                yield Static("Reading the recording …", id="reading", markup=False)
                yield ConversationView()
                yield self.panels
                yield EventLog()
            with Vertical(id="instruments"):
                yield WaveformView()
                yield Waterfall()
                yield LatencyChart()
        yield StatusBar()
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Read it once the screen has been seen."""
        self.call_after_refresh(self._read_all)
        self.find_panels()

    @work(thread=True)
    def _read_all(self) -> None:
        recording = Recording(self._trace)
        self.app.call_from_thread(self._ready, recording)

    def _ready(self, recording: Recording) -> None:
        self.recording = recording
        self.query_one(Header).state = HeaderState("recording", recording.status, recording.t_ms)
        self.query_one(StatusBar).status = recording.status
        self.query_one("#reading", Static).update("There is no turn in this recording.")
        self.query_one("#reading").display = not recording.lines
        self.set_class(bool(recording.lines), "-noted")
        self.tool_panel.state = ToolPanelState(recording.tools, recording.t_ms)
        if recording.tools.calls and self.has_class("-wide", "-tall"):
            self.panels.current = TOOLS
        self.index = max(0, len(recording.turns) - 1)
        self.watch_index(self.index)
        self.set_interval(TICK_S, self._tick)
        self.call_after_refresh(self.drawn.set)

    def watch_index(self, index: int) -> None:
        """Show that turn."""
        recording = self.recording
        if recording is None:
            return
        self._player.stop()
        log = self.query_one(EventLog)
        log.clear().write_lines(recording.log(index), scroll_end=False)
        log.scroll_home(animate=False)
        if not recording.turns:
            self.query_one(ConversationView).lines = recording.lines
            return
        turn = recording.turns[index]
        layout = lay_out(turn, recording.tools.of(turn.turn))
        title = f"{layout.title} ({index + 1} of {len(recording.turns)})"
        self.query_one(Waterfall).turn = replace(layout, title=title)
        self.query_one(LatencyChart).history = replace(recording.history, chosen=turn.turn)
        self.query_one(ConversationView).lines = around(recording.lines, turn.turn)
        keys = [call.key for call in recording.tools.calls if call.turn == turn.turn]
        if keys:
            self.tool_panel.choose(keys[0])
        self.query_one(WaveformView).waveform = recording.waveform(turn.turn)

    def _tick(self) -> None:
        view = self.query_one(WaveformView)
        view.waveform = replace(view.waveform, at_s=self._player.at_s)
        self.panels.feed(self._trace)

    def action_step(self, by: int) -> None:
        """Go to an earlier or later turn."""
        if self.recording is not None:
            self.index = min(max(0, self.index + by), max(0, len(self.recording.turns) - 1))

    def action_first(self) -> None:
        """Go to the first turn."""
        self.action_step(-self.index)

    def action_last(self) -> None:
        """Go to the last turn."""
        self.action_step(len(self.recording.turns) if self.recording else 0)

    def action_play(self) -> None:
        """Play this turn, or stop; say why where it cannot be played."""
        if self.recording is None or not self.recording.turns:
            return
        if self._player.at_s is not None:
            self._player.stop()
            return
        try:
            self._player.play(self.recording.sound(self.recording.turns[self.index].turn))
        except MissingError as error:
            self.notify(plain(error.hint), title=plain(error.reason), severity="warning", markup=False)

    def leave(self, code: int, reason: str) -> None:
        """Stop playing, and leave."""
        self._player.stop()
        self.app.exit(return_code=code)


def around(lines: tuple[ConversationLine, ...], turn: int) -> tuple[ConversationLine, ...]:
    """Return the lines near a turn, its own marked."""
    indices = [index for index, line in enumerate(lines) if line.turn == turn] or [len(lines)]
    near = lines[max(0, indices[0] - AROUND) : indices[-1] + AROUND]
    return tuple(replace(line, chosen=line.turn == turn) for line in near)
