"""`silero/v6`: voice activity detection by Silero's model on onnxruntime, in the session's own process."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from workbench.model.audio import Samples
from workbench.model.errors import MissingError
from workbench.plugin.hookspecs import ProviderOptions
from workbench.weights.store import path

WINDOW = 512
CONTEXT = 64
"""Samples of the window before, which the model is shown again."""
SCALE = np.float32(1 / 32768)


def make_vad(options: ProviderOptions) -> Silero:
    """The VAD for `silero/<version>`. Raises MissingError where its weights or onnxruntime are not there."""
    shelf = Path(options.models_path) if options.models_path else None
    return Silero(_session(path(f"silero/{options.model}", models_path=shelf)))


@cache
def _session(weights: Path) -> Any:
    """The model, one for all sessions of the process: a run changes nothing in it."""
    try:
        import onnxruntime  # 90 ms, 25 MB
    except ImportError as error:
        raise MissingError(
            "the VAD silero needs onnxruntime",
            "pip install 'voice-workbench[local]', or choose the VAD energy",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])


class Silero:
    """The probability of speech in each 32 ms."""

    window = WINDOW

    def __init__(self, session: Any) -> None:
        self._run = session.run
        self._input = np.zeros((1, CONTEXT + WINDOW), dtype=np.float32)
        self._context, self._fresh = self._input[0, :CONTEXT], self._input[0, CONTEXT:]
        self._last = self._input[0, WINDOW:]
        self._feed = {"input": self._input}
        self.reset()

    def __call__(self, samples: Samples) -> float:
        """The probability (0…1) that the window is speech."""
        self._context[:] = self._last
        np.multiply(samples, SCALE, out=self._fresh)
        feed = self._feed
        probability, feed["h"], feed["c"] = self._run(None, feed)
        return float(probability[0])

    def reset(self) -> None:
        """Forget what was heard."""
        self._input[:] = 0
        self._feed["h"] = np.zeros((1, 1, 128), dtype=np.float32)
        self._feed["c"] = np.zeros((1, 1, 128), dtype=np.float32)
