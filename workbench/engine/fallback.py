"""Detectors that fail are replaced by plain ones, with a notice: listening goes on."""

from __future__ import annotations

import math

from workbench.engine.interfaces import TurnDetector, Vad
from workbench.engine.settings import TurnSettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import Samples, level_db
from workbench.model.errors import GarbageError, StageError, foreign
from workbench.model.events import Notice
from workbench.trace.trace import Trace


class LevelVad:
    """The last resort: what is louder than −45 dBFS is speech."""

    def __init__(self, window: int) -> None:
        self.window = window

    def __call__(self, samples: Samples) -> float:
        return float(level_db(samples) > -45.0)

    def reset(self) -> None:
        """Nothing is remembered."""


class FixedSilence:
    """The last resort: the silence that the settings say."""

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """`turn.silence_ms`."""
        return settings.silence_ms

    def paused(self, ms: float, *, went_on: bool) -> None:
        """Nothing is learnt."""


class VadWithFallback:
    """A VAD that does not fail: one that raises, or says what is no probability, is replaced by `LevelVad`."""

    def __init__(self, vad: Vad, trace: Trace) -> None:
        self._vad = vad
        self._trace = trace
        self.window = vad.window

    def __call__(self, samples: Samples) -> float:
        """The probability (0…1) that the window is speech."""
        try:
            with foreign("the VAD", "vad"):
                return _number(self._vad(samples), most=1.0)
        except StageError as error:
            self._replace(error)
            return self._vad(samples)

    def reset(self) -> None:
        """Sound is missing: forget what was heard."""
        try:
            with foreign("the VAD", "vad"):
                self._vad.reset()
        except StageError as error:
            self._replace(error)

    def _replace(self, error: StageError) -> None:
        self._trace.emit(Notice("error", "vad", error.reason, "speech is found by its level from now on"))
        self._vad = LevelVad(self.window)


class TurnDetectorWithFallback:
    """A turn detector that does not fail: one that does is replaced by `FixedSilence`."""

    def __init__(self, turn: TurnDetector, trace: Trace) -> None:
        self._turn = turn
        self._trace = trace

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """Silence that ends the turn, ms; infinity waits for `turn.max_utterance_s`."""
        try:
            with foreign("the turn detector", "turn"):
                return _number(self._turn.wait_ms(utterance, settings), most=math.inf)
        except StageError as error:
            self._replace(error)
            return settings.silence_ms

    def paused(self, ms: float, *, went_on: bool) -> None:
        """Tell it of a pause."""
        try:
            with foreign("the turn detector", "turn"):
                self._turn.paused(ms, went_on=went_on)
        except StageError as error:
            self._replace(error)

    def _replace(self, error: StageError) -> None:
        hint = "turns end after turn.silence_ms from now on"
        self._trace.emit(Notice("error", "turn", error.reason, hint))
        self._turn = FixedSilence()


def _number(value: float, *, most: float) -> float:
    """The value as a float; GarbageError for what is not between 0 and `most`, a NaN for one."""
    number = float(value)
    if not 0.0 <= number <= most:
        raise GarbageError(f"a number from 0 to {most:g} is expected, not {number}")
    return number
