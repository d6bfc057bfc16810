"""Texts that follow one another, as one text: with spaces between them where their script has some."""

from __future__ import annotations

import re
from collections.abc import Iterable

from workbench.text.graphemes import SPACELESS

FULL_WIDTH = "\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
"""Marks of Chinese and Japanese, which bring their own space."""
MARK, SIGN = re.compile(f"[{FULL_WIDTH}]"), re.compile(f"[{SPACELESS}]")


def join_texts(texts: Iterable[str]) -> str:
    """Return the texts in a row. A space comes between two of them, but where both sides are of a script without spaces
    (Chinese, Japanese, Thai, …), or one is a full-width mark. Empty ones count for nothing."""
    joined = ""
    for text in filter(None, (text.strip() for text in texts)):
        joined += f"{_space(joined, text)}{text}" if joined else text
    return joined


def _space(before: str, after: str) -> str:
    last, first = before[-1], after[0]
    marks = MARK.match(last) or MARK.match(first)
    return "" if marks or (SIGN.match(last) and SIGN.match(first)) else " "
