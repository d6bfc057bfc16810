"""Untrusted text, made safe to show in a terminal, a log or a message; and secrets taken out of it."""

from __future__ import annotations

import os
import re

ESCAPES = re.compile(
    r"""
    (?: \x1b\[ | \x9b ) [\x30-\x3f]* [\x20-\x2f]* [\x40-\x7e]?          # CSI: colours, cursor, erase
    | (?: \x1b[\]PX^_] | [\x9d\x90\x98\x9e\x9f] )                       # OSC, DCS, SOS, PM, APC: up to its end,
      (?: [^\x07\x1b\x90\x98\x9c-\x9f\n]*+ (?: \x07 | \x1b\\ | \x9c ) )?  #   or the opening
    | \x1b [\x20-\x2f]* [\x30-\x7e]?                                    # anything else that begins with escape
    """,
    re.VERBOSE,
)
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
"""C0 and C1 except newline; line and paragraph separators."""
INVISIBLE = re.compile(
    "[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks, embeddings, overrides and isolates of direction
    "\u00ad\u200b\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb"  # what takes no room and hides words from a search
    "\U000e0000-\U000e007f"  # tags: text that nobody sees
    "\ud800-\udfff]"  # halves of a character, which no encoder takes
)
SPACES = {"\t": " ", "\r": "\n", "\x0b": "\n", "\x0c": "\n", "\x85": "\n", "\u2028": "\n", "\u2029": "\n"}


def plain(text: str, limit: int | None = None, *, one_line: bool = False) -> str:
    """Return the text without escape sequences, control characters and what turns or hides its neighbours.

    Newlines stay (a carriage return becomes one), a tab becomes a space. With `limit`, at most so many characters, the
    last of them … where something was left out. With `one_line`, all white space becomes single spaces.
    """
    if text.isascii() and text.isprintable():  # nearly always
        clean = text
    else:
        clean = ESCAPES.sub("", text).replace("\r\n", "\n")
        clean = INVISIBLE.sub("", CONTROLS.sub(lambda match: SPACES.get(match[0], ""), clean))
    if one_line:
        clean = " ".join(clean.split())
    return clean if limit is None or len(clean) <= limit else clean[: max(0, limit - 1)] + "…"


SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)", re.IGNORECASE)
SECRET_LOOK = re.compile(r"\b(sk|pk|hf|gh[pousr])[-_][\w-]{8,}")
BEARER = re.compile(r"(Bearer\s+)\S+")
SECRET_VALUE = re.compile(  # errors show whole addresses
    r"((?:[?&]key|api[_-]?key|app_?id|token|secret|password|passwd)=['\"]?)[^\s&'\"<>,;)]{6,}"
    r"|(://)[^\s/@:]*:[^\s/@]+(?=@)",  # a user and password in one
    re.IGNORECASE,
)
SIGNED = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|\bAKIA[0-9A-Z]{16}\b")


def redacted(text: str) -> str:
    """Return the text without the values of variables that look like secrets, and without what looks like a key."""
    for name, value in os.environ.items():
        if SECRET_NAME.search(name) and len(value) >= 6:
            text = text.replace(value, "…")
    text = SECRET_VALUE.sub(r"\1\2…", SIGNED.sub("…", text))
    return BEARER.sub(r"\1…", SECRET_LOOK.sub("…", text))
