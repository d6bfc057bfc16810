"""`energy`: voice activity detection by loudness above the noise: no model, 5 µs a window, fooled by any loud sound."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from workbench.model.audio import Samples

WINDOW = 320
BLOCK = 50
"""Windows of a block (1 s); its quietest one is kept."""
BLOCKS = 6
"""Blocks in the floor: a noise that begins counts as noise after 6 s without a pause."""
START_DB = -60.0
"""The noise floor until it is measured, dBFS."""
HIGHEST_DB = -35.0
"""The floor is never above this, dBFS: someone who speaks without a breath stays speech."""
MARGIN_DB = 12.0
"""Above the floor at which speech and noise are equally likely."""
QUIETEST_DB = -45.0
"""Quieter sound is noise in any room, dBFS."""
SLOPE_DB = 2.0
FULL_SCALE_DB = 20 * math.log10(32768)


class Energy:
    """The probability that 20 ms are speech, by their level above the quietest of the last seconds."""

    window = WINDOW

    def __init__(self, options: object = None) -> None:
        self._count = 0
        self._quiet = HIGHEST_DB
        """The quietest window of the present block."""
        self._quietest = deque([START_DB], maxlen=BLOCKS)

    @property
    def floor_db(self) -> float:
        """The level of the noise, dBFS."""
        return min(HIGHEST_DB, self._quiet, *self._quietest)

    def __call__(self, samples: Samples) -> float:
        """Return the probability (0…1) that the window is speech."""
        wave = samples.astype(np.float32)
        level = 10.0 * math.log10(float(np.dot(wave, wave)) / WINDOW + 1.0) - FULL_SCALE_DB
        self._quiet = min(self._quiet, level)
        self._count += 1
        if self._count % BLOCK == 0:
            self._quietest.append(self._quiet)
            self._quiet = HIGHEST_DB
        above = level - max(self.floor_db + MARGIN_DB, QUIETEST_DB)
        return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, above / SLOPE_DB))))

    def reset(self) -> None:
        """Forget the windows before."""
        self._count, self._quiet = 0, HIGHEST_DB
        self._quietest = deque([START_DB], maxlen=BLOCKS)
