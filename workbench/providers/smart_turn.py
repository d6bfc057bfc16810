"""`smart-turn/v3.2`: end-of-turn detection by the sound, by an open model on onnxruntime in a worker process."""

from __future__ import annotations

import asyncio
from typing import Self

from workbench.engine.endpointing import CombinedTurn
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE
from workbench.model.errors import MissingError
from workbench.plugin.values import ProviderOptions
from workbench.providers.worker import OnboardProvider, give_way
from workbench.weights.store import path

WEIGHTS = "smart-turn/v3.2"
STT_S = 0.25
"""The longest that an STT on board goes first, s: it takes 110 ms on two quiet cores, twice that beside this model."""
SECONDS = 8
"""Of sound that the model looks at."""


class SmartTurn(OnboardProvider, CombinedTurn):
    """The model and this user's pauses; with `by_words`, words as well. Where the weights are missing it says so, and
    does without the model."""

    languages = tuple("ar bn da de en es fi fr hi id it ja ko mr nl no pl pt ru tr uk vi zh".split())  # noqa: SIM905

    def __init__(self, options: ProviderOptions, *, by_words: bool) -> None:
        OnboardProvider.__init__(
            self,
            WEIGHTS,
            "workbench.providers.onboard.smart_turn:open_model",
            lambda: {"weights": str(path(WEIGHTS, models_path=options.models_path))},
            packages=("onnxruntime",),
            stage="turn",
        )
        CombinedTurn.__init__(self, by_words=by_words)
        self._instead = "words and silence" if by_words else "silence"
        self._notice = options.notice
        self._one_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Lease the worker; where something is missing, only say so."""
        try:
            await super().__aenter__()
            self.assesses = True
        except MissingError as error:
            self._notice(f"{error.reason}: turns end by {self._instead} alone", error.hint)
        return self

    async def warm(self) -> None:
        """Load the model and use it once. Raises StageError."""
        if self.assesses:
            await super().warm()

    async def assess(self, utterance: Utterance) -> float | None:
        """Return the probability (0…1) that the turn is over; None where the user went on before the model was free."""
        speech_end = utterance.speech_end
        async with self._one_at_a_time:
            await give_way(STT_S)
            if utterance.over or utterance.speech_end != speech_end:
                return None
            samples = utterance.audio(utterance.end - SECONDS * INPUT_RATE)
            async with self.worker.job("assess", payload=samples.tobytes()) as results:
                async for header, _ in results:
                    return float(header["probability"])
        return None


def make_smart_turn(options: ProviderOptions) -> SmartTurn:
    """Return the model and silence."""
    return SmartTurn(options, by_words=False)


def make_combined(options: ProviderOptions) -> SmartTurn:
    """Return the model, words and silence."""
    return SmartTurn(options, by_words=True)
