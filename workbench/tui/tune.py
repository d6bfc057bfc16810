"""`workbench tune --tui`: walk along the front, hear what would change, correct labels, write the chosen settings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from workbench.model.errors import MissingError, WorkbenchError
from workbench.model.text import plain
from workbench.replay.tune.figures import TunePoint
from workbench.replay.tune.labels import write_label
from workbench.replay.tune.playback import sound_around
from workbench.replay.tune.summary import became, caution, overview, settings_text, share, span
from workbench.replay.tune.truth import Label
from workbench.replay.tune.tuning import ChangedSilence, TuneResult
from workbench.tui.player import Player
from workbench.tui.widgets.front_chart import FrontChart, FrontState
from workbench.views.format import ms
from workbench.views.trace import OpenTrace, open_trace

NEXT_LABEL: dict[Label, Label] = {"pause": "end", "end": "unclear", "unclear": "pause"}
WORDS = 60
"""Characters of the words before a silence."""


class TuneScreen(Screen[None]):
    """The front as a chart, and the silences in which the chosen point decides otherwise than the settings in use."""

    place: reactive[int] = reactive(0, init=False)
    """Of the chosen point on the front; −1: the settings in use, which are not on it."""
    whole: reactive[bool] = reactive(False, init=False)
    """Every silence is listed, not only what would change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Faster", id="tune.faster", priority=True, tooltip="Left on the front."),
        Binding("right", "step(1)", "Politer", id="tune.politer", priority=True, tooltip="Right on the front."),
        Binding("space", "play", "Play", id="tune.play", priority=True, tooltip="Play the silence, or stop."),
        Binding("l", "label", "Label", id="tune.label", tooltip="Correct: a pause, an end, unclear."),
        Binding("a", "all", "All", id="tune.all", tooltip="List every silence, or what would change."),
        Binding("w", "write", "Write", id="tune.write", tooltip="Write the chosen settings into workbench.toml."),
    ]  # fmt: skip

    def __init__(
        self,
        result: TuneResult,
        score: Callable[[], TuneResult],
        write: Callable[[TunePoint], str],
        chosen: TunePoint | None = None,
    ) -> None:
        """`score` scores anew with the labels as they are then, `write` writes settings and says where. They may take
        their time, and raise WorkbenchError."""
        super().__init__()
        self._result = result
        self._score = score
        self._write = write
        self._player = Player()
        self._trace: Callable[[Path], OpenTrace] = cache(open_trace)
        self._listed: list[ChangedSilence] = []
        self.set_reactive(TuneScreen.place, _place(result, chosen or result.best))

    @property
    def chosen(self) -> TunePoint:
        """The point that is looked at."""
        return self._result.front[self.place] if self.place >= 0 else self._result.in_use

    def compose(self) -> ComposeResult:
        """A line on what was scored, the chart, the chosen settings, the silences."""
        yield Static(id="overview", markup=False)
        yield FrontChart()
        yield Static(id="chosen", markup=False)
        yield SilenceList()
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Show it."""
        self.query_one(SilenceList).focus()
        self._show()

    def watch_place(self) -> None:
        """Another point is chosen."""
        self._show()

    def watch_whole(self) -> None:
        """More is listed, or less."""
        self._show()

    def _show(self) -> None:
        result, chosen = self._result, self.chosen
        warning = caution(result)
        self.query_one("#overview", Static).update(f"{overview(result)}{f' – {warning}' if warning else ''}")
        self.query_one(FrontChart).state = FrontState(result, chosen)
        figures = f"{ms(chosen.latency_ms)}, {share(chosen)} cut off"
        self.query_one("#chosen", Static).update(f"{figures}: {settings_text(chosen.settings)}")
        self._listed = result.compared(chosen) if self.whole else result.changes(chosen)
        several = len(result.recordings) > 1
        self.query_one(SilenceList).show([line(change, several) for change in self._listed])

    @property
    def _current(self) -> ChangedSilence | None:
        index = self.query_one(SilenceList).highlighted
        return self._listed[index] if index is not None and index < len(self._listed) else None

    # --- keys --------------------------------------------------------------------------------------------------------

    def action_step(self, by: int) -> None:
        """Choose another point of the front; from settings off the front the nearest one on it."""
        front = self._result.front
        if self.place < 0:
            latency_ms = self._result.in_use.latency_ms
            sooner = sum(point.latency_ms <= latency_ms for point in front)
            self.place = min(max(0, sooner - 1 if by < 0 else sooner), len(front) - 1)
        else:
            self.place = min(max(0, self.place + by), len(front) - 1)

    def action_all(self) -> None:
        """List every silence, or only what would change."""
        self.whole = not self.whole

    def action_play(self) -> None:
        """Play both sides around the silence, or stop; say why where it cannot be played."""
        change = self._current
        if self._player.at_s is not None or change is None:
            self._player.stop()
            return
        try:
            self._player.play(sound_around(self._trace(change.folder), change.silence))
        except MissingError as error:
            self._say(error)

    def action_label(self) -> None:
        """Give the silence the next label, and score anew."""
        if (change := self._current) is not None:
            self._relabel(change, NEXT_LABEL[change.silence.label])

    @work(thread=True, exclusive=True)
    def _relabel(self, change: ChangedSilence, label: Label) -> None:
        self.app.call_from_thread(self.query_one("#overview", Static).update, "scoring anew …")
        try:
            write_label(change.folder, change.silence.start, label)
            result = self._score()
        except WorkbenchError as error:
            before = change.silence.label if change.silence.corrected else None
            with suppress(
                WorkbenchError
            ):  # where the label could not be written, there is nothing to take back
                write_label(change.folder, change.silence.start, before)
            self.app.call_from_thread(self._say, error)
            result = self._result
        self.app.call_from_thread(self._scored, result)

    def _scored(self, result: TuneResult) -> None:
        settings = self.chosen.settings
        self._result = result
        same = next((point for point in result.points if point.settings == settings), result.best)
        self.set_reactive(TuneScreen.place, _place(result, same))
        self._show()

    def action_write(self) -> None:
        """Write the chosen settings."""
        try:
            self.notify(plain(self._write(self.chosen)), markup=False)
        except WorkbenchError as error:
            self._say(error)

    def _say(self, error: WorkbenchError) -> None:
        self.notify(plain(error.hint), title=plain(error.reason), severity="warning", markup=False)

    def leave(self, code: int, reason: str) -> None:
        """Stop playing, and leave."""
        self._player.stop()
        self.app.exit(return_code=code)


class SilenceList(OptionList):
    """A silence a line."""

    def __init__(self) -> None:
        super().__init__(compact=True, markup=False)

    def show(self, lines: list[Content]) -> None:
        """Show other lines; the place stays where it can."""
        before = self.highlighted or 0
        self.clear_options()
        self.add_options([Option(each) for each in lines])
        self.highlighted = min(before, len(lines) - 1) if lines else None


def line(change: ChangedSilence, several: bool) -> Content:
    """Return a silence as a line of the list, with its recording where there are several."""
    silence = change.silence
    label = f"{silence.label}{'*' if silence.corrected else ''}"
    name = f"{plain(change.folder.name, 16, one_line=True):<16} " if several else ""
    words = plain(silence.text[-WORDS:], one_line=True)
    return Content.assemble(
        (f"{name}{change.number:>3} {span(silence):<16} ", "$quiet"),
        (f"{label:<9}", "$warning" if silence.corrected else ""),
        (f"{became(change)}  ", "bold" if change.matters else ""),
        (words, "$quiet"),
    )


def _place(result: TuneResult, point: TunePoint) -> int:
    """Return the place of a point on the front, −1 for one that is not on it."""
    return result.front.index(point) if point in result.front else -1
