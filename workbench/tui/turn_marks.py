"""What the axis of a recording shows of its turns, and says of what is marked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from workbench.readers.folds.decisions import Account
from workbench.readers.moments import Moment
from workbench.readers.timeline import Turn
from workbench.tui.recording import RecordingState
from workbench.tui.widgets.timeline import TurnMark, clock
from workbench.views.format import ms
from workbench.views.palette import part_key
from workbench.views.waterfall import critical_path_bars

SIGNS = {"cut": " ✂", "failed": " ✗"}


def turn_marks(
    turns: Sequence[Turn], moment_of: Callable[[int], Moment | None], chosen: int
) -> tuple[TurnMark, ...]:
    """Return a mark for each turn whose place is known; `chosen` by place."""
    marks = []
    for index, turn in enumerate(turns):
        moment = moment_of(turn.turn)
        if moment is not None:
            bars = tuple(
                (part_key(part), start, length) for part, start, length in critical_path_bars(turn.parts_ms)
            )
            late = "" if turn.heard_latency_ms is None else f" {ms(turn.heard_latency_ms)}"
            label = f"{turn.turn}{late}{SIGNS.get(turn.status, '')}"
            marks.append(
                TurnMark(moment.start_ms, moment.end_ms, moment.zero_ms, bars, label, index == chosen)
            )
    return tuple(marks)


def dismissed(accounts: Iterable[Account]) -> tuple[float, ...]:
    """Return where something was taken for speech that became no turn, ms."""
    return tuple(account.start_ms for account in accounts if account.outcome == "dismissed")


def note(state: RecordingState, end_ms: float, span: tuple[float, float], at_ms: float | None) -> str:
    """Return what is marked or where playing is, and how far the recording has been read."""
    start, end = span
    length = f"{(end - start) / 1000:.1f}"
    words = (
        f"{clock(start / 1000, 0.1)}: {length} s, space plays"
        if at_ms is None
        else f"▶ {(at_ms - start) / 1000:.1f} s of {length} s"
    )
    if end <= start:
        words = ""
    if not state.complete:
        words += f" · read up to {clock(state.read_ms / 1000)} of {clock(end_ms / 1000)}"
    elif state.endless:
        words += " · without an end: what is written to it from now on is shown"
    return words.removeprefix(" · ")
