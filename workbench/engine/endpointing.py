"""Endpointing: by silence that adapts to the pauses of this user, by words, and by what a model makes of the sound."""

from __future__ import annotations

import math
from collections import deque
from functools import lru_cache
from typing import Literal

import numpy as np

from workbench.engine.interfaces import TurnDetector
from workbench.engine.settings import TurnSettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE
from workbench.text.completeness import ASKED, CLOSED, Completeness, completeness, dictation
from workbench.text.turn_words import matches

QUANTILE = 0.9
"""Share of this user's pauses within a turn that the wait is meant to outlast."""
PRIOR_PAUSES = 8
"""How many observed pauses the prior weighs as much as."""
NOTICED_MS = 40.0
"""What it takes to hear that a pause is over: a window of the VAD and a frame. To outlast a pause is to wait so much
longer."""
REMEMBERED = 40
"""Pauses of the user that count; older ones are forgotten."""


class SilenceTurn(TurnDetector):
    """Waits for the 0.9 quantile of the pauses that this user makes within a turn, bounded on both sides.

    Before anything is known the pauses are taken to be exponentially distributed with that quantile at
    `turn.silence_ms`: eight pseudo-pauses at evenly spaced quantiles of it. Each observed pause then counts as much as
    one of them.
    """

    def __init__(self) -> None:
        self._pauses: deque[float] = deque(maxlen=REMEMBERED)

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """Silence that ends the turn, ms."""
        if not settings.adapt or not self._pauses:
            return settings.silence_ms
        wait = _usual_ms(settings.silence_ms, tuple(self._pauses))
        return min(max(wait, settings.min_silence_ms), settings.max_silence_ms)

    def paused(self, ms: float, *, went_on: bool) -> None:
        """Learn from a pause after which the user went on; the end of a turn tells nothing of pauses."""
        if went_on:
            self._pauses.append(ms + NOTICED_MS)


@lru_cache(maxsize=256)
def _usual_ms(silence_ms: float, pauses: tuple[float, ...]) -> float:
    """Return the 0.9 quantile of the prior and these pauses, ms: 60 µs, and asked for at every frame of a pause."""
    scale = silence_ms / -math.log(1 - QUANTILE)
    prior = [-math.log(1 - (k + 0.5) / PRIOR_PAUSES) * scale for k in range(PRIOR_PAUSES)]
    shift = silence_ms - float(np.quantile(prior, QUANTILE))
    return float(np.quantile([*(pause + shift for pause in prior), *pauses], QUANTILE))


GOES_ON_MS = 1_000.0
"""A new utterance that begins so soon after the last one is more of it. Who interrupts a reply has heard some of it
first, and comes later."""
HEARD_OUT_MS = 2_500.0
"""One that begins so late follows an answer that was listened to."""
LONG_PAUSE_MS = 300.0
"""A pause so long, after which the user went on though all sounded complete, is no mere breath."""
UNPUNCTUATED = (1.0, 1.0, 2.0, 3.5)
"""Times the usual wait after no word, one, two and more without a full stop, from an STT that sets them: few words may
well come without."""
SHARES: dict[tuple[Completeness, int], float] = {
    (Completeness.COMPLETE, -1): 1.0,
    (Completeness.LIKELY, 1): 0.9,
    (Completeness.LIKELY, 0): 0.9,
    (Completeness.LIKELY, -1): 1.5,
    (Completeness.UNKNOWN, 1): 0.9,
    (Completeness.UNKNOWN, 0): 0.9,
    (Completeness.UNKNOWN, -1): 4.0,
    (Completeness.DOUBTFUL, 1): 3.0,
    (Completeness.DOUBTFUL, 0): 3.0,
    (Completeness.DOUBTFUL, -1): 3.0,
}
"""Times this user's usual wait, by words and sound. Chosen on 910 pauses of human prompts in five languages
(`docs/performance.md`)."""


class CombinedTurn(SilenceTurn):
    """Goes by words and by sound where they tell something, and by this user's pauses where they do not.

    What is surely complete ends after `turn.complete_ms`; what is surely unfinished may go on for `turn.unfinished_ms`.
    Words count once they cover all that was said, and the sound once a model has judged this very pause: both may come
    late, and until then they are unknown. Who goes on after what seemed complete is reading or telling something: from
    then on nothing is surely complete, until an answer was heard out. Pauses that the words explain teach nothing.
    """

    def __init__(self, *, by_words: bool = True) -> None:
        super().__init__()
        self._by_words = by_words
        self._utterance, self._speech_end = -1, -60 * INPUT_RATE
        self._open_end = self._complete = False
        """The words of this pause say that more may come; that it is the end."""
        self._telling = False
        self._punctuates = False

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """Silence that ends the turn, ms."""
        self._follow(utterance)
        usual_ms, words = super().wait_ms(utterance, settings), self._words(utterance)
        openness = self._openness(utterance)
        unpunctuated = openness > 1 and words is Completeness.UNKNOWN
        self._open_end, self._complete = (
            unpunctuated or words < Completeness.UNKNOWN,
            words > Completeness.UNKNOWN,
        )
        if words is Completeness.UNFINISHED:
            return max(usual_ms, settings.unfinished_ms)
        if unpunctuated:
            return max(usual_ms, min(usual_ms * openness, settings.unfinished_ms))
        wait_ms = self._complete_or_unknown_ms(utterance, settings, usual_ms, words)
        return max(wait_ms, settings.max_silence_ms) if self._telling and settings.adapt else wait_ms

    def _complete_or_unknown_ms(
        self, utterance: Utterance, settings: TurnSettings, usual_ms: float, words: Completeness
    ) -> float:
        sound = sounded(utterance, settings)
        if words is Completeness.COMPLETE and sound >= 0:
            return min(usual_ms, settings.in_proportion(settings.complete_ms))
        if words is Completeness.UNKNOWN and sound == 0 and not utterance.covered:
            return usual_ms  # the words are still to come
        wait_ms = usual_ms * SHARES[words, sound]
        return wait_ms if wait_ms <= usual_ms else max(usual_ms, min(wait_ms, settings.unfinished_ms))

    def hold_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """Silence before which no reply is heard, ms: nothing is lost by it where the models need as long. Words that
        came too late for the end of the turn count here."""
        usual_ms, words = super().wait_ms(utterance, settings), self._words(utterance)
        if words is Completeness.COMPLETE:
            return 0.0
        if words is Completeness.UNFINISHED:
            return max(usual_ms, settings.unfinished_ms)
        if words is Completeness.DOUBTFUL:
            usual_ms = min(usual_ms * SHARES[words, 0], max(usual_ms, settings.unfinished_ms))
        return max(settings.in_proportion(settings.hold_ms), usual_ms)

    def paused(self, ms: float, *, went_on: bool) -> None:
        """Learn from a pause after which the user went on, unless its words said that more was to come."""
        if went_on and not self._open_end:
            super().paused(ms, went_on=True)
            self._telling = self._telling or (self._complete and ms >= LONG_PAUSE_MS)

    def _follow(self, utterance: Utterance) -> None:
        """Notice a new utterance: more of the last one, or one after an answer."""
        if utterance.id != self._utterance:
            gap_ms = (utterance.onset - self._speech_end) * 1000 / INPUT_RATE
            self._telling = (self._telling and gap_ms < HEARD_OUT_MS) or 0 <= gap_ms < GOES_ON_MS
        self._utterance, self._speech_end = utterance.id, utterance.speech_end

    def _openness(self, utterance: Utterance) -> float:
        """Return how many times the usual wait is waited as the words are all there without a full stop, from an STT
        that has set one in this session."""
        text = utterance.transcript.text if self._by_words and utterance.transcript else ""
        stopped = CLOSED.search(text) or ASKED.search(text)
        self._punctuates = self._punctuates or stopped is not None
        if stopped or not self._punctuates or not utterance.covered:
            return 1.0
        return UNPUNCTUATED[min(len(text.split()), len(UNPUNCTUATED) - 1)]

    def _words(self, utterance: Utterance) -> Completeness:
        return judge_words(utterance) if self._by_words else Completeness.UNKNOWN


def judge_words(utterance: Utterance) -> Completeness:
    """Return what the words say of the end of the turn; where they lag behind, only whether a number is dictated."""
    transcript = utterance.transcript
    text, question, language = transcript.text if transcript else "", utterance.question, utterance.language
    if utterance.covered:
        return completeness(text, question, language)
    if text and dictation(text, question, language) is Completeness.UNFINISHED:
        return Completeness.UNFINISHED
    return Completeness.DOUBTFUL if matches(question, language, "dictated") else Completeness.UNKNOWN


def sounded(utterance: Utterance, settings: TurnSettings) -> Literal[-1, 0, 1]:
    """Return what the sound says of the end of the turn: 1 for it, -1 against it, 0 where that is open."""
    probability = utterance.end_probability
    if probability is None:
        return 0
    if probability >= settings.complete_probability:
        return 1
    return -1 if probability <= settings.unfinished_probability else 0
