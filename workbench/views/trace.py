"""The trace that users hold: with what readers make of it as values.

    trace = open_trace(folder)          # or session.trace
    trace.turns[0].parts_ms             # typed values; trace.turns.to_pandas()
    trace.audio("agent", turn=1)        # mono PCM16, shape (n,)
    trace.plot.waterfall(1)             # a matplotlib figure

The trace itself (`trace/trace.py`) knows no reader; this is the same trace one layer up. It owns the one timeline that
all screens, plugins and commands share.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples
from workbench.model.errors import MissingError, UsageError
from workbench.model.events import Entry, SessionStarted, TrackName, TurnEnded
from workbench.model.text import plain
from workbench.readers import Reader, notable
from workbench.readers.moments import AROUND_MS, Moment, MomentsFold
from workbench.readers.timeline import KEPT_TURNS, LiveState, Timeline, Turn
from workbench.readers.waveform import mixed_samples
from workbench.trace.store import open_as
from workbench.trace.trace import KEPT, Trace
from workbench.trace.track import Track
from workbench.views.format import summarize
from workbench.views.html import session_html, styled, turns_html

if TYPE_CHECKING:
    import pandas as pd

    from workbench.views.plot import Plot


class Turns(Sequence[Turn]):
    """Turns that have ended, oldest first."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = tuple(turns)

    @overload
    def __getitem__(self, index: int) -> Turn: ...
    @overload
    def __getitem__(self, index: slice) -> Turns: ...
    def __getitem__(self, index: int | slice) -> Turn | Turns:
        """Return by place, not by number of the turn."""
        return Turns(self._turns[index]) if isinstance(index, slice) else self._turns[index]

    def __len__(self) -> int:
        return len(self._turns)

    def __eq__(self, other: object) -> bool:
        return self._turns == other._turns if isinstance(other, Turns) else NotImplemented

    def __repr__(self) -> str:
        return f"<{summarize(self)}>"

    def html(self) -> str:
        """Return a summary and a table."""
        return f"{summarize(self)}{turns_html(self)}"

    def _repr_html_(self) -> str:
        return styled(self.html())

    def to_pandas(self) -> pd.DataFrame:
        """Return a row a turn, its number as index; ms of each part as `parts_ms.stt`, usage as `usage.input_tokens`.

        Raises MissingError where pandas is not installed.
        """
        try:
            import pandas as pd  # 0.4 s, and not everybody has it
        except ModuleNotFoundError:
            raise MissingError("pandas is not installed", "`pip install pandas`") from None
        columns = None if self else list(_row(Turn(0, "done", "", "")))
        return pd.DataFrame([_row(turn) for turn in self], columns=columns).set_index("turn")


def _row(turn: Turn) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in turn.to_json().items():
        if name in ("parts_ms", "usage"):
            row |= {f"{name}.{key}": item for key, item in value.items()}
        elif name == "error":
            row[name] = f"{turn.error.stage}: {turn.error.reason}" if turn.error else None
        elif name != "lanes_ms":
            row[name] = value
    return row


class OpenTrace(Trace):
    """A trace, live or recorded, with its turns, its sound and its figures. Safe to use from any thread.

    `keep_turns`: so many turns are kept of a live one; None keeps all.
    """

    def __init__(
        self, now: Callable[[], float], *, keep: int = KEPT, keep_turns: int | None = KEPT_TURNS
    ) -> None:
        super().__init__(now, keep=keep)
        rates: dict[TrackName, int] = {"mic": INPUT_RATE, "user": INPUT_RATE, "agent": OUTPUT_RATE}
        self._timeline = Timeline(keep=keep_turns)
        self._moments = MomentsFold(rates, keep=keep_turns)
        self._started: SessionStarted | None = None
        self._read = 0
        self._reading = threading.Lock()

    def catch_up(self) -> None:
        """Read what has been emitted since the last look."""
        with self._reading:
            if self.closed:
                for entry in notable(self, self._read):
                    self._fold(entry)
                self._read = max(self._read, self.end)
            while entries := self.since(self._read):
                for entry in entries:
                    self._fold(entry)

    def fold(self, entry: Entry) -> None:
        """Read up to this entry of the trace, for those who have it in hand: no recording is decoded twice for it."""
        if entry.i > self._read:
            self.catch_up()
        with self._reading:
            if entry.i == self._read:
                self._fold(entry)

    def _fold(self, entry: Entry) -> None:
        self._timeline.feed(entry)
        self._moments.feed(entry)
        if isinstance(entry.event, SessionStarted):
            self._started = entry.event
        self._read = entry.i + 1

    # --- turns -------------------------------------------------------------------------------------------------------

    @property
    def turns(self) -> Turns:
        """The turns that have ended until now."""
        self.catch_up()
        with self._reading:
            return Turns(self._timeline.turns)

    def turn(self, number: int) -> Turn:
        """Return the turn of that number. Raises UsageError for one that has not ended or is not kept."""
        self.catch_up()
        with self._reading:
            for turn in reversed(self._timeline.turns):
                if turn.turn == number:
                    return turn
        raise self._absent(number)

    def _absent(self, number: int) -> UsageError:
        numbers = [turn.turn for turn in self.turns]
        hint = f"there are turns {numbers[0]} to {numbers[-1]}" if numbers else "no turn has ended"
        return UsageError(f"there is no turn {number!r}", hint)

    @property
    def running(self) -> Turn | None:
        """The turn whose answer is heard right now, from its first audible sample on; its status is `running`."""
        self.catch_up()
        return self._timeline.running

    @property
    def live(self) -> LiveState:
        """What is going on right now."""
        self.catch_up()
        return self._timeline.live

    @property
    def started(self) -> SessionStarted | None:
        """How the session began; None if that is not in the trace."""
        self.catch_up()
        return self._started

    @property
    def end_ms(self) -> float:
        """The session's clock at the end, or now."""
        return self.now()

    # --- sound -------------------------------------------------------------------------------------------------------

    @property
    def moments(self) -> MomentsFold:
        """When each turn was, and where that is on the tracks."""
        self.catch_up()
        return self._moments

    def moment(self, turn: int) -> Moment:
        """Return when that turn was. Raises UsageError for one that is not there."""
        moment = self.moments.of(turn)
        if moment is None:
            raise self._absent(turn)
        end_ms = self.end_ms + AROUND_MS
        return replace(moment, start_ms=min(moment.start_ms, end_ms), end_ms=min(moment.end_ms, end_ms))

    def rate(self, track: TrackName | Literal["both"] = "both") -> int:
        """Return the Hz of what `audio` gives. Raises UsageError for a track that is not there."""
        return OUTPUT_RATE if track == "both" else self._track(track).rate

    def audio(self, track: TrackName | Literal["both"] = "both", *, turn: int | None = None) -> Samples:
        """Return sound as mono PCM16, shape (n,), at `rate(track)`: of one turn, or of all that is there.

        `both` mixes the user and the agent as the session's clock has them. A live session without a recording has the
        last few seconds only. Raises UsageError for a track or a turn that is not there.
        """
        if turn is not None:
            moment = self.moment(turn)
            start_ms, end_ms = moment.start_ms, moment.end_ms
        elif track == "both":
            start_ms, end_ms = 0.0, min(self.end_ms, self._sound_end_ms())
        else:
            recorded = self._track(track)
            return recorded.read(recorded.start, recorded.end)
        moments = self.moments
        if track == "both":
            return mixed_samples(self, moments, start_ms, end_ms)
        return self._track(track).read(moments.sample(track, start_ms), moments.sample(track, end_ms))

    def _sound_end_ms(self) -> float:
        """Return when the last sample of any track was."""
        moments = self.moments
        return max((moments.time_ms(name, track.end) for name, track in self.tracks.items()), default=0.0)

    def _track(self, track: str) -> Track:
        for name, recorded in self.tracks.items():
            if name == track:
                return recorded
        there = f"there are: {', '.join(self.tracks)}" if self.tracks else "no sound was recorded"
        raise UsageError(f"there is no track {track!r}", there)

    # --- how it shows itself -----------------------------------------------------------------------------------------

    @property
    def plot(self) -> Plot:
        """Figures: `latency()`, `waterfall()`, `timeline()`; `live=True` goes on while the session does."""
        from workbench.views.plot import Plot  # matplotlib: 0.3 s

        return Plot(self)

    def title(self) -> str:
        """Return what it is, in a few words; plain text."""
        start = self.started
        words = [f"session {start.session}", start.agent, start.profile, start.date] if start else ["session"]
        return " · ".join(filter(None, words))

    def __repr__(self) -> str:
        return f"<{plain(self.title(), 200, one_line=True)}: {summarize(self.turns)}>"

    def _repr_html_(self) -> str:
        return styled(session_html(self.title(), self.closed, self.turns.html()))


def open_trace(path: Path | str) -> OpenTrace:
    """Open a recorded session: its entries and sound are read from disk when asked for.

    A track whose file is absent or damaged is left out. Raises UsageError with the reason where the folder is none of a
    session, or is damaged beyond reading.
    """
    return open_as(partial(OpenTrace, keep_turns=None), path)


def on_turn(trace: OpenTrace, take: Callable[[Turn], None]) -> Reader:
    """Return a reader of the trace that calls `take` with each turn when it has ended."""

    def read(entry: Entry) -> None:
        trace.fold(entry)
        if isinstance(entry.event, TurnEnded):
            take(trace.turn(entry.event.turn))

    return read
