"""A whole recording, ready to be stepped through."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.model.audio import Samples, block_levels
from workbench.model.events import TrackName, TurnEnded
from workbench.readers import entries
from workbench.readers.folds.conversation import ConversationLine
from workbench.readers.folds.status import SessionStatus
from workbench.readers.folds.tools import ToolActivity
from workbench.readers.latency import LatencyHistory
from workbench.readers.moments import Moment
from workbench.readers.waveform import SIDES, track_samples
from workbench.views.screen import ScreenFold
from workbench.views.trace import OpenTrace, Turns


@dataclass(frozen=True, slots=True)
class TurnWaveform:
    """Levels of both sides over `seconds`, dBFS, one for each block of 5 ms; empty where nothing was recorded."""

    seconds: float = 0.0
    user_db: tuple[float, ...] = ()
    agent_db: tuple[float, ...] = ()
    at_s: float | None = None
    """Where playing is."""


class Recording:
    """Everything that the screen shows of a closed trace. Reading an hour takes a few seconds: do it off the loop."""

    def __init__(self, trace: OpenTrace) -> None:
        self._trace = trace
        self._log: list[str] = []
        self._log_upto: list[int] = []
        fold = ScreenFold(trace, keep_all=True)
        for entry in entries(trace):
            line = fold.feed(entry)
            if line is not None:
                self._log.append(line)
            if isinstance(entry.event, TurnEnded):
                self._log_upto.append(len(self._log))
        self.turns: Turns = trace.turns
        self.lines: tuple[ConversationLine, ...] = fold.lines
        self.status: SessionStatus = fold.status
        self.history: LatencyHistory = fold.history
        self.tools: ToolActivity = fold.tools
        self.t_ms = fold.t_ms

    def log(self, index: int) -> list[str]:
        """Return the event log of the turn at `index`: what came after the turn before it."""
        if not self.turns:
            return self._log
        stop = None if index == len(self.turns) - 1 else self._log_upto[index]
        return self._log[self._log_upto[index - 1] if index else 0 : stop]

    def sound(self, turn: int) -> Samples:
        """Return both sides of a turn together, mono PCM16 at `OUTPUT_RATE`; empty where nothing was recorded."""
        return self._trace.audio(turn=turn)

    def waveform(self, turn: int) -> TurnWaveform:
        """Return what both sides sound like in a turn."""
        moment = self._trace.moment(turn)
        user, agent = (self._levels_db(track, moment) for track in SIDES)
        return TurnWaveform((moment.end_ms - moment.start_ms) / 1000, user, agent)

    def _levels_db(self, track: TrackName, moment: Moment) -> tuple[float, ...]:
        if track not in self._trace.tracks:
            return ()
        samples = track_samples(self._trace, self._trace.moments, track, moment.start_ms, moment.end_ms)
        return tuple(block_levels(samples, self._trace.rate(track)).tolist())
