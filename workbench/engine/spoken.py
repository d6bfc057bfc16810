"""Which part of a reply's text was heard when it was cut."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from workbench.model.audio import OUTPUT_RATE
from workbench.model.conversation import Word

VOWELS = re.compile(r"[aeiouyäöüáéíóúàèìòùâêîôû]+", re.IGNORECASE)


@dataclass(slots=True)
class Chunk:
    """A chunk of a reply: its text, and the samples of the reply (24 kHz) that speak it, from `start` to `end`.

    `voice_start` is where sound begins in it; `words` are the provider's word times, where it gives any.
    """

    text: str
    start: int = 0
    end: int | None = None
    """None while it is still being spoken into the buffer."""
    made: int = 0
    """Samples made so far."""
    voice_start: int | None = None
    words: list[Word] = field(default_factory=list)
    spoken_words: int = 0
    """Words of the speakable form of the text, to which `words` belong."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The text up to the last word that was played, the rest, and whether the place is a guess."""

    heard: str
    unheard: str
    estimated: bool


def cut(chunks: list[Chunk], played: int) -> Cut:
    """Split a reply's text at `played` samples: by word times, else by syllables over the voiced part of a chunk."""
    heard, unheard, estimated = "", "", False
    for chunk in chunks:
        if unheard or chunk.start >= played:
            unheard += chunk.text
        elif chunk.end is not None and played >= chunk.end:
            heard += chunk.text
        elif chunk.words:
            head = _by_words(chunk, (played - chunk.start) * 1000 / OUTPUT_RATE)
            heard, unheard = heard + head, chunk.text[len(head) :]
        else:
            head = _by_syllables(chunk, played)
            estimated = True
            heard, unheard = heard + head, chunk.text[len(head) :]
    return Cut(heard.strip(), unheard.strip(), estimated)


def _by_words(chunk: Chunk, at_ms: float) -> str:
    count = sum(word.end_ms <= at_ms for word in chunk.words)
    written = len(chunk.text.split())
    if chunk.spoken_words and chunk.spoken_words != written:
        count = count * written // chunk.spoken_words
    return _first_words(chunk.text, count)


def _by_syllables(chunk: Chunk, played: int) -> str:
    start = chunk.voice_start if chunk.voice_start is not None else chunk.start
    end = chunk.end if chunk.end is not None else chunk.start + chunk.made
    share = (played - start) / (end - start) if end > start else 0.0
    words = chunk.text.split()
    sizes = [max(1, len(VOWELS.findall(word))) for word in words]
    spoken, count = share * sum(sizes), 0
    while count < len(words) and sum(sizes[: count + 1]) <= spoken:
        count += 1
    return _first_words(chunk.text, count)


def _first_words(text: str, count: int) -> str:
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    return text[: ends[min(count, len(ends)) - 1]] if count and ends else ""
