"""The trace that users hold: with what readers make of it as values.

    trace = open_trace(folder)          # or session.trace
    trace.turns[0].parts_ms             # typed values; trace.turns.to_pandas()
    trace.audio("agent", turn=1)        # mono PCM16, shape (n,)
    trace.plot.waterfall(1)             # a matplotlib figure

The trace itself (`trace/trace.py`) knows no reader; this is the same trace one layer up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples
from workbench.model.errors import UsageError
from workbench.model.events import SessionStarted, TrackName
from workbench.model.text import plain
from workbench.readers.moments import Moment, MomentsFold
from workbench.readers.sound import both
from workbench.readers.timeline import KEPT_TURNS, Live, Timeline, Turn
from workbench.trace.store import open_as
from workbench.trace.trace import KEPT, Trace
from workbench.trace.track import Track
from workbench.views.html import session_html, summary, turns_html

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
        """By place, not by number of the turn."""
        return Turns(self._turns[index]) if isinstance(index, slice) else self._turns[index]

    def __len__(self) -> int:
        return len(self._turns)

    def __eq__(self, other: object) -> bool:
        return self._turns == other._turns if isinstance(other, Turns) else NotImplemented

    def __repr__(self) -> str:
        return f"<{summary(self)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return f"{summary(self)}{turns_html(self)}"

    def to_pandas(self) -> pd.DataFrame:
        """A row a turn, its number as index; ms of each part as `parts_ms.stt`, usage as `usage.input_tokens`.

        Raises MissingError where pandas is not installed.
        """
        try:
            import pandas as pd  # 0.4 s, and not everybody has it
        except ModuleNotFoundError:
            from workbench.model.errors import MissingError

            raise MissingError("pandas is not installed", "`pip install pandas`") from None
        rows = [_flat(turn) for turn in self]
        columns = list(_flat(_NOTHING)) if not rows else None
        return pd.DataFrame(rows, columns=columns).set_index("turn")


_NOTHING = Turn(0, "done", "", "")


def _flat(turn: Turn) -> dict[str, Any]:
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

    @property
    def turns(self) -> Turns:
        """The turns that have ended until now."""
        self.catch_up()
        with self._reading:
            return Turns(self._timeline.turns)

    @property
    def live(self) -> Live:
        """What is going on right now."""
        self.catch_up()
        return self._timeline.live

    @property
    def started(self) -> SessionStarted | None:
        """How the session began; None if that is not in the trace."""
        self.catch_up()
        return self._started

    @property
    def moments(self) -> MomentsFold:
        """When each turn was, and where that is on the tracks."""
        self.catch_up()
        return self._moments

    @property
    def end_ms(self) -> float:
        """The session's clock at the end, or now."""
        return self.now()

    def catch_up(self) -> None:
        """Read what has been emitted since the last look."""
        with self._reading:
            while entries := self.since(self._read):
                for entry in entries:
                    self._timeline(entry)
                    self._moments.feed(entry)
                    if isinstance(entry.event, SessionStarted):
                        self._started = entry.event
                self._read = entries[-1].i + 1

    def moment(self, turn: int) -> Moment:
        """When that turn was. Raises UsageError for one that is not there."""
        found = self.moments.of(turn)
        if found is None:
            known = [each.turn for each in self.turns]
            there = f"there are turns {known[0]} to {known[-1]}" if known else "no turn has ended"
            raise UsageError(f"there is no turn {turn!r}", there)
        return found

    def rate(self, track: TrackName | Literal["both"] = "both") -> int:
        """Hz of what `audio` gives. Raises UsageError for a track that is not there."""
        return OUTPUT_RATE if track == "both" else self._sound(track).rate

    def audio(self, track: TrackName | Literal["both"] = "both", *, turn: int | None = None) -> Samples:
        """Sound as mono PCM16, shape (n,), at `rate(track)`: of one turn, or of all that is there.

        `both` mixes the user and the agent as the session's clock has them. A live session without a recording has the
        last few seconds only. Raises UsageError for a track or a turn that is not there.
        """
        if turn is not None:
            moment = self.moment(turn)
            start_ms, end_ms = moment.start_ms, moment.end_ms
        elif track == "both":
            start_ms, end_ms = 0.0, self.end_ms
        else:
            sound = self._sound(track)
            return sound.read(sound.start, sound.end)
        if track == "both":
            return both(self, self.moments, start_ms, end_ms)
        moments = self.moments
        return self._sound(track).read(moments.sample(track, start_ms), moments.sample(track, end_ms))

    @property
    def plot(self) -> Plot:
        """Figures: `latency()`, `waterfall()`, `timeline()`; `live=True` goes on while the session does."""
        from workbench.views.plot import Plot  # matplotlib: 0.3 s

        return Plot(self)

    def title(self) -> str:
        """What it is, in a few words; plain text."""
        start = self.started
        words = [f"session {start.session}", start.agent, start.profile, start.date] if start else ["session"]
        return " · ".join(filter(None, words))

    def __repr__(self) -> str:
        return f"<{plain(self.title(), 200, one_line=True)}: {summary(self.turns)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return session_html(self.title(), self.closed, self.turns._repr_html_())

    def _sound(self, track: str) -> Track:
        for name, sound in self.tracks.items():
            if name == track:
                return sound
        there = ", ".join(self.tracks) or "no sound was recorded"
        raise UsageError(f"there is no track {track!r}", f"there are: {there}" if self.tracks else there)


def open_trace(path: Path | str) -> OpenTrace:
    """A recorded session: its entries and sound are read from disk when asked for.

    A track whose file is absent or damaged is left out. Raises UsageError with the reason where the folder is none of a
    session, or is damaged beyond reading.
    """
    return open_as(partial(OpenTrace, keep_turns=None), path)
