"""The detectors that a session would have: the VAD and the turn detector by name, made in whatever process scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.config import Settings
from workbench.engine.interfaces import TurnDetector, Vad
from workbench.model.audio import INPUT_RATE
from workbench.model.errors import foreign
from workbench.plugin.manager import find_provider, load_files
from workbench.plugin.values import ProviderOptions, ProviderStage
from workbench.text.languages import AUTO
from workbench.trace.track import Track

PIECE_S = 60
"""Sound that is read at a time, s."""
BY_SMART_TURN = frozenset({"combined", "smart-turn"})
"""Turn detectors with the same model."""


@dataclass(frozen=True, slots=True)
class Detectors:
    """Which detectors are scored; it can be sent to another process."""

    vad: str
    turn: str
    language: str = ""
    models_path: str | None = None
    plugins: tuple[Path, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Detectors:
        """Return those of the settings: of several for a stage the first."""
        language = "" if settings.language == AUTO else settings.language
        models_path = str(settings.models_path) if settings.models_path else None
        turn, vad = (settings.choice(settings.chain(stage)[0]) for stage in ("turn", "vad"))
        return cls(vad, turn, language, models_path, tuple(map(Path, settings.plugins)))

    def make_vad(self) -> Vad:
        """Return a VAD. Raises MissingError."""
        made: Vad = self._make("vad", self.vad)
        return made

    def make_turn(self) -> TurnDetector:
        """Return a turn detector, not entered."""
        made: TurnDetector = self._make("turn", self.turn)
        return made

    def _make(self, stage: ProviderStage, choice: str) -> Any:
        _load(self.plugins)
        provider, model = find_provider(stage, choice)
        return provider.make(
            ProviderOptions(model, language=self.language or "en", models_path=self.models_path)
        )

    def judges_as(self, recorded: str) -> bool:
        """Whether a recording by that turn detector has the same model's estimates."""
        return recorded == self.turn or {recorded, self.turn} <= BY_SMART_TURN

    def probabilities(self, track: Track) -> tuple[int, NDArray[np.float32]]:
        """Return the window of the VAD, samples, and the probability of speech in each window of a track."""
        vad = self.make_vad()
        size, values = vad.window, list[float]()
        step = PIECE_S * INPUT_RATE // size * size
        for start in range(0, track.end // size * size, step):
            piece = track.read(start, min(start + step, track.end // size * size))
            with foreign("the VAD", "vad"):
                values += [float(vad(piece[at : at + size])) for at in range(0, len(piece), size)]
        return size, np.array(values, dtype=np.float32)


@cache
def _load(plugins: tuple[Path, ...]) -> None:
    """Load plugins that are files, once a process."""
    if plugins:
        load_files(plugins)
