"""What listening knows of a language: backchannels, fillers, words that leave a sentence open (`turn_words.toml`)."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path

ENGLISH = "en"
UNSPACED = r"\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af\u3007"
"""Scripts whose words are not, or not reliably, parted by spaces: kana, Han, Hangul."""
LONGEST = 400
"""Characters of a text that are looked at: the questions are put at every frame."""


def tag(language: str) -> str:
    """Return the first part of a language tag: `pt-BR` → pt."""
    return re.split(r"[-_]", language.strip().lower(), maxsplit=1)[0]


@cache
def _tables() -> dict[str, dict[str, str]]:
    tables: dict[str, dict[str, str]] = tomllib.loads(
        Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    )
    return tables


def languages() -> tuple[str, ...]:
    """Return the languages of the table."""
    return tuple(_tables())


@cache
def entries(language: str, kind: str) -> tuple[str, ...]:
    """Return what the table has of a kind for a language, as it is written there; nothing for an unknown one."""
    listed = _tables().get(tag(language), {}).get(kind, "")
    return tuple(filter(None, (" ".join(entry.split()) for entry in listed.split(","))))


def simplify(text: str) -> str:
    """Return a text in lower case, without punctuation, its words parted by one space: `Uh-huh.` → uhhuh."""
    text = unicodedata.normalize("NFKC", text[-LONGEST:]).casefold()
    return " ".join(re.findall(r"[^\W_]+", re.sub(r"['’ʼ\-‐‑〜～]", "", text)))


def backchannels(language: str) -> tuple[str, ...]:
    """Return the backchannels of a language; the English ones for an unknown one."""
    return entries(language, "backchannels") or entries(ENGLISH, "backchannels")


def content_words(text: str, ignored: Iterable[str]) -> int:
    """Count the words of a text without those of `ignored`, which may be phrases. Two signs of a script without spaces
    count as a word."""
    return _content_words(text, tuple(ignored))


@lru_cache(maxsize=256)
def _content_words(text: str, ignored: tuple[str, ...]) -> int:
    rest = _pattern(ignored).sub(" ", _short(simplify(text))) if ignored else simplify(text)
    unspaced = re.findall(f"[{UNSPACED}]+", rest)
    spaced = re.sub(f"[{UNSPACED}]+", " ", rest).split()
    return len(spaced) + sum((len(run.replace("ー", "")) + 1) // 2 for run in unspaced)


@lru_cache(maxsize=32)
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds any of the phrases: as whole words, in a script without spaces anywhere."""
    parts = {part for phrase in phrases if (part := _short(simplify(phrase)))}
    return re.compile(any_of(parts))


def any_of(phrases: Iterable[str]) -> str:
    """Return the regular expression of any of the phrases, the longest first: as whole words, in a script without
    spaces anywhere; one that matches nothing where there are none."""
    longest_first = sorted(phrases, key=len, reverse=True)
    patterns = (
        re.escape(p) if re.match(f"[{UNSPACED}]", p) else rf"\b{re.escape(p)}\b" for p in longest_first
    )
    return "|".join(patterns) or r"(?!)"


def _short(text: str) -> str:
    """Return the text with each sign once where it is repeated: `mmmhm`, `yeahhh`."""
    return re.sub(r"([^\W\d_])\1+", r"\1", text)


def asks(sentence: str, language: str) -> bool:
    """Return whether a sentence of the agent asks for something: by its question mark, or by its words."""
    if re.search(r"[?？؟]\W*$", sentence):
        return True
    return matches(sentence, language, "asks")


def matches(text: str, language: str, kind: str) -> bool:
    """Return whether a text has any of the regular expressions that the table has of a kind."""
    expressions = entries(language, kind)
    return bool(expressions) and bool(_expression(expressions).search(text[-LONGEST:]))


@cache
def _expression(expressions: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(expressions), re.IGNORECASE)
