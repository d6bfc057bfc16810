"""Sentences in the voice on board, trimmed to the sample: the truth about onset and end is in how they were cut."""

from __future__ import annotations

import numpy as np
import soxr

from bench._figures import settings
from workbench.model.audio import INPUT_RATE, Samples, first_audible, last_audible
from workbench.plugin.manager import find_provider
from workbench.providers.piper import Piper

QUESTIONS = (
    "What is the capital of France?",
    "How far away is the moon?",
    "Can you tell me a short story?",
    "Is it going to rain today?",
    "Where do penguins live?",
    "Why is the sky blue?",
    "Do you know a good recipe?",
    "Please help me with my letter.",
)
"""Eight beginnings that a detector finds sooner and later: a vowel, a plosive, a fricative, an h."""
INTERRUPTIONS = (
    "No, wait a moment.",
    "Actually, something else.",
    "Hold on, please.",
    "Stop there.",
    "But what about Berlin?",
    "Excuse me, one question.",
    "That's enough, thank you.",
    "Sorry, go back.",
)


async def spoken(texts: tuple[str, ...], *levels_db: float) -> list[Samples]:
    """Each text at 16 kHz from its first audible sample to its last, at each level (RMS dBFS; −26 unless given).

    MissingError without the weights of Piper.
    """
    provider, model = find_provider("tts", "piper")
    tts: Piper = provider.make(settings().options("tts", model, "en"))
    async with tts:
        sounds = [await _sound(tts, text) for text in texts]
    return [_cut(sound, db) for db in levels_db or (-26.0,) for sound in sounds]


async def _sound(tts: Piper, text: str) -> Samples:
    async with tts.speak(text) as pieces:
        made = np.concatenate([piece.samples async for piece in pieces])
    return np.asarray(soxr.resample(made, tts.rate, INPUT_RATE), dtype=np.int16)


def _cut(sound: Samples, db: float) -> Samples:
    wave = sound.astype(np.float32)
    wave *= 32768 * 10 ** (db / 20) / np.sqrt(np.mean(np.square(wave)))
    leveled = np.clip(wave, -32768, 32767).astype(np.int16)
    return leveled[first_audible(leveled, INPUT_RATE) : last_audible(leveled, INPUT_RATE)]
