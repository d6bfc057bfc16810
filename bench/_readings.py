"""What is held against the engine and other frameworks: readings of 44 s, and sentences with a pause inside."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from bench._prompts import Phrase, prompts, voiced_spans
from bench._user_turns import hesitating, sentences, speak
from workbench.model.audio import INPUT_RATE
from workbench.model.errors import MissingError
from workbench.simulation.synthesis import Score
from workbench.transports.file.wavfile import read_wav

READING_S, PAUSES_S = 44.0, (0.4, 1.0)
BOOK = Path("/usr/share/pocketsphinx/test/data/librivox")
AFTER_S = 7.0
"""Silence after what is to be answered, s."""
NOISE_DB = -66.0


def readings() -> list[tuple[Score, list[tuple[int, int]]]]:
    """Return the sound of each reading and its one turn: two of prompts, one of a novel. MissingError without them."""
    texts = [
        _phrases("demo-instruct"),
        _phrases("demo-congrats", "demo-echotest", "demo-abouttotry"),
        _novel(),
    ]
    return [_read(phrases, seed) for seed, phrases in enumerate(texts)]


def _phrases(*names: str) -> list[Phrase]:
    return [phrase for name in names for phrase in prompts("en")[name].phrases]


def _novel() -> list[Phrase]:
    """Five sentences of Sense and Sensibility by a reader of LibriVox."""
    if packages := lacking_novel():
        raise MissingError(
            "the recordings of a novel are not installed",
            f"apt-get install --no-install-recommends {' '.join(packages)}",
        )
    phrases = []
    for line in (BOOK / "transcription").read_text().splitlines():
        text, _, name = line.removeprefix("<s> ").partition(" </s> ")
        samples = np.concatenate(list(read_wav(BOOK / f"{name.strip('()')}.wav", INPUT_RATE)))
        spans = voiced_spans(samples)
        phrases.append(Phrase(text.capitalize() + ".", samples[spans[0][0] : spans[-1][1]]))
    return phrases


def lacking_novel() -> list[str]:
    """Return Debian's package of a novel's recordings, where this machine lacks it."""
    return [] if BOOK.is_dir() else ["pocketsphinx-testdata"]


def _read(phrases: Iterable[Phrase], seed: int) -> tuple[Score, list[tuple[int, int]]]:
    """Read the phrases, again and again, with pauses between, for 44 s."""
    chance = np.random.default_rng(seed)
    score = Score(seed=seed, noise_db=NOISE_DB).silence(1.0)
    for phrase in cycle(phrases):
        speak(score, phrase)
        if score.seconds > READING_S:
            break
        score.silence(chance.uniform(*PAUSES_S))
    turn = (score.spoken[0].start, score.spoken[-1].end)
    return score.silence(AFTER_S), [turn]


def paused_sentences(count: int = 20) -> tuple[Score, list[tuple[int, int]]]:
    """Return so many sentences, each a turn with one pause of 0.4 to 1 s inside, and where each begins and ends."""
    chance = np.random.default_rng(7)
    score, turns = Score(seed=7, noise_db=NOISE_DB).silence(1.0), []
    whole = [
        prompt
        for prompt in sentences("en")
        if len(prompt.text.split()) >= 6 and not re.search(r"[.!?]", prompt.text[:-1])
    ]
    for index in islice(chance.permutation(len(whole)), count):
        phrases = whole[index].phrases
        if len(phrases) == 1:
            phrases = hesitating(phrases, chance)
        first = len(score.spoken)
        for number, phrase in enumerate(phrases):
            if number:
                score.silence(chance.uniform(*PAUSES_S) if number == len(phrases) - 1 else 0.15)
            speak(score, phrase)
        turns.append((score.spoken[first].start, score.spoken[-1].end))
        score.silence(AFTER_S)
    return score, turns
