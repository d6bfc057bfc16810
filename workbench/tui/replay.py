"""A recording: both sides on one axis, turn by turn, with what was decided, every event, and the sound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.reactive import reactive
from textual.widgets import Footer, Static
from textual.worker import get_current_worker

from workbench.model.errors import MissingError, UsageError
from workbench.model.text import plain
from workbench.readers.folds.conversation import ConversationLine
from workbench.tui.panel_screen import PanelScreen
from workbench.tui.panels import TOOLS, PanelSource
from workbench.tui.player import Player
from workbench.tui.recording import Recording, RecordingState, Sides, next_match, seconds, turn_at
from workbench.tui.replay_keys import REPLAY_KEYS
from workbench.tui.time_window import TimeWindow
from workbench.tui.turn_marks import dismissed, note, turn_marks
from workbench.tui.widgets.conversation import ConversationView
from workbench.tui.widgets.header import Header, HeaderState
from workbench.tui.widgets.inspector import EventsView, Inspector, WhyView
from workbench.tui.widgets.latency_chart import LatencyChart
from workbench.tui.widgets.search import SearchLine
from workbench.tui.widgets.status_bar import StatusBar
from workbench.tui.widgets.timeline import TimeAxis, TimelineState
from workbench.tui.widgets.tool_panel import ToolPanelState
from workbench.tui.widgets.waterfall import Waterfall
from workbench.views.format import title
from workbench.views.trace import OpenTrace
from workbench.views.waterfall import lay_out

TICK_S = 1 / 10
"""How often the place of playing moves."""
GROW_S = 1.0
"""How often a recording without an end is looked at for more."""
AROUND = 40
"""Lines of the conversation shown before and after a turn."""
LONGEST_MS = 600_000.0
"""Of what is played at once."""

SaveTurn = Callable[[int], Path]


class ReplayScreen(PanelScreen):
    """Steps through the turns of a closed trace."""

    index: reactive[int] = reactive(0, init=False)
    """Which of the recording's turns is looked at."""

    BINDINGS: ClassVar[list[BindingType]] = REPLAY_KEYS

    def __init__(
        self, trace: OpenTrace, panel_source: PanelSource = tuple, save_turn: SaveTurn | None = None
    ) -> None:
        """`save_turn` saves a turn by its number as a test, and returns where."""
        super().__init__(panel_source)
        self._trace = trace
        self._save_turn = save_turn
        self._player = Player()
        self._state = RecordingState()
        self._window = TimeWindow()
        self._span = (0.0, 0.0)
        self._matches: list[int] = []
        self._everything = False
        self.recording: Recording | None = None
        self.drawn = asyncio.Event()
        """The recording has been read to its end, and the screen shows it."""

    def compose(self) -> ComposeResult:
        """The axis above, what was said on the left, the inspector on the right."""
        yield Header()
        yield TimeAxis(lambda *place: self.recording.peaks(*place) if self.recording else None)
        with Horizontal(id="body"):
            with Vertical(id="talk"):
                yield Static("Reading the recording …", id="reading", markup=False)
                yield ConversationView()
                yield self.panels
            yield Inspector()
        yield SearchLine()
        yield StatusBar()
        yield Footer(compact=True)

    # --- reading -----------------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Read it once the screen has been seen."""
        self.query_one(Header).state = HeaderState("recording")
        self.call_after_refresh(self._read_all)
        self.find_panels()
        self.set_interval(TICK_S, self._tick)
        self.set_interval(GROW_S, self._look_for_more)

    @work(thread=True, group="reading")
    def _read_all(self) -> None:
        """Read block by block; the first is shown at once."""
        worker, recording, call = get_current_worker(), self.recording, self.app.call_from_thread
        if recording is None:
            recording = Recording(self._trace)
            state = recording.read()
            call(self._begin, recording, state)
            complete = state.complete
        elif recording.grow():
            complete = False
        else:
            return
        while not complete and not worker.is_cancelled:
            recording.listen()
            state = recording.read()
            complete = state.complete
            call(self._take, state)
        while recording.listen() and not worker.is_cancelled:
            call(self._draw_timeline)
        call(self._complete)

    def _begin(self, recording: Recording, state: RecordingState) -> None:
        self.recording, self._state = recording, state
        self._window = TimeWindow(total_ms=max(1.0, recording.end_ms)).whole().fitted(0.0, 0.0)
        self._take(state)
        self._show_turn()

    def _take(self, state: RecordingState) -> None:
        """Show what was read meanwhile; the turn that is looked at stays as it is, unless there was none."""
        before, self._state = self._state, state
        assert self.recording is not None
        self._window = self._window.grown(self.recording.end_ms)
        status = self.query_one(StatusBar)
        status.status = state.status
        self.query_one(Header).state = HeaderState("recording", state.status, self.recording.end_ms)
        self.query_one("#reading").display = not state.lines
        self.set_class(bool(state.lines), "-noted")
        self.tool_panel.state = ToolPanelState(state.tools, state.read_ms)
        if before.shown(self.index) != state.shown(self.index):
            self._show_turn()
        else:
            self._draw_timeline()

    def _complete(self) -> None:
        self.query_one("#reading", Static).update("There is no turn in this recording.")
        if self._state.tools.calls and self.has_class("-wide", "-tall"):
            self.panels.current = TOOLS
        self._draw_timeline()
        self.call_after_refresh(self.drawn.set)

    def _look_for_more(self) -> None:
        """Somebody may still be recording, where there is no end yet."""
        if self._state.endless:
            self._read_all()

    # --- showing -----------------------------------------------------------------------------------------------------

    def watch_index(self, _index: int) -> None:
        """Show that turn."""
        self._player.stop()
        self._show_turn()

    def _show_turn(self) -> None:
        recording, state, index = self.recording, self._state, self.index
        if recording is None:
            return
        self.query_one(WhyView).accounts = state.accounts_of(index)
        self._list_events()
        if not state.turns:
            self.query_one(ConversationView).lines = state.lines[-AROUND:]
            self._draw_timeline()
            return
        turn = state.turns[index]
        layout = lay_out(turn, state.tools.of(turn.turn))
        self.query_one(Waterfall).turn = layout
        self.query_one(LatencyChart).history = replace(state.history, chosen=turn.turn)
        self.query_one(ConversationView).lines = around(state.lines, turn.turn)
        keys = [call.key for call in state.tools.calls if call.turn == turn.turn]
        if keys:
            self.tool_panel.choose(keys[0])
        if (moment := recording.moment(turn.turn)) is not None:
            self._mark(moment.start_ms, moment.end_ms)

    def _list_events(self) -> None:
        assert self.recording is not None
        events = self.recording.events(self._state, self.index, everything=self._everything)
        self.query_one(EventsView).entries = events

    def _mark(self, start_ms: float, end_ms: float) -> None:
        """Mark what is played, and bring it on the screen."""
        self._span = (start_ms, end_ms)
        if end_ms - start_ms > self._window.length_ms:
            self._window = self._window.fitted(start_ms, end_ms)
        self._window = self._window.showing(start_ms, end_ms)
        self._draw_timeline()

    def _draw_timeline(self) -> None:
        if self.recording is None:
            return
        state, timeline = self._state, self.query_one(TimeAxis)
        if state.turns:
            place = f"({self.index + 1} of {len(state.turns)}{'' if state.complete else ' so far'})"
            timeline.border_title = f"{title(state.turns[self.index])} {place}"
        timeline.state = TimelineState(
            self._window.start_ms,
            self._window.end_ms,
            self._span,
            turn_marks(state.turns, self.recording.moment, self.index),
            state.stretches,
            dismissed(state.accounts),
            self._at_ms,
            note(state, self.recording.end_ms, self._span, self._at_ms),
            timeline.state.drawn + 1,
        )

    @property
    def _at_ms(self) -> float | None:
        at_s = self._player.at_s
        return None if at_s is None else self._span[0] + at_s * 1000

    def _tick(self) -> None:
        if self._at_ms is not None or self.query_one(TimeAxis).state.at_ms is not None:
            self._draw_timeline()
        self.panels.feed(self._trace)

    # --- moving ------------------------------------------------------------------------------------------------------

    def action_step(self, by: int) -> None:
        """Go to an earlier or later turn."""
        self.index = min(max(0, self.index + by), max(0, len(self._state.turns) - 1))

    def action_part(self, by: int) -> None:
        """Mark the speech before or after what is marked."""
        parts = [(it.start_ms, it.end_ms or self._state.read_ms) for it in self._state.stretches]
        parts = [part for part in parts if (part[0] > self._span[0] if by > 0 else part[0] < self._span[0])]
        if parts:
            self._player.stop()
            self._mark(*(min(parts) if by > 0 else max(parts)))

    @on(TimeAxis.Pointed)
    def _point(self, event: TimeAxis.Pointed) -> None:
        """Mark the speech that was clicked at, else go to the turn there."""
        for it in self._state.stretches:
            end_ms = it.end_ms or self._state.read_ms
            if it.start_ms <= event.ms <= end_ms:
                return self._mark(it.start_ms, end_ms)
        assert self.recording is not None
        starts = [(self.recording.moment(turn.turn), index) for index, turn in enumerate(self._state.turns)]
        before = [index for moment, index in starts if moment is not None and moment.start_ms <= event.ms]
        self.index = max(before, default=0)

    def action_zoom(self, factor: float) -> None:
        """See more, or less."""
        self._window = self._window.zoomed(factor, sum(self._span) / 2)
        self._draw_timeline()

    def action_pan(self, by: float) -> None:
        """Move the axis."""
        self._window = self._window.moved(by)
        self._draw_timeline()

    def action_whole(self) -> None:
        """See everything."""
        self._window = self._window.whole()
        self._draw_timeline()

    def action_fit(self) -> None:
        """Mark the turn, and zoom to it."""
        self._show_turn()
        self._window = self._window.fitted(*self._span)
        self._draw_timeline()

    # --- looking -----------------------------------------------------------------------------------------------------

    def action_view(self, by: int) -> None:
        """Show the next view of the turn."""
        self.query_one(Inspector).step(by)

    def action_log(self) -> None:
        """Show the events."""
        self.query_one(Inspector).current = "events"

    def action_frequent(self) -> None:
        """List frequent events too, or leave them out."""
        self._everything = not self._everything
        if self.recording is not None:
            self._list_events()
            self.query_one(Inspector).current = "events"

    def action_choose(self, by: int) -> None:
        """Look at another call, or another event; else read on."""
        inspector = self.query_one(Inspector)
        if self.panels.current == TOOLS:
            super().action_choose(by)
        elif inspector.current == "events":
            self.query_one(EventsView).choose(by)
        else:
            inspector.scroll(by)

    def action_details(self, by: int) -> None:
        """Read on in the details."""
        if self.panels.current == TOOLS:
            super().action_details(by)
        else:
            self.query_one(Inspector).scroll(by)

    def action_search(self) -> None:
        """Take what is to be searched."""
        self.query_one(SearchLine).open()

    @on(SearchLine.Wanted)
    def _search(self, event: SearchLine.Wanted) -> None:
        self._find(event.text)

    @work(thread=True, group="search", exclusive=True)
    def _find(self, text: str) -> None:
        if self.recording is not None:
            self.app.call_from_thread(self._show_matches, text, self.recording.search(text))

    def _show_matches(self, text: str, matches: list[int]) -> None:
        self._matches = matches
        words = f"{len(matches)} events" if len(matches) != 1 else "1 event"
        self.notify(
            f"{words}; n and N step through them" if matches else "nothing",
            title=plain(text, 60),
            markup=False,
        )
        self.action_match(0)

    def action_match(self, by: int) -> None:
        """Go to the next place of what was searched, from the event that is looked at."""
        chosen = self.query_one(EventsView).chosen
        i = next_match(self._matches, -1 if chosen is None else chosen.i, by)
        if i is not None:
            self.index = turn_at(self._state, i)
            self.query_one(Inspector).current = "events"
            self.query_one(EventsView).look_at(i)

    def action_help(self) -> None:
        """Show or hide the keys."""
        if self.query("HelpPanel"):
            self.app.action_hide_help_panel()
        else:
            self.app.action_show_help_panel()

    # --- playing -----------------------------------------------------------------------------------------------------

    def action_play(self, sides: Sides) -> None:
        """Play what is marked, or stop; say why where it cannot be played."""
        if self.recording is None:
            return
        if self._player.at_s is not None:
            self._player.stop()
            return
        start_ms, end_ms = self._span
        samples = self.recording.sound(sides, start_ms, min(end_ms, start_ms + LONGEST_MS))
        if not seconds(samples):
            self.notify("nothing was recorded of it", title="No sound", severity="warning", markup=False)
            return
        try:
            self._player.play(samples)
        except MissingError as error:
            self.notify(plain(error.hint), title=plain(error.reason), severity="warning", markup=False)

    # --- saving ------------------------------------------------------------------------------------------------------

    @work(thread=True, group="saving", exclusive=True)
    def action_save_test(self) -> None:
        """Save the turn as a test."""
        if self._save_turn is None or not self._state.turns:
            return
        notify = partial(self.app.call_from_thread, self.notify, markup=False)
        try:
            place = self._save_turn(self._state.turns[self.index].turn)
        except UsageError as error:
            notify(plain(error.hint), title=plain(error.reason), severity="warning")
        else:
            notify(plain(f"pytest {place}"), title="Saved as a test")

    def leave(self, code: int, reason: str) -> None:
        """Stop playing, and leave."""
        self._player.stop()
        self.app.exit(return_code=code)


def around(lines: tuple[ConversationLine, ...], turn: int) -> tuple[ConversationLine, ...]:
    """Return the lines near a turn, its own marked."""
    indices = [index for index, line in enumerate(lines) if line.turn == turn] or [len(lines)]
    near = lines[max(0, indices[0] - AROUND) : indices[-1] + AROUND]
    return tuple(replace(line, chosen=line.turn == turn) for line in near)
