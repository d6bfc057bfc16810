"""`piper/…`: a voice on board, by piper-tts in a worker process.

piper-tts is GPL-3. It is installed by the extra `[local]` only and imported in the worker only, never in a session's
process. The voice `en_US-joe-medium` was fine-tuned from one whose corpus may restrict commercial synthesis.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import numpy as np

from workbench.engine.interfaces import Speech, Tts
from workbench.plugin.values import ProviderOptions
from workbench.providers.worker import JobResults, OnboardProvider
from workbench.weights.store import path


class Piper(OnboardProvider, Tts):
    """Text to speech, sentence by sentence. The voices give no word times."""

    def __init__(self, options: ProviderOptions) -> None:
        """Raises MissingError where the voice is not on this machine."""
        name, models_path = f"piper/{options.model}", options.models_path
        settings = path(name, f"{options.model}.onnx.json", models_path=models_path)
        self.rate: int = json.loads(settings.read_text(encoding="utf-8"))["audio"]["sample_rate"]
        super().__init__(
            name,
            "workbench.providers.onboard.piper:open_model",
            lambda: {"weights": str(path(name, models_path=models_path)), "settings": str(settings)},
            packages=("piper", "onnxruntime"),
            stage="tts",
        )

    @asynccontextmanager
    async def speak(self, text: str) -> AsyncIterator[AsyncIterator[Speech]]:
        """See `Tts`. A text without a word gives no sound."""
        async with self.worker.job("speak", {"text": text}) as results, aclosing(_speech(results)) as speech:
            yield speech


async def _speech(results: JobResults) -> AsyncGenerator[Speech]:
    async for _, payload in results:
        yield Speech(np.frombuffer(payload, dtype=np.int16), cpu_wait_ms=results.cpu_wait_ms)
