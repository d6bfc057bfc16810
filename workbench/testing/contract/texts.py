"""Texts that nobody expects."""

from __future__ import annotations

SENTENCE = "The old harbour was quiet in the morning, and a few boats lay in the water. "
LONG = {"a text of 10,000 characters": (SENTENCE * (10_000 // len(SENTENCE) + 1))[:10_000]}
ODD = {
    "an empty text": "",
    "white space": " \t\n ",
    "signs without a word": "… ?! —",
    "unicode": "naïve 你好 مرحبا 👩‍👩‍👧‍👦 e\u0301 \u202edrowssap \ufeff",
    "control characters": "\x1b[31mred\x07 \x00",
}
"""By what is odd about them."""
EVERY = {**ODD, **LONG}
