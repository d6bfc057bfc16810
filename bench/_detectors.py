"""The turn detectors that are there, each with the settings that are tried with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product

from workbench.engine.endpointing import CombinedTurn, SilenceTurn
from workbench.engine.interfaces import TurnDetector
from workbench.engine.settings import TurnSettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE
from workbench.model.conversation import Transcript
from workbench.model.errors import MissingError
from workbench.providers.onboard.process import Handler
from workbench.providers.onboard.smart_turn import open_model
from workbench.providers.smart_turn import SECONDS, WEIGHTS, SmartTurn
from workbench.weights.store import path

TAKES_S = 0.1
"""How long the model is taken to need, s: what it takes on a busy core. So a loaded machine changes no figure."""
WAITS_MS = (150, 250, 350, 450, 600, 800, 1000, 1300, 1600, 2000, 3000)
"""Silences that are tried."""


class SteadyTurn(CombinedTurn):
    """What `SmartTurn` does, with the model in this process, which answers after the same time whatever it takes."""

    languages = SmartTurn.languages
    assesses = True

    async def assess(self, utterance: Utterance) -> float | None:
        """Return the probability (0…1) that the turn is over."""
        speech_end, samples = utterance.speech_end, utterance.audio(utterance.end - SECONDS * INPUT_RATE)
        await asyncio.sleep(TAKES_S)
        if utterance.over or utterance.speech_end != speech_end:
            return None
        job = InlineJob(samples.tobytes())
        model()(job)  # type: ignore[arg-type]
        return job.probability


class AudibleTurn(SteadyTurn):
    """The same, until its reply may be heard: what is decided before that is taken back where the user goes on."""

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """Silence after which the reply may be heard, ms."""
        return max(super().wait_ms(utterance, settings), self.hold_ms(utterance, settings))


@dataclass
class InlineJob:
    """What the worker's code is given, in this process."""

    payload: bytes
    kind: str = "assess"
    probability: float = 0.0

    def send(self, header: dict[str, float]) -> None:
        """Take the result."""
        self.probability = header["probability"]


@cache
def model() -> Handler:
    """Load Smart Turn. MissingError without its weights."""
    return open_model(weights=str(path(WEIGHTS)))


@dataclass
class Detector:
    """A provider of the stage `turn`."""

    name: str
    turn: type[SilenceTurn]
    by_words: bool
    grid: Sequence[TurnSettings] = field(default_factory=list)
    """The settings that are tried, the default ones last."""
    absent: str = ""
    """Why it cannot be asked."""

    def make(self) -> SilenceTurn:
        """Return one that has heard a turn before, as in a session: it knows that the STT sets full stops."""
        made = self.turn(by_words=self.by_words) if issubclass(self.turn, CombinedTurn) else self.turn()
        before = Utterance(0, -60 * INPUT_RATE)
        before.speech_end = -59 * INPUT_RATE
        before.write(Transcript("Good morning to you.", before.speech_end))
        made.wait_ms(before, TurnSettings())
        return made


def detectors() -> list[Detector]:
    """Return all of them; what is missing of one is said in it."""
    alone = [TurnSettings(silence_ms=ms, adapt=False) for ms in WAITS_MS]
    absent = _absent()
    return [
        Detector("silence alone", SilenceTurn, False, [*alone, TurnSettings()]),
        Detector("smart-turn", SteadyTurn, False, _combinations(sound=True), absent),
        Detector("words", CombinedTurn, True, _combinations(sound=False)),
        Detector("combined", SteadyTurn, True, _combinations(sound=True), absent),
        Detector("combined, audible", AudibleTurn, True, _holds(), absent),
    ]


def default_detector() -> TurnDetector:
    """Return what a session has by default on this machine."""
    return CombinedTurn() if _absent() else SteadyTurn()


def _absent() -> str:
    try:
        model()
    except MissingError as error:
        return error.reason
    return ""


def _holds() -> list[TurnSettings]:
    """Return settings for how long a reply is held back."""
    return [*(TurnSettings(hold_ms=ms) for ms in (200, 300, 500, 600, 800)), TurnSettings()]


def _combinations(*, sound: bool) -> list[TurnSettings]:
    """Return settings for what is complete, unfinished, and neither; with a model also how sure it must be."""
    made = [
        TurnSettings(
            silence_ms=usual,
            min_silence_ms=min(usual, 250),
            max_silence_ms=max(usual, 1200),
            complete_ms=complete,
            unfinished_ms=unfinished,
            complete_probability=sure,
            unfinished_probability=1 - sure,
            adapt=False,
        )
        for usual, complete, unfinished, sure in product(
            (200, 350, 500, 700, 1000, 1600),
            (150, 200, 300, 450),
            (1600, 2500, 4000),
            (0.7, 0.95) if sound else (0.7,),
        )
        if complete <= usual <= unfinished
    ]
    return [*made, TurnSettings()]
