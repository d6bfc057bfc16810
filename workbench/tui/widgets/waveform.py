"""The waveform of a turn of a recording: levels of both sides over time, and the position of playing."""

from __future__ import annotations

from itertools import pairwise

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from workbench.model.audio import SILENCE_DB
from workbench.tui.recording import TurnWaveform
from workbench.tui.widgets.latency_chart import EIGHTHS
from workbench.tui.widgets.level_meters import share

LABEL_CELLS = 6


class WaveformView(Widget):
    """Two lines, one a side, and a line for the time."""

    BORDER_TITLE = "Sound"

    waveform: reactive[TurnWaveform] = reactive(TurnWaveform())

    def render(self) -> Content:
        """Draw levels over time, as many columns as there is room."""
        waveform, room = self.waveform, max(1, self.content_size.width - LABEL_CELLS)
        if not waveform.seconds:
            return Content.styled("No sound was recorded for this turn.", "$quiet")
        seconds, at_s = waveform.seconds, waveform.at_s
        at = None if at_s is None else min(room - 1, int(room * at_s / seconds))
        time = f"{seconds:.1f} s, space plays" if at_s is None else f"▶ {at_s:.1f} s of {seconds:.1f} s"
        return Content("\n").join(
            [
                side("you", waveform.user_db, room, at, "$user"),
                side("agent", waveform.agent_db, room, at, "$agent"),
                Content.styled(f"{'':<{LABEL_CELLS}}{time}", "$quiet" if at is None else ""),
            ]
        )


def side(label: str, levels_db: tuple[float, ...], room: int, at: int | None, colour: str) -> Content:
    """Return a side's line with `room` columns, the one at `at` marked; a column is as high as its loudest level."""
    bars = "".join(EIGHTHS[round(8 * share(db))] for db in loudest(levels_db, room))
    line = Content.assemble((f"{label:<{LABEL_CELLS}}", colour), (bars, colour))
    return line if at is None else line.stylize("reverse", LABEL_CELLS + at, LABEL_CELLS + at + 1)


def loudest(levels_db: tuple[float, ...], columns: int) -> list[float]:
    """Return the loudest level in each of so many equal stretches."""
    if not levels_db:
        return [SILENCE_DB] * columns
    edges = [column * len(levels_db) // columns for column in range(columns + 1)]
    return [max(levels_db[low : max(low + 1, high)]) for low, high in pairwise(edges)]
