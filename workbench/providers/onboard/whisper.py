"""Whisper by CTranslate2, inside a worker process.

A whole window of 30 s costs 260 ms to encode however short the utterance is; half of it costs 75 ms and gives the same
text up to 10 s. Shorter windows make the model repeat itself or invent an ending.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.providers.onboard.mel import features
from workbench.providers.onboard.process import Handler, Job

PROMPT = ["<|startoftranscript|>", "<|notimestamps|>"]
SHORT_S = 10.0
"""Up to here half a window is enough."""
SHORT_FRAMES, LONG_FRAMES = 1500, 3000
WORDS_PER_S = 12
"""Tokens that nobody speaks more of in a second: what repeats itself is stopped early."""
THREADS = 1
"""A second one burns a core and gains a tenth of the time."""
DOUBTFUL = 0.2
"""Confidence below which the text is made up: silence, noise, coughs, hums and tones give up to 0.15, a clear "mm-hmm"
0.27, a sentence as loud as the noise 0.41."""
TAGS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\*[^*]*\*|[♪♫]+")


@dataclass(frozen=True)
class Heard:
    """The words in a stretch of sound, and how sure the model is of them, 0…1."""

    text: str
    confidence: float


def open_model(*, folder: str) -> Handler:
    """Load the model of a folder: model.bin, config.json, vocabulary.txt, tokenizer.json."""
    import ctranslate2  # 60 ms
    import tokenizers

    whisper = ctranslate2.models.Whisper(
        folder, device="cpu", compute_type="int8", intra_threads=THREADS, inter_threads=1
    )
    tokenizer = tokenizers.Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))

    def handle(job: Job) -> None:
        samples = silence(INPUT_RATE) if job.kind == "warm" else np.frombuffer(job.payload, dtype=np.int16)
        heard = _hear(whisper, tokenizer, samples, job)
        if heard:
            job.send({"text": heard.text, "confidence": heard.confidence})

    return handle


def _hear(whisper: Any, tokenizer: Any, samples: Samples, job: Job) -> Heard | None:
    """Transcribe up to 30 s; None if nobody waits any more."""
    import ctranslate2

    seconds = len(samples) / INPUT_RATE
    frames = SHORT_FRAMES if seconds <= SHORT_S else LONG_FRAMES
    encoded = whisper.encode(ctranslate2.StorageView.from_array(features(samples, frames)[None]))
    if job.cancelled:
        return None
    result = whisper.generate(
        encoded,
        [PROMPT],
        beam_size=1,
        max_length=min(440, len(PROMPT) + 8 + int(WORDS_PER_S * seconds)),
        return_scores=True,
        return_no_speech_prob=True,
    )[0]
    text = tokenizer.decode(result.sequences_ids[0])
    return judge(text, result.scores[0], result.no_speech_prob)


def judge(text: str, score: float, no_speech: float) -> Heard:
    """The words without tags such as "(coughs)", or none where the model has made them up.

    `score` is the mean log-probability of a token, `no_speech` the probability that nobody spoke.
    """
    confidence = math.exp(min(0.0, score)) * (1.0 - no_speech)
    words = " ".join(TAGS.sub(" ", text).split())
    if confidence < DOUBTFUL or not any(sign.isalnum() for sign in words):
        words = ""
    return Heard(words, round(confidence, 3))
