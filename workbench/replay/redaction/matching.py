"""Where the words to be removed are in a text, however it is written.

A text is looked at in units: a character, or an escape that stands for one (`\\u00e9` in JSON within JSON). Words are
compared without regard to case, accents, width and what takes no room; white space and punctuation between the words
of a phrase, and between digits, do not count. What matches is removed with the whole word that it is part of.
"""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from workbench.model.errors import UsageError
from workbench.model.text import plain

MARK = "***"
"""What stands in the place of what was removed: nothing that could be a word itself."""
BETWEEN = r"[\W_]*"
WHOLE_WORDS = 3
"""A phrase of a removed turn with fewer words is removed where it is all of a text: "yes" is said by many."""

_ESCAPE = re.compile(
    r"\\+(?:u(d[89ab][0-9a-f]{2})\\+u(d[c-f][0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|x([0-9a-f]{2})|([nrtbf])|([\"'/]))",
    re.IGNORECASE,
)
_UNSEEN = ("Mn", "Me", "Cf")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
"""Thai, Lao, Burmese, Khmer."""
_TOKEN = re.compile(r"\d|[^\W\d_]+")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Units:
    """A text as characters, and where each begins in what was written; `starts` has the end, too."""

    text: str
    starts: Sequence[int]

    def span(self, start: int, stop: int) -> Span:
        """Return where these characters are written; one may stand for several of them."""
        return self.starts[start], max(self.starts[stop], self.starts[stop - 1] + 1 if stop else 0)


def _units(text: str) -> _Units:
    """Return the text with escapes resolved."""
    if "\\" not in text:
        return _Units(text, range(len(text) + 1))
    characters, starts, at = list[str](), list[int](), 0
    for match in _ESCAPE.finditer(text):
        characters += text[at : match.start()]
        starts += range(at, match.start())
        characters.append(_escaped(match))
        starts.append(match.start())
        at = match.end()
    characters += text[at:]
    starts += range(at, len(text) + 1)
    return _Units("".join(characters), starts)


def _escaped(match: re.Match[str]) -> str:
    high, low, short, long, byte, space, sign = match.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    if space:
        return " "
    code = int(short or long or byte or "0", 16)
    return sign or (chr(code) if code < 0x110000 else "\ufffd")


def _folded(units: _Units) -> _Units:
    """Return what is compared: no case, no accents, nothing that takes no room; positions are those of `units`."""
    if units.text.isascii():
        return _Units(units.text.lower(), range(len(units.text) + 1))
    characters, starts = list[str](), list[int]()
    for at, character in enumerate(units.text):
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).upper().casefold())
        seen = [part for part in folded if unicodedata.category(part) not in _UNSEEN]
        characters += seen
        starts += [at] * len(seen)
    return _Units("".join(characters), [*starts, len(units.text)])


def _phrase(text: str) -> str:
    """Return the expression of a phrase on folded text. Raises UsageError for one without a character."""
    folded = _folded(_units(text)).text.strip()
    if not folded:
        raise UsageError(
            "there is nothing to be removed in an empty word", "write the words with commas between"
        )
    tokens = _TOKEN.findall(folded)
    return BETWEEN.join(map(re.escape, tokens)) if tokens else re.escape(folded)


class Matcher:
    """Finds words, expressions of the user's, and phrases that were said in what is removed."""

    def __init__(self, words: Sequence[str] = (), patterns: Sequence[str] = ()) -> None:
        """Raises UsageError for an empty word, and for an expression that is none or fits everywhere."""
        self._words = re.compile("|".join(map(_phrase, words))) if words else None
        self._patterns = [_compiled(pattern) for pattern in patterns]
        self._phrases: re.Pattern[str] | None = None
        self._wholes: re.Pattern[str] | None = None

    def add_phrases(self, phrases: set[str]) -> None:
        """Remove these texts too, wherever they stand; short ones only where there is nothing else."""
        expressions = [
            (len(_TOKEN.findall(text)) >= WHOLE_WORDS, _phrase(text)) for text in phrases if text.strip()
        ]
        long, short = ([text for is_long, text in expressions if is_long is which] for which in (True, False))
        self._phrases = re.compile("|".join(sorted(long, key=len, reverse=True))) if long else None
        self._wholes = re.compile(f"{BETWEEN}(?:{'|'.join(short)}){BETWEEN}") if short else None

    def find(self, text: str) -> list[Span]:
        """Return where something is to be removed, in order, without overlaps."""
        units = _units(text)
        folded = _folded(units)
        spans = [
            _whole_words(units, *folded.span(*match.span()))
            for expression in (self._words, self._phrases)
            if expression is not None
            for match in expression.finditer(folded.text)
        ]
        spans += [match.span() for expression in self._patterns for match in expression.finditer(units.text)]
        if self._wholes is not None and self._wholes.fullmatch(folded.text):
            spans.append((0, len(units.text)))
        return _merged([units.span(*span) for span in spans if span[0] < span[1]])

    def text(self, text: str) -> str:
        """Return the text with the mark where something was removed; JSON stays JSON as far as it can."""
        if text[:1] in ("{", "["):
            text = self._json(text)
        return "".join(self.pieces([text]))

    def pieces(self, pieces: Sequence[str]) -> list[str]:
        """Return the pieces of one text without what is to be removed, which may lie across several."""
        joined = "".join(pieces)
        starts = [0, *accumulate(map(len, pieces))]
        kept = [list[str]() for _ in pieces]

        def put(start: int, stop: int) -> None:
            for piece in range(bisect_right(starts, start) - 1, len(pieces)):
                if starts[piece] >= stop:
                    break
                kept[piece].append(joined[max(start, starts[piece]) : min(stop, starts[piece + 1])])

        at = 0
        for start, stop in self.find(joined):
            put(at, start)
            kept[bisect_right(starts, start) - 1].append(MARK)
            at = stop
        put(at, len(joined))
        return ["".join(parts) for parts in kept]

    def value(self, value: Any) -> Any:
        """Return a JSON value with every text and key in it looked at; numbers of ours are no words."""
        return walk(value, self.text, numbers=False)

    def fields(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of fields whose names are known."""
        return {name: self.value(value) for name, value in values.items()}

    def _json(self, text: str) -> str:
        try:
            content = json.loads(text)
            clean = walk(content, self.text, numbers=True)
            return text if clean == content else json.dumps(clean, ensure_ascii=False)
        except (ValueError, RecursionError):
            return text


def walk(value: Any, change: Callable[[str], str], *, numbers: bool) -> Any:
    """Return a JSON value with each text and key in it changed, and each of the `numbers`, which then is text."""
    match value:
        case str():
            return change(value)
        case dict():
            return {change(str(key)): walk(item, change, numbers=numbers) for key, item in value.items()}
        case list() | tuple():
            return [walk(item, change, numbers=numbers) for item in value]
        case int() | float() if numbers and type(value) is not bool:
            written = json.dumps(value)
            return value if change(written) == written else change(written)
        case _:
            return value


def erased(value: Any) -> Any:
    """Return a JSON value without anything that was said in it."""
    return MARK if value not in (None, "", [], {}) else value


def _compiled(pattern: str) -> re.Pattern[str]:
    shown = plain(repr(pattern), 80, one_line=True)
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise UsageError(
            f"--pattern {shown} is no regular expression: {error}", r"write it like '\d{3}-\d{4}'"
        ) from error
    if compiled.fullmatch(""):
        raise UsageError(
            f"--pattern {shown} fits nothing at all, everywhere", "leave out what makes all of it optional"
        )
    return compiled


def _whole_words(units: _Units, start: int, stop: int) -> Span:
    """Return the span with the rest of the words that it begins and ends in."""
    text = units.text
    while start and _in_word(text[start - 1]) and _in_word(text[start]):
        start -= 1
    while stop < len(text) and _in_word(text[stop]) and _in_word(text[stop - 1]):
        stop += 1
    return start, stop


def _in_word(character: str) -> bool:
    """Decide whether a character belongs to its neighbours, as in scripts with spaces between words."""
    if character.isascii():
        return character.isalnum()
    spaced = unicodedata.east_asian_width(character) not in "WF" and not _UNSPACED.match(character)
    return spaced and (character.isalnum() or unicodedata.category(character) in _UNSEEN)


def _merged(spans: list[Span]) -> list[Span]:
    merged = list[Span]()
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged
