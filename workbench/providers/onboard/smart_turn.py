"""Smart Turn by onnxruntime, inside a worker process: how probable it is that a speaker has finished, by the sound."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.providers.onboard.mel import HOP, Floats, wave_features
from workbench.providers.onboard.process import Handler, WorkerJob

WINDOW = 8 * INPUT_RATE
"""Samples that it looks at."""


def open_model(*, weights: str) -> Handler:
    """Load the model: its .onnx."""
    import onnxruntime  # 90 ms

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])

    def handle(job: WorkerJob) -> None:
        samples = silence(INPUT_RATE) if job.kind == "warm" else np.frombuffer(job.payload, dtype=np.int16)
        job.send({"probability": _probability(session, samples)})

    return handle


def _probability(session: Any, samples: Samples) -> float:
    """Return the probability (0…1) that the speaker of these samples has finished; only the last 8 s count."""
    (output,) = session.run(None, {"input_features": input_features(samples)[None]})
    return round(float(output.ravel()[0]), 4)


def input_features(samples: Samples) -> Floats:
    """Return what the model is given: the log-mel spectrogram of the last 8 s at zero mean and unit variance, shorter
    sound with zeros before it; shape (80, 800)."""
    recent = samples[-WINDOW:].astype(np.float32) / np.float32(32768.0)
    wave = np.concatenate((np.zeros(WINDOW - len(recent), dtype=np.float32), recent))
    wave = (wave - wave.mean()) / np.sqrt(wave.var() + np.float32(1e-7))
    return wave_features(np.asarray(wave, dtype=np.float32), WINDOW // HOP)
