"""Whisper by CTranslate2, inside a worker process.

A whole window of 30 s costs 260 ms to encode however short the utterance is; half of it costs 75 ms and gives the same
text up to 10 s. Shorter windows make the model repeat itself or invent an ending.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.providers.onboard.mel import features
from workbench.providers.onboard.process import Handler, WorkerJob

PROMPT = ["<|startoftranscript|>", "<|notimestamps|>"]
SHORT_S = 10.0
"""Sound for which half a window is enough, s."""
SHORT_FRAMES, LONG_FRAMES = 1500, 3000
TOKENS_PER_S = 12
"""Nobody speaks more in a second: a model that repeats itself is stopped early."""
THREADS = 2
"""A short utterance takes 108 ms instead of 165 on two quiet cores, and no longer than with one where they are busy."""
CONFIDENT = 0.2
"""Confidence below which a text is made up: silence, noise, coughs, hums and tones give up to 0.15, a clear "mm-hmm"
0.27, a sentence as loud as the noise 0.41."""
SURE = 0.5
"""The probability from which the language that was heard is believed; else the conversation's own is taken: noise is
heard as anything."""
TAGS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\*[^*]*\*|[♪♫]+")


def open_model(*, folder: str) -> Handler:
    """Load the model of a folder: model.bin, config.json, vocabulary.txt, tokenizer.json."""
    import ctranslate2  # 60 ms
    import tokenizers

    whisper = ctranslate2.models.Whisper(
        folder, device="cpu", compute_type="int8", intra_threads=THREADS, inter_threads=1
    )
    tokenizer = tokenizers.Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))

    def handle(job: WorkerJob) -> None:
        samples = silence(INPUT_RATE) if job.kind == "warm" else np.frombuffer(job.payload, dtype=np.int16)
        _transcribe(whisper, tokenizer, samples, job)

    return handle


def _transcribe(whisper: Any, tokenizer: Any, samples: Samples, job: WorkerJob) -> None:
    """Transcribe up to 30 s, and send the text and its confidence, 0…1."""
    import ctranslate2

    seconds = len(samples) / INPUT_RATE
    frames = SHORT_FRAMES if seconds <= SHORT_S else LONG_FRAMES
    encoded = whisper.encode(ctranslate2.StorageView.from_array(features(samples, frames)[None]))
    if job.cancelled:
        return
    prompt, language = _prompt(whisper, tokenizer, encoded, job)
    result = whisper.generate(
        encoded,
        [prompt],
        beam_size=1,
        max_length=min(440, len(prompt) + 8 + int(TOKENS_PER_S * seconds)),
        return_scores=True,
        return_no_speech_prob=True,
    )[0]
    text = tokenizer.decode(result.sequences_ids[0])
    text, confidence = clean(text, result.scores[0], result.no_speech_prob)
    job.send({"text": text, "confidence": confidence, "language": language})


def _prompt(whisper: Any, tokenizer: Any, encoded: Any, job: WorkerJob) -> tuple[list[str], str]:
    """Return what the answer begins with, and the language that was heard: empty where that is not sure.

    A model that knows English only takes no language.
    """
    if not whisper.is_multilingual:
        return PROMPT, ""
    language, spoken = str(job.header.get("language", "en")), ""
    if job.header.get("detect"):
        found, probability = whisper.detect_language(encoded)[0][0]
        if probability >= SURE:
            language = spoken = found[2:-2]  # <|de|>
    token = f"<|{language}|>"
    token = token if tokenizer.token_to_id(token) is not None else "<|en|>"
    return [PROMPT[0], token, "<|transcribe|>", PROMPT[1]], spoken


def clean(text: str, score: float, no_speech: float) -> tuple[str, float]:
    """Return the words without tags such as "(coughs)", or none where the model has made them up; and the confidence.

    `score` is the mean log-probability of a token, `no_speech` the probability that nobody spoke.
    """
    confidence = math.exp(min(0.0, score)) * (1.0 - no_speech)
    words = " ".join(TAGS.sub(" ", text).split())
    if confidence < CONFIDENT or not any(map(str.isalnum, words)):
        words = ""
    return words, round(confidence, 3)
