"""A Piper voice (piper-tts, GPL-3), inside a worker process: the only place that imports it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.model.audio import Samples, first_audible
from workbench.providers.onboard.process import Handler, WorkerJob

THREADS = 2
ATTACK_MS = 10
"""Sound before the first audible sample that belongs to it, ms."""


def open_model(*, weights: str, settings: str) -> Handler:
    """Load a voice: its .onnx and its .onnx.json."""
    from piper import PiperConfig, PiperVoice  # 160 ms, onnxruntime with it

    session = CancellableSession(weights)
    config = PiperConfig.from_dict(json.loads(Path(settings).read_text(encoding="utf-8")))
    voice = PiperVoice(config=config, session=session)

    def handle(job: WorkerJob) -> None:
        session.begin(job)
        try:
            for chunk in voice.synthesize(without_phonemes(job.header.get("text", "Hello."))):
                job.send(
                    {}, _begun(np.frombuffer(chunk.audio_int16_bytes, np.int16), config.sample_rate).tobytes()
                )
        except session.Stopped:
            if not job.cancelled:
                raise

    return handle


def _begun(samples: Samples, rate: int) -> Samples:
    """Return a sentence from just before its first audible sample on: 45 ms of silence as a rule, and up to 400."""
    first = first_audible(samples, rate) or 0
    return samples[max(0, first - ATTACK_MS * rate // 1000) :]


def without_phonemes(text: str) -> str:
    """Return the text without marks that Piper would take for phonemes: `[[ … ]]`."""
    return text.replace("[[", "[").replace("]]", "]")


class CancellableSession:
    """The model as piper-tts runs it; a run stops in the middle of a sentence when the job is cancelled."""

    def __init__(self, weights: str) -> None:
        import onnxruntime as ort
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail

        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        self._options = ort.RunOptions
        self._run = ort.RunOptions()
        self.Stopped: type[Exception] = Fail

    def begin(self, job: WorkerJob) -> None:
        """Make the next runs for this job."""
        run = self._run = self._options()

        def stop() -> None:
            run.terminate = True

        job.when_cancelled(stop)

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, Any]) -> Any:
        """Run the model like an InferenceSession. Raises `Stopped` when the job is cancelled."""
        return self._session.run(outputs, inputs, self._run)
