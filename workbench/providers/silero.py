"""`silero/v6`: voice activity detection by Silero's model on onnxruntime, in the session's own process."""

from __future__ import annotations

import math
from collections import deque
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.model.audio import Samples
from workbench.model.errors import MissingError
from workbench.plugin.values import ProviderOptions
from workbench.weights.store import path

WINDOW = 512
CONTEXT = 64
"""Samples of the window before that the model gets again."""
SCALE = np.float32(1 / 32768)
AUDIBLE_POWER = 10 ** (-50 / 10)
"""Mean square of a window (full scale is 1) from which on the model always runs: −50 dBFS."""
ABOVE_NOISE = 10 ** (6 / 10)
"""Times the power of the quietest windows up to which a window is noise: 6 dB."""
SECOND = 31
"""Windows whose quietest one is remembered, …"""
SECONDS = 6
"""… and so many quietest ones."""
BEFORE = 2
"""Quiet windows that the model gets before the first loud one: without them it is less sure of what follows."""
HANG = 8
"""Windows for which the model still runs after the last loud one: speech ends there, 256 ms."""


@cache
def _session(weights: Path) -> Any:
    """Load the model, once for all sessions of the process: a run changes nothing in it."""
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
    """The probability of speech in each 32 ms; 0 where there is nothing but noise.

    Its arrays are bound to the model once, which saves a tenth a window.
    """

    window = WINDOW

    def __init__(self, options: ProviderOptions) -> None:
        """Raises MissingError without the weights or onnxruntime."""
        session = _session(path(f"silero/{options.model}", models_path=options.models_path))
        self._input = _floats(1, CONTEXT + WINDOW)
        self._context, self._fresh = self._input[0, :CONTEXT], self._input[0, CONTEXT:]
        self._last = self._input[0, WINDOW:]
        self._state, self._next = _floats(2, 1, 1, 128), _floats(2, 1, 1, 128)
        self._probability = _floats(1)
        self._run = session.run_with_iobinding
        self._binding = session.io_binding()
        self._gate = NoiseGate()
        self._before: deque[Samples] = deque(maxlen=BEFORE)
        for name, array in ("input", self._input), ("h", self._state[0]), ("c", self._state[1]):
            self._binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in ("speech_probs", self._probability), ("hn", self._next[0]), ("cn", self._next[1]):
            self._binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def __call__(self, samples: Samples) -> float:
        """Return the probability (0…1) that the window is speech."""
        if self._gate.is_closed(power(samples)):
            self._before.append(samples.copy())
            return 0.0
        while self._before:
            self._infer(self._before.popleft())
        return self._infer(samples)

    def _infer(self, samples: Samples) -> float:
        self._context[:] = self._last
        np.multiply(samples, SCALE, out=self._fresh)
        self._run(self._binding)
        self._state[:] = self._next
        return float(self._probability[0])

    def reset(self) -> None:
        """Forget the windows before."""
        self._input[:] = 0
        self._state[:] = 0
        self._gate = NoiseGate()
        self._before.clear()


class NoiseGate:
    """Closed while there is nothing but the noise of the room, so that the model need not run.

    That saves most of the work of a conversation, and finds speech 10–20 ms sooner: after a long silence the model is
    slow to react.
    """

    def __init__(self) -> None:
        self._count = 0
        self._loud = -HANG
        """Number of the last loud window."""
        self._quietest = math.inf
        self._floors = deque([0.0], maxlen=SECONDS)

    def is_closed(self, mean_square: float) -> bool:
        """Return whether a window of this mean square and those just before it are no louder than the noise."""
        self._count += 1
        self._quietest = min(self._quietest, mean_square)
        if self._count % SECOND == 0:
            self._floors.append(self._quietest)
            self._quietest = math.inf
        if mean_square > min(AUDIBLE_POWER, min(self._quietest, *self._floors) * ABOVE_NOISE):
            self._loud = self._count
        return self._count - self._loud > HANG


def power(samples: Samples) -> float:
    """Return the mean square; full scale is 1."""
    wave = samples.astype(np.float32)
    return float(np.dot(wave, wave)) / (32768.0**2 * WINDOW)


def _floats(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, dtype=np.float32)
