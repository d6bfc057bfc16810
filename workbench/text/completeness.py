"""Whether what was said is complete, by its words: open endings, fillers, numbers and letters being dictated."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, lru_cache

from workbench.text.turn_words import (
    LONGEST,
    UNSPACED,
    any_of,
    content_words,
    entries,
    matches,
    simplify,
    tag,
)

LONG_NUMBER = 7
"""Digits with which a dictated number may be whole: the shortest telephone numbers."""
ANNOUNCED = 25
"""Characters before a number among which "my number is" must be."""
SHORT_NUMBER = 4
"""Digits with which a code may be whole."""
TRAILING = re.compile(r"(,|，|、|،|:|：|;|-|–|—|\.\.\.|…)[\"'”’»)]*$")
CLOSED = re.compile(r"[.!。！।][\"'”’»)」]*$")
ASKED = re.compile(r"[?？؟][\"'”’»)」]*$")
NO_DICTATION = re.compile(r"(\d{1,2}[:.h]\d{2}|\d+[.,]\d{1,2}|\d{1,2}/\d{1,2}(/\d{2,4})?|[12]\d{3})\W*$")
"""A time, a price, a date, a year."""
ADDRESS = re.compile(r"[\w.+-]+ ?@ ?[\w-]+\.[a-z]{2,}\W*$", re.IGNORECASE)


class Completeness(IntEnum):
    """How complete a text is, by its words."""

    UNFINISHED = -2
    """More is to come: an open ending, a filler, a number being dictated."""
    DOUBTFUL = -1
    UNKNOWN = 0
    LIKELY = 1
    """The STT has put a full stop, or a number is as long as telephone numbers are."""
    COMPLETE = 2
    """A question, or an answer that needs no more."""


@dataclass(frozen=True, slots=True)
class Dictation:
    """The digits and letters at the end of a text."""

    digits: int = 0
    groups: int = 0
    single: int = 0
    """Groups that are a single digit, as a word."""
    letters: int = 0
    joint: bool = False
    """The last word is a "dot" or an "at"."""
    before: str = ""
    """The words before them."""


@lru_cache(maxsize=256)
def completeness(text: str, question: str = "", language: str = "en") -> Completeness:
    """Return how complete a text is, as an answer to `question` where the agent has just asked one. Nothing is known in
    a language without a table."""
    text = unicodedata.normalize("NFKC", text[-LONGEST:]).strip()
    if not entries(language, "open") or not any(map(str.isalnum, text)):
        return Completeness.UNKNOWN
    dictated = dictation(text, question, language)
    if dictated is not None:
        return dictated
    if TRAILING.search(text):
        return Completeness.UNFINISHED
    if content_words(text, entries(language, "whole")) == 0 or ASKED.search(text):
        return Completeness.COMPLETE
    if _ends_with(text, language, "closed"):
        return Completeness.LIKELY if CLOSED.search(text) else Completeness.UNKNOWN
    if any(_ends_with(text, language, kind) for kind in ("fillers", "stalls", "open")):
        return Completeness.UNFINISHED
    if CLOSED.search(text):
        return Completeness.LIKELY
    return Completeness.DOUBTFUL if re.search(r"[.,?!]\s|[。，？！、]", text) else Completeness.UNKNOWN


def dictation(text: str, question: str, language: str) -> Completeness | None:
    """Return what the number or the letters at the end of a text say of it; None where nothing is being dictated."""
    number = _dictated(text.casefold(), tag(language))
    asked = matches(question, language, "dictated") or matches(question, language, "codes")
    near = number.before[-ANNOUNCED:] if number.digits > 2 or number.groups > 1 or number.letters else ""
    announced = asked or matches(near, language, "dictated") or matches(near, language, "codes")
    if ADDRESS.search(text):
        return Completeness.LIKELY
    spelling = matches(number.before, language, "dictated") and not CLOSED.search(text)
    joined = number.joint and (asked or spelling or number.digits or number.letters)
    if joined or number.letters > 1 or (number.letters and announced):
        return Completeness.UNFINISHED
    if not number.digits or (number.groups == 1 and not asked and NO_DICTATION.search(text)):
        return None
    several = (
        number.groups >= 4
        or (number.groups == 3 and number.single != 1)
        or (number.groups == 2 and number.digits >= 5)
    )
    by_digit = number.single == number.groups > 1 or (
        number.single == 0 and number.groups == 1 and number.digits > 2
    )
    if not (announced or several or (by_digit and not number.before)):
        return None
    short = matches(question or text, language, "codes")
    if not short and str(number.digits) in entries(language, "lengths"):
        return Completeness.LIKELY
    enough = number.digits >= (SHORT_NUMBER if short else LONG_NUMBER)
    return Completeness.DOUBTFUL if enough else Completeness.UNFINISHED


@lru_cache(maxsize=64)
def _dictated(text: str, language: str) -> Dictation:
    """Read digits, number words, letters and what joins them from the end of a text."""
    token, joint = _tokens(language)
    digits = groups = single = letters = 0
    ones = {word.casefold() for word in entries(language, "digits")}
    last_is_joint = False
    at = len(text.rstrip(" .,;!…。，、"))
    rest = text[:at]
    while match := token.search(rest):
        word = match["word"]
        if word.isdecimal():
            digits, groups = digits + len(word), groups + 1
        elif joint.fullmatch(word):
            last_is_joint = last_is_joint or not (digits or letters)
        elif len(word) == 1 and not re.match(f"[{UNSPACED}]", word):
            letters += 1
        else:
            digits, groups, single = digits + 1 + (word not in ones), groups + 1, single + (word in ones)
        rest = rest[: match.start()].rstrip(" .,;-–/()+、，")
    return Dictation(digits, groups, single, letters, last_is_joint, rest)


@cache
def _tokens(language: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return what finds the last piece of a dictation in a text, and what joins them."""
    joints = "|".join(re.escape(word.casefold()) for word in entries(language, "joints"))
    words = sorted(
        (word.casefold() for word in (*entries(language, "digits"), *entries(language, "tens"))),
        key=len,
        reverse=True,
    )
    spaced = "|".join(re.escape(word) for word in words if not re.match(f"[{UNSPACED}]", word))
    unspaced = "|".join(re.escape(word) for word in words if re.match(f"[{UNSPACED}]", word))
    parts = [r"(?<!\d)\d+", rf"(?<![^\W_])(?:{joints}|[^\W\d_])", r"[@.](?=$)"]
    parts += [rf"(?<![^\W_])(?:{spaced})"] if spaced else []
    parts += [unspaced] if unspaced else []
    return re.compile(f"(?P<word>{'|'.join(parts)})$"), re.compile(f"{joints}|@")


def _ends_with(text: str, language: str, kind: str) -> bool:
    return bool(_ending(tag(language), kind).search(simplify(text)))


@cache
def _ending(language: str, kind: str) -> re.Pattern[str]:
    phrases = {simplify(entry) for entry in entries(language, kind)} - {""}
    return re.compile(f"(?:{any_of(phrases)})$")
