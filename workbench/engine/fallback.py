"""Fallbacks of the detectors: one that fails is replaced by a plain one, with a notice, and listening goes on."""

from __future__ import annotations

import math

from workbench.engine.interfaces import TurnDetector, Vad
from workbench.engine.settings import TurnSettings
from workbench.engine.tasks import within
from workbench.engine.utterance import Estimate, Utterance
from workbench.model.audio import Samples, level_db
from workbench.model.errors import GarbageError, StageError, foreign
from workbench.model.events import Notice
from workbench.text.turn_words import tag
from workbench.trace.trace import Trace

ASSESS_MS = 3000.0
"""Later than this a turn is over, whatever a model may still say, ms."""
FAILURES = 3
"""So often a turn detector's model may fail before it is left out."""


class LevelVad:
    """A VAD of last resort: sound above −45 dBFS is speech."""

    def __init__(self, window: int) -> None:
        self.window = window

    def __call__(self, samples: Samples) -> float:
        return float(level_db(samples) > -45.0)

    def reset(self) -> None:
        """There is no state."""


class FixedSilence(TurnDetector):
    """A turn detector of last resort: `turn.silence_ms`."""

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """Return `turn.silence_ms`."""
        return settings.silence_ms

    def paused(self, ms: float, *, went_on: bool) -> None:
        """Learn nothing."""


class VadWithFallback:
    """A VAD that is replaced by `LevelVad` when it raises or returns anything but a probability."""

    def __init__(self, vad: Vad, trace: Trace) -> None:
        self._vad = vad
        self._trace = trace
        self.window = vad.window

    def __call__(self, samples: Samples) -> float:
        """Return the probability (0…1) that the window is speech."""
        try:
            with foreign("the VAD", "vad"):
                return _number(self._vad(samples), most=1.0)
        except StageError as error:
            self._replace(error)
            return self._vad(samples)

    def reset(self) -> None:
        """Forget the windows before: sound is missing."""
        try:
            with foreign("the VAD", "vad"):
                self._vad.reset()
        except StageError as error:
            self._replace(error)

    def _replace(self, error: StageError) -> None:
        self._trace.emit(Notice("error", "vad", error.reason, "speech is found by its level from now on"))
        self._vad = LevelVad(self.window)


class TurnDetectorWithFallback:
    """A turn detector that is replaced by `FixedSilence` when it raises or returns no time."""

    def __init__(self, turn: TurnDetector, trace: Trace) -> None:
        self._turn = turn
        self._trace = trace
        self._failures = 0

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """Return the silence that ends the turn, ms; infinity waits for `turn.max_utterance_s`."""
        try:
            with foreign("the turn detector", "turn"):
                return _number(self._turn.wait_ms(utterance, settings), most=math.inf)
        except StageError as error:
            self._replace(error)
            return settings.silence_ms

    def hold_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """Return the silence before which no reply is heard, ms."""
        try:
            with foreign("the turn detector", "turn"):
                return _number(self._turn.hold_ms(utterance, settings), most=10_000.0)
        except StageError as error:
            self._replace(error)
            return 0.0

    def paused(self, ms: float, *, went_on: bool) -> None:
        """Learn from a pause."""
        try:
            with foreign("the turn detector", "turn"):
                self._turn.paused(ms, went_on=went_on)
        except StageError as error:
            self._replace(error)

    def assesses(self, utterance: Utterance) -> bool:
        """Whether the pause of an utterance is worth a call of `assess`."""
        try:
            with foreign("the turn detector", "turn"):
                turn = self._turn
                known = not turn.languages or tag(utterance.language) in turn.languages
                return turn.assesses and known and self._failures < FAILURES
        except StageError as error:
            self._replace(error)
            return False

    async def assess(self, utterance: Utterance) -> None:
        """Have the detector's model judge the pause that the utterance is in; one that fails is left out."""
        speech_end, began = utterance.speech_end, self._trace.now()

        async def ask() -> float | None:
            probability = await self._turn.assess(utterance)
            return None if probability is None else _number(probability, most=1.0)

        try:
            probability = await within("the turn detector", "turn", ask, ASSESS_MS)
            if probability is not None:
                utterance.estimate(Estimate(probability, speech_end), self._trace.now() - began)
        except StageError as error:
            self._failures += 1
            if self._failures == FAILURES:
                hint = "turns end by words and silence from now on"
                self._trace.emit(Notice("warning", "turn", error.reason, hint))

    def _replace(self, error: StageError) -> None:
        hint = "turns end after turn.silence_ms from now on"
        self._trace.emit(Notice("error", "turn", error.reason, hint))
        self._turn = FixedSilence()


def _number(value: float, *, most: float) -> float:
    """Return the value as a float. GarbageError unless it is between 0 and `most`."""
    number = float(value)
    if not 0.0 <= number <= most:
        raise GarbageError(f"a number from 0 to {most:g} is expected, not {number}")
    return number
