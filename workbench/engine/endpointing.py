"""Endpointing by silence that adapts to the pauses of this user."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from workbench.engine.settings import TurnSettings
from workbench.engine.utterance import Utterance

QUANTILE = 0.9
"""Share of this user's pauses within a turn that the wait is meant to outlast."""
PRIOR_PAUSES = 8
"""How many observed pauses the prior weighs as much as."""
NOTICED_MS = 40.0
"""What it takes to hear that a pause is over: a window of the VAD and a frame. To outlast a pause is to wait so much
longer."""
REMEMBERED = 40
"""Pauses of the user that count; older ones are forgotten."""


class SilenceTurn:
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
        scale = settings.silence_ms / -math.log(1 - QUANTILE)
        prior = [-math.log(1 - (k + 0.5) / PRIOR_PAUSES) * scale for k in range(PRIOR_PAUSES)]
        shift = settings.silence_ms - float(np.quantile(prior, QUANTILE))
        wait = float(np.quantile([*(pause + shift for pause in prior), *self._pauses], QUANTILE))
        return min(max(wait, settings.min_silence_ms), settings.max_silence_ms)

    def paused(self, ms: float, *, went_on: bool) -> None:
        """Learn from a pause after which the user went on; the end of a turn tells nothing of pauses."""
        if went_on:
            self._pauses.append(ms + NOTICED_MS)
