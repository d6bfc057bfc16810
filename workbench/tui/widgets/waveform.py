"""What a turn of a recording sounds like: the envelope of both sides, and where playing is."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from workbench.tui.recording import Envelope, TurnWaveform
from workbench.tui.widgets.latency_chart import EIGHTHS
from workbench.tui.widgets.level_meters import share

LABEL_CELLS = 6


class WaveformView(Widget):
    """Two lines, one a side, and a line for the time."""

    BORDER_TITLE = "Sound"

    sounds: reactive[TurnWaveform] = reactive(TurnWaveform())

    def render(self) -> Content:
        """Envelopes over time."""
        sounds = self.sounds
        if not sounds.seconds:
            return Content.styled("No sound was recorded for this turn.", "$quiet")
        room = len(sounds.user)
        at = None if sounds.at_s is None else min(room - 1, int(room * sounds.at_s / sounds.seconds))
        return Content("\n").join(
            [
                _side("you", sounds.user, at, "$user"),
                _side("agent", sounds.agent, at, "$agent"),
                Content.styled(_time(sounds), "$quiet" if at is None else ""),
            ]
        )


def columns(width: int) -> int:
    """How many columns an envelope has in a widget of that width."""
    return max(1, width - LABEL_CELLS)


def _side(label: str, envelope: Envelope, at: int | None, colour: str) -> Content:
    bars = "".join(EIGHTHS[round(8 * share(db))] for db in envelope)
    line = Content.assemble((f"{label:<{LABEL_CELLS}}", colour), (bars, colour))
    return line if at is None else line.stylize("reverse", LABEL_CELLS + at, LABEL_CELLS + at + 1)


def _time(sounds: TurnWaveform) -> str:
    state = "space plays" if sounds.at_s is None else f"▶ {sounds.at_s:.1f} s"
    return (
        f"{'':<{LABEL_CELLS}}{state} of {sounds.seconds:.1f} s"
        if sounds.at_s
        else f"{'':<{LABEL_CELLS}}{sounds.seconds:.1f} s, {state}"
    )
