"""`piper/…`: a voice on board, by piper-tts in a worker process.

piper-tts is GPL-3. It is installed by the extra `[local]` only and imported in the worker only, never in a session's
process. The voice `en_US-joe-medium` was fine-tuned from one whose corpus may restrict commercial synthesis.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from workbench.engine.stages import Speech
from workbench.plugin.hookspecs import ProviderOptions
from workbench.providers.onboard.piper import settings
from workbench.providers.worker import OnBoard, Results, Spec


def make_tts(options: ProviderOptions) -> Piper:
    """The TTS for `piper/<voice>`. Raises MissingError where the voice is not on this machine."""
    return Piper(options.model, options.models_path)


class Piper(OnBoard):
    """Text to speech, sentence by sentence. The voices give no word times; the silence before a sentence is left in."""

    def __init__(self, voice: str, models_path: str | None = None) -> None:
        name = f"piper/{voice}"
        options = {"model": name, "models_path": models_path}
        super().__init__(Spec(name, "workbench.providers.onboard.piper:open_model", options))
        self.rate: int = settings(name, models_path)["audio"]["sample_rate"]

    @asynccontextmanager
    async def speak(self, text: str) -> AsyncIterator[AsyncIterator[Speech]]:
        """See `Tts`. A text without a word gives no sound."""
        async with self.worker.job("speak", {"text": text}) as results:
            yield _speech(results)


async def _speech(results: Results) -> AsyncIterator[Speech]:
    async for _, payload in results:
        yield Speech(np.frombuffer(payload, dtype=np.int16))
