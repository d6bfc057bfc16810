"""The turn detector `semantic`: waits longer after words that want to go on, and less after a question that is whole.

It needs an STT that writes words while the user speaks (`whisper` on board does); without words it waits as `silence`
does. English.
"""

from __future__ import annotations

import re

from workbench import hookimpl
from workbench.spi import Provider, ProviderOptions, SilenceTurn, TurnSettings, Utterance

LONGER, SHORTER = 2.5, 0.7
"""Factors of the silence that would be waited for."""
TAIL, LONGEST = 40, 200
"""Characters that are looked at: the question is put at every frame of a pause."""
OPEN = re.compile(
    r"(\b(and|or|but|because|so|if|when|while|that|which|who|than|as|of|to|for|from|in|on|at|with|by|about|into|"
    r"the|a|an|my|your|his|her|our|their|this|these|those|is|are|was|were|will|would|can|could|should|do|does|"
    r"i|you|we|they|he|she|it|not|very|really|um|uh|er|like|maybe|please)|,|-|–|\.\.\.|…)\s*$",
    re.IGNORECASE,
)
"""How an English sentence does not end."""
WHOLE = re.compile(
    r"^\s*((what|who|where|when|why|how|which|is|are|do|does|did|can|could|will|would|should)\b.{8,}\?"
    r"|yes|no|thanks|thank you|stop|goodbye|bye)\W*$",
    re.IGNORECASE,
)
"""A question, or an answer that needs no more."""


class SemanticTurn:
    """`SilenceTurn`, with the words taken into account."""

    def __init__(self) -> None:
        self._silence = SilenceTurn()

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """Silence that ends the turn, ms."""
        wait_ms = self._silence.wait_ms(utterance, settings)
        transcript = utterance.transcript
        if transcript is None or not utterance.covered:
            return wait_ms
        if OPEN.search(transcript.text[-TAIL:]):
            return min(wait_ms * LONGER, settings.max_silence_ms)
        if len(transcript.text) <= LONGEST and WHOLE.match(transcript.text):
            return max(wait_ms * SHORTER, min(wait_ms, settings.min_silence_ms))
        return wait_ms

    def paused(self, ms: float, *, went_on: bool) -> None:
        """Learn from a pause."""
        self._silence.paused(ms, went_on=went_on)


def _make(options: ProviderOptions) -> SemanticTurn:
    return SemanticTurn()


@hookimpl
def workbench_providers() -> list[Provider]:
    """`[turn] provider = "semantic"`."""
    about = "by words: waits longer after an open phrase, less after a whole question"
    return [Provider("turn", "semantic", about, _make, models=("english",), onboard=True)]
