"""Where a text may be cut: never within what is one sign to the eye, nor within a word of an alphabet."""

from __future__ import annotations

import re
import unicodedata

_JOINS_NEXT = "\u200d\u0e40-\u0e44\u0ec0-\u0ec4"
"""Joiners, and vowels of Thai and Lao that are written in front of their consonant."""
_JOINS_LAST = (
    "\u200d\ufe0e\ufe0f\u20e3\u0e30\u0e32\u0e33\u0e45\u0eb3\u1160-\u11ff"
    "\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
)
"""Joiners, selectors, colours of skin, tags, vowels that follow, and inner parts of Korean syllables."""
JOINED = re.compile(rf"[{_JOINS_NEXT}].|.[{_JOINS_LAST}]", re.DOTALL)
FLAG = re.compile("[\U0001f1e6-\U0001f1ff]*\\Z")
SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
"""Signs of scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
UNIT = re.compile(rf"[{SPACELESS}]|[^\s{SPACELESS}]+")


def is_break(text: str, at: int) -> bool:
    """Decide whether the text may be cut at a position: not before a mark, within a flag or a joined emoji."""
    if not 0 < at < len(text):
        return True
    last, following = text[at - 1], text[at]
    if unicodedata.category(following).startswith("M") or JOINED.match(last + following):
        return False
    if unicodedata.combining(last) == 9 and following.isalpha():  # a virama joins two consonants
        return False
    flag = FLAG.search(text[max(0, at - 64) : at]) if FLAG.fullmatch(following) else None
    return flag is None or len(flag[0]) % 2 == 0


def units(text: str) -> list[tuple[int, int]]:
    """Return where the words begin and end, and where there are no spaces the signs, with the marks that follow."""
    spans: list[tuple[int, int]] = []
    for match in UNIT.finditer(text):
        start, end = match.span()
        glued = bool(spans) and spans[-1][1] == start
        if glued and (not is_break(text, start) or not any(map(str.isalnum, match[0]))):
            spans[-1] = spans[-1][0], end
        else:
            spans.append((start, end))
    return spans
