"""Where the time of one turn went: its parts as bars over time, from the end of speech to the first sound heard."""

from __future__ import annotations

from rich.cells import set_cell_size
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from workbench.model.text import plain
from workbench.readers.folds.calls import MARKS, CallRecord
from workbench.views.waterfall import ORDER, WaterfallBar, WaterfallLayout

FIRST_SIGHT = "The first answer will be taken apart here."
LABEL_CELLS, MS_CELLS = 16, 7
MOST_CALLS = 6
"""Lines for calls of tools, where there is room."""
TALL, OTHERS, OTHERS_TALL = 34, 13, 19
"""From so many rows on the screen is airy; rows that are not the waterfall's lines, else and then."""


class Waterfall(Widget):
    """One line a part: name, bar, ms."""

    BORDER_TITLE = "Last turn"

    turn: reactive[WaterfallLayout] = reactive(WaterfallLayout(), layout=True)

    def watch_turn(self, turn: WaterfallLayout) -> None:
        """Put the turn into the title."""
        self.border_title = turn.title or self.BORDER_TITLE

    def render(self) -> Content:
        """Draw the bars, what was prepared early as thin dim lanes, and the sum."""
        if not self.turn.bars:
            text = "Nothing was measured in this turn." if self.turn.title else FIRST_SIGHT
            return Content.styled(text, "$quiet")
        rows = self.screen.size.height
        parts = len(self.turn.bars) + 1
        room = min(MOST_CALLS, max(1, rows - parts - (OTHERS if rows < TALL else OTHERS_TALL)))
        return Content("\n").join(lines(self.turn, self.content_size.width, room))


def lines(turn: WaterfallLayout, width: int, most_calls: int = MOST_CALLS) -> list[Content]:
    """Return a turn as lines of `width` cells, at most `most_calls` of them for calls of tools, below `tools`."""
    room = max(4, width - LABEL_CELLS - MS_CELLS)
    ends = [bar.lane[1] for bar in turn.bars] + [
        call.place.end_ms or 0.0 for call in turn.calls if call.place
    ]
    ms_per_cell = max(1.0, turn.total_ms if turn.total_ms else max(ends)) / room
    drawn: list[Content] = []
    calls = _calls(turn.calls, room, ms_per_cell, most_calls)
    for bar in turn.bars:
        if calls and ORDER.index(bar.part) > ORDER.index("tools"):
            drawn += calls
            calls = []
        drawn.append(_line(bar, room, ms_per_cell))
    return [*drawn, *calls, _sum(turn, room)]


def _calls(calls: tuple[CallRecord, ...], room: int, ms_per_cell: float, most: int) -> list[Content]:
    listed = calls if len(calls) <= most else calls[: most - 1]
    drawn = [_call(call, room, ms_per_cell) for call in listed]
    if len(listed) < len(calls):
        rest = f"  … {len(calls) - len(listed)} {'more ' if listed else ''}calls"
        drawn.append(Content.styled(f"{rest:<{LABEL_CELLS + room + MS_CELLS}}", "$quiet"))
    return drawn


def _call(call: CallRecord, room: int, ms_per_cell: float) -> Content:
    """Return sign, name, lane, ms in brackets: what of it counts is in the line of the tools."""
    assert call.place is not None
    start, end = call.place.start_ms, call.place.end_ms
    cells = [(" ", "")] * room
    first, last = _cells(start, room * ms_per_cell if end is None else end, room, ms_per_cell)
    cells[first:last] = [("━", "$part-tools")] * (last - first)
    text = "…" if end is None else f"({round(end - start)})"
    label = set_cell_size(
        f" {MARKS[call.state]} {plain(call.name[:LABEL_CELLS], one_line=True)}", LABEL_CELLS - 1
    )
    return Content.assemble((f"{label} ", "$quiet"), *cells, (f"{text:>{MS_CELLS}}", "$quiet"))


def _line(bar: WaterfallBar, room: int, ms_per_cell: float) -> Content:
    """Return name, bar, ms; in brackets what ran hidden under another part and so costs nothing."""
    start, end = bar.lane
    cells = [(" ", "")] * room
    first, last = _cells(start, end, room, ms_per_cell)
    if bar.part != "unexplained":
        cells[first:last] = [("╌", "$lane")] * (last - first)
    if bar.counts:
        first, last = _cells(*bar.solid, room, ms_per_cell)
        solid = "▒" if bar.part == "unexplained" else "█"
        thin = abs(bar.counted_ms) < ms_per_cell / 2
        cells[first:last] = [("▏" if thin else solid, f"${bar.colour}")] * (last - first)
    provider = plain(bar.provider, one_line=True) if bar.provider.isascii() else ""
    first, last = _cells(start, end, room, ms_per_cell)
    place = last + 1 if last + 1 + len(provider) <= room else first - 1 - len(provider)
    if place >= 0:
        cells[place : place + len(provider)] = [(sign, "$quiet") for sign in provider]
    text = f"({round(bar.figure_ms)})" if bar.hidden else f"{round(bar.figure_ms)} "
    style = "$quiet" if bar.hidden else ""
    return Content.assemble((f"{bar.label:<{LABEL_CELLS}}", style), *cells, (f"{text:>{MS_CELLS}}", style))


def _cells(start: float, end: float, room: int, ms_per_cell: float) -> tuple[int, int]:
    """Return the cells of a stretch, at least one, within the drawing; a negative one is drawn as its mirror image."""
    low, high = min(start, end), max(start, end)
    first = min(room - 1, max(0, round(low / ms_per_cell)))
    last = min(room, max(first + 1, round(high / ms_per_cell)))
    return first, last


def _sum(turn: WaterfallLayout, room: int) -> Content:
    text = "typed or silent" if turn.total_ms is None else f"{turn.total_ms:.0f} ms"
    return Content.assemble(
        (f"{'heard after':<{LABEL_CELLS}}", "bold"),
        (f"{text:>{room + MS_CELLS}}", "bold"),
    )
