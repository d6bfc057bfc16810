"""A recording that is read while it is shown: its beginning is there at once, the rest comes block by block."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workbench.model.audio import OUTPUT_RATE, Samples
from workbench.model.events import Entry, TrackName, TurnEnded
from workbench.readers import notable
from workbench.readers.folds.conversation import ConversationLine
from workbench.readers.folds.decisions import Account, DecisionsFold
from workbench.readers.folds.log import log_line
from workbench.readers.folds.status import SessionStatus
from workbench.readers.folds.stretches import Stretch, StretchesFold
from workbench.readers.folds.tools import ToolActivity
from workbench.readers.latency import LatencyHistory
from workbench.readers.moments import Moment
from workbench.readers.overview import TrackOverview
from workbench.readers.timeline import Turn
from workbench.readers.waveform import SIDES, at_output_rate, mixed_samples, track_samples
from workbench.trace.archive import EventFile
from workbench.views.screen import ScreenFold
from workbench.views.trace import OpenTrace

FIRST_BLOCK, BLOCK = 1_000, 5_000
"""Entries that are read before the screen shows them: the first ones quickly."""
MOST_EVENTS = 2_000
"""Events of a turn in a list."""
MOST_MATCHES = 500

Sides = Literal["user", "agent", "both"]


@dataclass(frozen=True, slots=True)
class RecordingState:
    """What is shown of a recording, as far as it has been read: until `read_ms`, all of it once it is `complete`."""

    turns: tuple[Turn, ...] = ()
    lines: tuple[ConversationLine, ...] = ()
    status: SessionStatus = SessionStatus()  # noqa: RUF009 - frozen
    history: LatencyHistory = LatencyHistory()  # noqa: RUF009
    tools: ToolActivity = ToolActivity()  # noqa: RUF009
    accounts: tuple[Account, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    ends: tuple[int, ...] = ()
    """Index of the entry after each turn's end."""
    read_ms: float = 0.0
    complete: bool = False
    endless: bool = False
    """All there is was read, and there is no end: somebody still records, or could not."""

    def shown(self, index: int) -> tuple[object, ...]:
        """Return what the view of the turn at `index` depends on: the same where it need not be drawn again."""
        last = index >= len(self.turns) - 1
        return self.turns[index : index + 1], self.accounts_of(index), self.read_ms if last else 0.0

    def accounts_of(self, index: int) -> tuple[Account, ...]:
        """Return the account of the turn at `index`, with what became no turn before the next one."""
        if not self.turns:
            return self.accounts
        number = self.turns[index].turn
        places = [at for at, account in enumerate(self.accounts) if account.turn is not None]
        own = next((at for at in places if self.accounts[at].turn == number), None)
        if own is None:
            return ()
        after = min((at for at in places if at > own), default=len(self.accounts))
        before = self.accounts[: places[0]] if own == places[0] else ()
        return (self.accounts[own], *before, *self.accounts[own + 1 : after])


class PartOfTrace(OpenTrace):
    """A recording as far as it has been read: turns and moments are those of the entries that were given to `fold`."""

    def __init__(self, whole: OpenTrace) -> None:
        super().__init__(whole.now, keep_turns=None)
        self.archive, self.tracks, self.end = whole.archive, whole.tracks, whole.end
        self.close()

    def catch_up(self) -> None:
        """Read nothing that was not given."""

    def fold(self, entry: Entry) -> None:
        """Take the next entry; what lies between may be left out."""
        with self._reading:
            self._fold(entry)


class Recording:
    """Reads a closed trace. `read`, `listen`, `grow` and `search` take their time, and belong on a thread."""

    def __init__(self, trace: OpenTrace) -> None:
        self.trace = PartOfTrace(trace) if trace.archive is not None else trace
        self.end_ms = trace.end_ms
        self._source = trace
        self._fold = ScreenFold(self.trace, keep_all=True)
        self._decisions = DecisionsFold(keep=None)
        self._stretches = StretchesFold(self.trace.moments)
        self._overviews = {side: TrackOverview(trace.tracks[side]) for side in SIDES if side in trace.tracks}
        self._ends: list[int] = []
        self._read = 0

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self) -> RecordingState:
        """Read the next block of entries; return all until there."""
        stop = self._read + (BLOCK if self._read else FIRST_BLOCK)
        for entry in notable(self._source, self._read, stop):
            self._fold.feed(entry)
            self._decisions.feed(entry)
            self._stretches.feed(entry)
            if isinstance(entry.event, TurnEnded):
                self._ends.append(entry.i + 1)
        self._read = min(stop, self._source.end)
        complete = self._read >= self._source.end
        return RecordingState(
            tuple(self.trace.turns),
            self._fold.lines,
            self._fold.status,
            self._fold.history,
            self._fold.tools,
            self._decisions.accounts,
            self._stretches.stretches,
            tuple(self._ends),
            self.end_ms if complete else self._fold.t_ms,
            complete,
            complete and self._source.archive is not None and not self._fold.status.ended,
        )

    def listen(self) -> bool:
        """Look at the next minute of both tracks; return whether there was anything."""
        return sum(overview.extend() for overview in self._overviews.values()) > 0

    def grow(self) -> bool:
        """Take note of what was written since, where somebody still records; return whether there is anything."""
        archive = self._source.archive
        last = archive.last() if isinstance(archive, EventFile) else None
        if last is None or last.i < self._source.end:
            return False
        self._source.end = self.trace.end = last.i + 1
        self.end_ms = max(self.end_ms, last.t_ms)
        return True

    # --- what a turn needs -------------------------------------------------------------------------------------------

    def moment(self, turn: int) -> Moment | None:
        """Return when a turn was; None where that has not been read."""
        return self.trace.moments.of(turn)

    def peaks(
        self, side: TrackName, start_ms: float, end_ms: float, columns: int
    ) -> NDArray[np.float32] | None:
        """Return amplitudes as `TrackOverview.peaks` does; None without the track."""
        overview, moments = self._overviews.get(side), self.trace.moments
        if overview is None:
            return None
        return overview.peaks(moments.sample(side, start_ms), moments.sample(side, end_ms), columns)

    def sound(self, sides: Sides, start_ms: float, end_ms: float) -> Samples:
        """Return a stretch of one side or of both together, mono PCM16 at `OUTPUT_RATE`; empty without the tracks."""
        moments = self.trace.moments
        if sides == "both":
            return mixed_samples(self.trace, moments, start_ms, end_ms)
        samples = track_samples(self.trace, moments, sides, start_ms, end_ms)
        return at_output_rate(samples, self.trace.tracks[sides].rate) if len(samples) else samples

    def events(self, state: RecordingState, index: int, *, everything: bool = False) -> list[Entry]:
        """Return the events of the turn at `index`: what came after the turn before it, up to `MOST_EVENTS`. Only with
        `everything` those that come many times a second."""
        ends = state.ends
        start = ends[index - 1] if 0 < index <= len(ends) else 0
        last = index >= len(ends) - 1
        stop = self._read if last else ends[index]
        if everything:
            return self._source.since(start, min(MOST_EVENTS, stop - start)) if stop > start else []
        return list(islice((it for it in notable(self._source, start, stop) if log_line(it)), MOST_EVENTS))

    def search(self, text: str) -> list[int]:
        """Return the indices of the entries in whose texts that is, in any case of letters; `MOST_MATCHES` at most."""
        wanted = text.casefold()
        return [entry.i for entry in islice(self._matches(wanted), MOST_MATCHES)]

    def _matches(self, wanted: str) -> Iterator[Entry]:
        for entry in notable(self._source):
            line = log_line(entry)
            if line is not None and wanted in line.casefold():
                yield entry


def turn_at(state: RecordingState, entry: int) -> int:
    """Return the place of the turn that an entry belongs to."""
    return min(bisect_right(state.ends, entry), max(0, len(state.turns) - 1))


def next_match(matches: list[int], here: int, by: int) -> int | None:
    """Return the match after `here`, before it (`by` < 0), or there or after it (0); after the last comes the first."""
    if by < 0:
        return max((i for i in matches if i < here), default=matches[-1] if matches else None)
    return min((i for i in matches if i > here - (by == 0)), default=matches[0] if matches else None)


def seconds(samples: Samples) -> float:
    """Return the length of what is played, s."""
    return len(samples) / OUTPUT_RATE
