"""The part of a reply's text that was played before it was interrupted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from workbench.model.audio import OUTPUT_RATE
from workbench.model.conversation import Word
from workbench.text.sentences import CLAUSE

VOWELS = re.compile(r"[aeiouyäöüáéíóúàèìòùâêîôû]+", re.IGNORECASE)

SYLLABLE_S = 0.2
"""How long a syllable takes to say, where no chunk shows it, s."""


@dataclass(slots=True)
class ReplyChunk:
    """A chunk of a reply's text, and the samples of the reply (24 kHz) that speak it, from `start` to `end`.

    `voice_start` is its first audible sample; `words` are the provider's word times, where it gives any.
    """

    text: str
    start: int = 0
    end: int | None = None
    """None while it is still being spoken into the buffer."""
    made: int = 0
    """Samples synthesized so far."""
    voice_start: int | None = None
    words: list[Word] = field(default_factory=list)
    spoken_words: int = 0
    """Words of the speakable form of the text, to which `words` belong."""


@dataclass(frozen=True, slots=True)
class PlayedText:
    """The text up to the last word that was played, the rest, and whether the place is a guess."""

    played: str
    unplayed: str
    estimated: bool


def split_played(chunks: list[ReplyChunk], played: int) -> PlayedText:
    """Split a reply's text at `played` samples: by word times, else by syllables over the voiced part of a chunk."""
    before, after, estimated = "", "", False
    for chunk in chunks:
        if after or chunk.start >= played:
            after += chunk.text
        elif chunk.end is not None and played >= chunk.end:
            before += chunk.text
        else:
            head = _by_words(chunk, played) if chunk.words else _by_syllables(chunk, played)
            estimated = not chunk.words
            before, after = before + head, chunk.text[len(head) :]
    return PlayedText(before.strip(), after.strip(), estimated)


def split_made(chunk: ReplyChunk, before: Sequence[ReplyChunk]) -> tuple[str, str, str]:
    """Split the text of a chunk whose voice broke off: what was said, what is lost, and the rest.

    By word times, else by the pace of the chunks `before`; then the rest begins with a clause, as a guess that is wrong
    by a word would be heard.
    """
    if chunk.words:
        said = _by_words(chunk, chunk.start + chunk.made)
        return said, "", chunk.text[len(said) :]
    spoken = [other for other in before if other.made]
    syllables = sum(map(_syllables, (other.text for other in spoken)))
    pace = sum(other.made for other in spoken) / syllables if syllables else SYLLABLE_S * OUTPUT_RATE
    start = chunk.voice_start if chunk.voice_start is not None else chunk.start
    end = max(chunk.start + chunk.made, start + round(pace * _syllables(chunk.text)))
    said = _by_syllables(replace(chunk, end=end), chunk.start + chunk.made)
    unsaid = chunk.text[len(said) :]
    clause = CLAUSE.search(unsaid)
    cut = clause.end() if clause else len(unsaid)
    return said, unsaid[:cut].strip(), unsaid[cut:]


def _syllables(text: str) -> int:
    return sum(max(1, len(VOWELS.findall(word))) for word in text.split())


def _by_words(chunk: ReplyChunk, played: int) -> str:
    at_ms = (played - chunk.start) * 1000 / OUTPUT_RATE
    count = sum(word.end_ms <= at_ms for word in chunk.words)
    written = len(chunk.text.split())
    if chunk.spoken_words and chunk.spoken_words != written:
        count = count * written // chunk.spoken_words
    return _first_words(chunk.text, count)


def _by_syllables(chunk: ReplyChunk, played: int) -> str:
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
