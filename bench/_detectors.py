"""The turn detectors that are there, each with the settings that are tried with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product

from bench._figures import settings
from workbench.engine.interfaces import TurnDetector
from workbench.engine.settings import TurnSettings
from workbench.model.errors import MissingError, UsageError
from workbench.plugin.manager import find_provider

LABELS = {"silence": "silence alone"}
WAITS_MS = (150, 250, 350, 450, 600, 800, 1000, 1300, 1600, 2000, 3000)
"""Settings of `turn.silence_ms` that are tried."""


@dataclass
class Detector:
    """A provider of the stage `turn`."""

    name: str
    make: Callable[[str], TurnDetector]
    """Makes it for a language."""
    grid: Sequence[TurnSettings]
    """The settings that are tried, the default ones last."""
    absent: str = ""
    """Why it cannot be asked."""
    label: str = field(init=False)

    def __post_init__(self) -> None:
        self.label = LABELS.get(self.name, self.name)


def detectors() -> list[Detector]:
    """Return all of them; what is missing of one is said in it."""
    return [_detector(name) for name in LABELS]


def default_detector(language: str = "en") -> TurnDetector:
    """Return the one of a session with default settings."""
    return _maker(settings().turn.provider)(language)


def _detector(name: str) -> Detector:
    make = _maker(name)
    try:
        make("en")
    except (MissingError, UsageError) as error:
        return Detector(name, make, [], absent=error.reason)
    return Detector(name, make, [*_grid(name), TurnSettings()])


def _maker(name: str) -> Callable[[str], TurnDetector]:
    def make(language: str) -> TurnDetector:
        provider, model = find_provider("turn", name)
        made: TurnDetector = provider.make(settings().options("turn", model, language))
        return made

    return make


def _grid(name: str) -> list[TurnSettings]:
    if name == "silence":
        return [TurnSettings(silence_ms=ms, adapt=False) for ms in WAITS_MS]
    return [
        TurnSettings(silence_ms=ms, min_silence_ms=least, max_silence_ms=most)
        for ms, least, most in product(WAITS_MS, (150, 250), (1200, 2000, 3000))
        if least <= ms <= most
    ]
