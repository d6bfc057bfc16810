"""A whole recording, ready to be stepped through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.model.audio import OUTPUT_RATE, SILENCE_DB, Samples, block_levels, silence
from workbench.model.events import Track
from workbench.readers import entries
from workbench.readers.timeline import Turn
from workbench.trace.bus import Trace
from workbench.tui.folds.conversation import Line
from workbench.tui.folds.moments import MomentsFold
from workbench.tui.folds.screen import ScreenFold
from workbench.tui.folds.status import Status
from workbench.tui.folds.tools import Tools
from workbench.tui.folds.turns import History

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
        self._moments = MomentsFold({track: tape.rate for track, tape in trace.tapes.items()})
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
        sides = [self._side(track, turn) for track in ("user", "agent") if track in self._trace.tapes]
        length = max((len(side) for side in sides), default=0)
        mixed = np.zeros(length, dtype=np.int32)
        for side in sides:
            mixed[: len(side)] += side
        return np.clip(mixed, -32768, 32767).astype(np.int16)

    def sounds(self, turn: int, columns: int) -> Sounds:
        """The envelopes of a turn in so many columns."""
        user, agent = (_envelope(self._side(track, turn), columns) for track in ("user", "agent"))
        moment = self._moments.of(turn)
        return Sounds((moment.end_ms - moment.start_ms) / 1000 if moment else 0.0, user, agent)

    def _side(self, track: Track, turn: int) -> Samples:
        tape, moment = self._trace.tapes.get(track), self._moments.of(turn)
        if tape is None or moment is None:
            return silence(0)
        start, stop = (self._moments.sample(track, ms) for ms in (moment.start_ms, moment.end_ms))
        samples = tape.read(start, stop)
        return samples if tape.rate == OUTPUT_RATE else _resampled(samples, tape.rate)


def _resampled(samples: Samples, rate: int) -> Samples:
    import soxr  # 10 ms, and only needed to listen

    return np.asarray(soxr.resample(samples, rate, OUTPUT_RATE), dtype=np.int16)


def _envelope(samples: Samples, columns: int) -> Envelope:
    levels = block_levels(samples, OUTPUT_RATE)
    parts = np.array_split(levels, max(1, columns))
    return tuple(float(part.max()) if len(part) else SILENCE_DB for part in parts)
