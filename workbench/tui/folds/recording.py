"""A whole recording, ready to be stepped through."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.model.audio import OUTPUT_RATE, Samples, silence
from workbench.model.events import TrackName
from workbench.readers import entries
from workbench.readers.folds.conversation import Line
from workbench.readers.folds.screen import ScreenFold
from workbench.readers.folds.status import Status
from workbench.readers.folds.tools import Tools
from workbench.readers.folds.turns import History
from workbench.readers.moments import MomentsFold
from workbench.readers.sound import SIDES, both, envelope_db, side
from workbench.readers.timeline import Turn
from workbench.trace.trace import Trace

Envelope = tuple[float, ...]
"""Loudest level in equal stretches of time, dBFS."""


@dataclass(frozen=True, slots=True)
class Sounds:
    """What both sides sound like over `seconds`, in `len(user) == len(agent)` stretches; `at_s` is where playing is."""

    seconds: float = 0.0
    user: Envelope = ()
    agent: Envelope = ()
    at_s: float | None = None


class Recording:
    """Everything that the screen shows of a closed trace. Reading an hour takes a few seconds: do it off the loop."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._moments = MomentsFold({track: sound.rate for track, sound in trace.tracks.items()}, keep=None)
        self._log: list[str] = []
        self._log_upto: list[int] = []
        self.turns: list[Turn] = []
        fold = ScreenFold(on_turn=self.turns.append, keep_all=True)
        for entry in entries(trace):
            self._moments.feed(entry)
            before = len(self.turns)
            self._log += fold.feed((entry,))
            if len(self.turns) > before:
                self._log_upto.append(len(self._log))
        self.lines: tuple[Line, ...] = fold.lines
        self.status: Status = fold.status
        self.history: History = fold.history
        self.tools: Tools = fold.tools
        self.t_ms = fold.t_ms

    def log(self, index: int) -> list[str]:
        """The event log of the turn at `index`: what came after the turn before it."""
        if not self.turns:
            return self._log
        stop = None if index == len(self.turns) - 1 else self._log_upto[index]
        return self._log[self._log_upto[index - 1] if index else 0 : stop]

    def sound(self, turn: int) -> Samples:
        """Both sides of a turn together, mono PCM16 at `OUTPUT_RATE`; empty where nothing was recorded."""
        moment = self._moments.of(turn)
        return both(self._trace, self._moments, moment.start_ms, moment.end_ms) if moment else silence(0)

    def sounds(self, turn: int, columns: int) -> Sounds:
        """The envelopes of a turn in so many columns."""
        user, agent = (self._envelope(track, turn, columns) for track in SIDES)
        moment = self._moments.of(turn)
        return Sounds((moment.end_ms - moment.start_ms) / 1000 if moment else 0.0, user, agent)

    def _envelope(self, track: TrackName, turn: int, columns: int) -> Envelope:
        sound, moment = self._trace.tracks.get(track), self._moments.of(turn)
        if sound is None or moment is None:
            return envelope_db(silence(0), OUTPUT_RATE, columns)
        samples = side(self._trace, self._moments, track, moment.start_ms, moment.end_ms)
        return envelope_db(samples, sound.rate, columns)
