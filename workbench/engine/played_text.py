"""The part of a reply's text that was played before it was interrupted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from workbench.model.audio import OUTPUT_RATE
from workbench.model.conversation import Word
from workbench.text.graphemes import SPACELESS, units
from workbench.text.sentences import CLAUSE

VOWELS = re.compile(
    r"[aeiouyäöüáéíóúàèìòùâêîôûãõåæøœаеёиоуыэюяіїєαεηιουωάέήίόύώ]+|\d|[\uac00-\ud7af]", re.IGNORECASE
)
"""What is a syllable: a group of vowels, a digit, a sign of Korean."""
SMALL = re.compile("[ゃゅょぁぃぅぇぉャュョァィゥェォー]")
"""Signs of Japanese that belong to the syllable before."""
UNSPACED = re.compile(f"[{SPACELESS}]")

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
        opening = _by_words(chunk, chunk.start + chunk.made)
        return opening, "", chunk.text[len(opening) :]
    spoken = [other for other in before if other.made]
    syllables = sum(sum(_sizes(other.text)) for other in spoken)
    pace = sum(other.made for other in spoken) / syllables if syllables else SYLLABLE_S * OUTPUT_RATE
    start = chunk.voice_start if chunk.voice_start is not None else chunk.start
    end = max(chunk.start + chunk.made, start + round(pace * sum(_sizes(chunk.text))))
    opening = _by_syllables(replace(chunk, end=end), chunk.start + chunk.made)
    unsaid = chunk.text[len(opening) :].lstrip()
    opening = chunk.text[: len(chunk.text) - len(unsaid)]
    clause = CLAUSE.search(unsaid)
    cut = clause.end() if clause else len(unsaid)
    return opening, unsaid[:cut].strip(), unsaid[cut:]


def _by_words(chunk: ReplyChunk, played: int) -> str:
    at_ms = (played - chunk.start) * 1000 / OUTPUT_RATE
    heard = [word for word in chunk.words if word.end_ms <= at_ms]
    if UNSPACED.search(chunk.text):  # words are what the provider calls so: their letters count
        return _first_letters(chunk.text, sum(_letters(word.text) for word in heard))
    written, count = len(chunk.text.split()), len(heard)
    if chunk.spoken_words and chunk.spoken_words != written:
        count = count * written // chunk.spoken_words
    ends = [match.end() for match in re.finditer(r"\S+", chunk.text)]
    return chunk.text[: ends[min(count, len(ends)) - 1]] if count and ends else ""


def _by_syllables(chunk: ReplyChunk, played: int) -> str:
    start = chunk.voice_start if chunk.voice_start is not None else chunk.start
    end = chunk.end if chunk.end is not None else chunk.start + chunk.made
    share = (played - start) / (end - start) if end > start else 0.0
    sizes = _sizes(chunk.text)
    return _first_units(chunk.text, units(chunk.text), sizes, share * sum(sizes))


def _sizes(text: str) -> list[float]:
    """Return the syllables of each unit of a text."""
    return [_syllables(text[start:end]) for start, end in units(text)]


def _syllables(unit: str) -> float:
    """Return how long a word takes to say, or a sign of a script without spaces."""
    if UNSPACED.match(unit):
        return 0.5 if "\u0e00" <= unit[0] <= "\u0eff" else 0.0 if SMALL.match(unit) else 1.0
    return max(1, len(VOWELS.findall(unit))) if any(map(str.isalnum, unit)) else 0.0


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))


def _first_letters(text: str, count: int) -> str:
    spans = units(text)
    return _first_units(text, spans, [_letters(text[first:last]) for first, last in spans], count)


def _first_units(text: str, spans: list[tuple[int, int]], sizes: Iterable[float], budget: float) -> str:
    """Return the text up to the last unit that the budget pays for."""
    end = spent = 0.0
    for (_, last), size in zip(spans, sizes, strict=True):
        spent += size
        if budget <= 0 or spent > budget + 1e-9:
            break
        end = last
    return text[: int(end)]
