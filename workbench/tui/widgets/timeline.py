"""Both sides of a recording on one time axis, with its turns and their waterfalls in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from workbench.model.events import TrackName
from workbench.readers.folds.stretches import Stretch
from workbench.tui.widgets.latency_chart import EIGHTHS, Cell
from workbench.tui.widgets.level_meters import share

LABEL_CELLS = 6
STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
"""Between two times of the axis."""
TICK_CELLS = 10
"""From one time of the axis to the next at least."""
QUIETEST = 1e-3

Peaks = Callable[[TrackName, float, float, int], "NDArray[np.float32] | None"]


@dataclass(frozen=True, slots=True)
class TurnMark:
    """A turn on the axis, ms: where it is, what its waterfall counts from, and its bars (colour, start, length)."""

    start_ms: float
    end_ms: float
    zero_ms: float
    bars: tuple[tuple[str, float, float], ...] = ()
    label: str = ""
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class TimelineState:
    """What the axis shows, ms: from `start_ms` to `end_ms`; `span` is what is played; `at_ms` where playing is."""

    start_ms: float = 0.0
    end_ms: float = 0.0
    span: tuple[float, float] = (0.0, 0.0)
    marks: tuple[TurnMark, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    dismissed: tuple[float, ...] = ()
    """Where speech began that became no turn."""
    at_ms: float | None = None
    note: str = ""
    """What is below the axis."""
    drawn: int = 0
    """Grows when there is more to be seen of the sound."""


class TimeAxis(Widget):
    """A waveform a side, and between them what the user waited for. A click posts `Pointed`."""

    BORDER_TITLE = "Sound"

    state: reactive[TimelineState] = reactive(TimelineState())

    class Pointed(Message):
        """Somebody clicked at `ms` of the session's clock."""

        def __init__(self, ms: float) -> None:
            super().__init__()
            self.ms = ms

    def __init__(self, peaks: Peaks) -> None:
        super().__init__()
        self._peaks = peaks

    @property
    def columns(self) -> int:
        """Columns of the axis."""
        return max(1, self.content_size.width - LABEL_CELLS)

    def on_click(self, event: Click) -> None:
        """Tell where that was."""
        offset = event.get_content_offset(self)
        if offset is not None and offset.x >= LABEL_CELLS:
            self.post_message(self.Pointed(self._ms(offset.x - LABEL_CELLS)))

    def _ms(self, column: float) -> float:
        state = self.state
        return state.start_ms + column * (state.end_ms - state.start_ms) / self.columns

    def _column(self, ms: float) -> int:
        state = self.state
        return int((ms - state.start_ms) * self.columns / max(1e-9, state.end_ms - state.start_ms))

    def render(self) -> Content:
        """Draw times, labels, the user, waterfalls, the agent, and the note, as many of them as there are rows for."""
        height = self.content_size.height
        if self.state.end_ms <= self.state.start_ms:
            return Content.styled(self.state.note, "$quiet")
        tall = max(1, (height - 4) // 2) if height >= 6 else 1
        rows = [self._axis(), self._labels()] if height >= 6 else [self._axis()] if height >= 5 else []
        rows += [*self._side("you", "user", tall), self._waterfalls(), *self._side("agent", "agent", tall)]
        drawn = [self._line(name, cells) for name, cells in rows]
        note = Content.styled(f"{'':<{LABEL_CELLS}}{self.state.note}", "$quiet")
        return Content("\n").join([*drawn, note][: max(1, height)])

    # --- rows --------------------------------------------------------------------------------------------------------

    def _line(self, name: tuple[str, str], cells: list[Cell]) -> Content:
        """Return a row; what is played is on a ground of its own, and where playing is stands out."""
        first, last = (self._column(ms) for ms in self.state.span)
        at = None if self.state.at_ms is None else self._column(self.state.at_ms)
        styled = [
            (sign, " ".join(filter(None, (style, self._ground(column, first, last, at)))))
            for column, (sign, style) in enumerate(cells)
        ]
        runs = [
            ("".join(sign for sign, _ in run), style) for style, run in groupby(styled, key=lambda it: it[1])
        ]
        return Content.assemble((f"{name[0]:<{LABEL_CELLS}}", name[1]), *runs)

    @staticmethod
    def _ground(column: int, first: int, last: int, at: int | None) -> str:
        if column == at:
            return "reverse"
        return "on $panel" if first <= column <= last else ""

    def _axis(self) -> tuple[tuple[str, str], list[Cell]]:
        cells, seconds = self._blank(), (self.state.end_ms - self.state.start_ms) / 1000
        step = next((step for step in STEPS_S if step * self.columns / seconds >= TICK_CELLS), STEPS_S[-1])
        tick = -(-self.state.start_ms // (step * 1000)) * step
        while tick * 1000 < self.state.end_ms:
            _write(cells, self._column(tick * 1000), f"╷{clock(tick, step)}", "$quiet")
            tick += step
        return ("", ""), cells

    def _labels(self) -> tuple[tuple[str, str], list[Cell]]:
        cells, free = self._blank(), 0
        for ms in self.state.dismissed:
            if 0 <= (column := self._column(ms)) < len(cells):
                cells[column] = ("×", "$warning")
        for mark in self._shown():
            column = max(0, self._column(mark.zero_ms))
            if column >= free:
                style = "$user bold" if mark.chosen else "$quiet"
                free = _write(cells, column, f"╷{mark.label}", style) + 1
        return ("turn", "$quiet"), cells

    def _waterfalls(self) -> tuple[tuple[str, str], list[Cell]]:
        cells: list[Cell] = [("╌", "$track")] * self.columns
        for mark in self._shown():
            self._paint(cells, mark.start_ms, mark.end_ms, ("─", "$user" if mark.chosen else "$lane"))
        for mark in self._shown():
            for colour, start_ms, length_ms in mark.bars:
                begin = mark.zero_ms + start_ms
                self._paint(cells, begin, begin + length_ms, ("█", f"${colour}"))
        return ("wait", "$quiet"), cells

    def _side(self, name: str, side: TrackName, tall: int) -> Iterator[tuple[tuple[str, str], list[Cell]]]:
        """Yield the rows of a waveform: bright where that side spoke, by what was decided then."""
        state, colour = self.state, f"${side}"
        peaks = self._peaks(side, state.start_ms, state.end_ms, self.columns)
        styles = self._styles(side, colour)
        heights = None if peaks is None else [_height(float(peak), tall) for peak in peaks]
        for row in range(tall - 1, -1, -1):
            label = name if row == tall // 2 else ""
            if heights is None:
                cells = self._blank()
                _write(cells, 0, "not recorded" if row == tall // 2 else "", "$quiet")
            else:
                cells = [
                    ("·" if row == 0 else " ", "$lane") if height is None else (_eighth(height, row), style)
                    for height, style in zip(heights, styles, strict=True)
                ]
            yield (label, colour), cells

    def _styles(self, side: TrackName, colour: str) -> list[str]:
        """Return the colour of each column: that of the side where it spoke."""
        cells: list[Cell] = [("", "$lane")] * self.columns
        for stretch in self.state.stretches:
            if stretch.side == side and stretch.start_ms < self.state.end_ms:
                end_ms = self.state.end_ms if stretch.end_ms is None else stretch.end_ms
                self._paint(cells, stretch.start_ms, end_ms, ("", colour))
        return [style for _, style in cells]

    def _shown(self) -> list[TurnMark]:
        state = self.state
        return [mark for mark in state.marks if mark.start_ms < state.end_ms and mark.end_ms > state.start_ms]

    def _blank(self) -> list[Cell]:
        return [(" ", "")] * self.columns

    def _paint(self, cells: list[Cell], start_ms: float, end_ms: float, cell: Cell) -> None:
        first, last = self._column(start_ms), self._column(end_ms)
        for column in range(max(0, first), min(len(cells), max(first + 1, last))):
            cells[column] = cell


def _write(cells: list[Cell], column: int, text: str, style: str) -> int:
    """Write a text where it fits; return the column after it."""
    if column >= 0 and column + len(text) <= len(cells):
        cells[column : column + len(text)] = [(sign, style) for sign in text]
    return column + len(text)


def _height(peak: float, tall: int) -> int | None:
    """Return the eighths of a row that a peak is high; None where it is not known yet."""
    if np.isnan(peak):
        return None
    return round(8 * tall * share(20 * float(np.log10(max(peak, QUIETEST)))))


def _eighth(height: int, row: int) -> str:
    return EIGHTHS[min(8, max(0, height - 8 * row))]


def clock(seconds: float, step: float = 1.0) -> str:
    """Return `1:02`, `1:02:03`, or with a fraction of a second where the step is one."""
    digits = 1 if step < 1 else 0
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:0{2 + (digits and digits + 1)}.{digits}f}"
    return f"{hours}:{minutes:02}:{text}" if hours else f"{minutes}:{text}"
