"""The bytes of a streamed answer, made the values in them, as servers really send them.

Lines end in any way, events are divided by a blank line or by none, and one that is no event stream may be JSON.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

FIELD = re.compile(r"(?:data|event|id|retry)(?::|$)")
LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)")
LONGEST_ODD = 2_000
"""Characters of what is no JSON that are kept to be shown."""


class EventReader:
    """Takes bytes and gives the JSON values in them. `None` is a sign of life: a comment."""

    def __init__(self) -> None:
        self.done = False
        """Whether the server has said that this is all."""
        self.odd = ""
        """What came that is no JSON."""
        self._text = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._return = ""
        """A carriage return at the end: half a line's end, or a whole one."""
        self._line: list[str] = []
        self._event: list[str] = []

    def feed(self, data: bytes) -> list[Any]:
        """Return the values that are complete with these bytes."""
        text = self._return + self._text.decode(data)
        self._return = "\r" if text.endswith("\r") else ""
        text = text.removesuffix(self._return)
        values, at = [], 0
        for match in LINE.finditer(text):
            values += self._read_line("".join((*self._line, match[0])).rstrip("\r\n"))
            self._line.clear()
            at = match.end()
        if text[at:]:
            self._line.append(text[at:])
        return values

    def flush(self) -> list[Any]:
        """Return the values of the rest."""
        values = self._read_line("".join(self._line)) + self._end_event()
        self._line.clear()
        return values

    def _read_line(self, line: str) -> list[Any]:
        if self.done:
            return []
        if not line:
            return self._end_event()
        if line.startswith(":"):
            return [None]
        if not (field := FIELD.match(line)):
            self._event.append(line)  # a body of JSON, or a page
            return self._whole_line()
        if not line.startswith("data"):
            return []
        value = line[field.end() :].removeprefix(" ")
        if value.strip() == "[DONE]":
            values, self.done = self._end_event(), True
            return values
        self._event.append(value)
        return self._whole_line()

    def _whole_line(self) -> list[Any]:
        """Return the value of an event of one line at once: not every server divides them by a blank one."""
        if len(self._event) > 1 or not self._event[0].rstrip().endswith("}"):
            return []
        try:
            value = json.loads(self._event[0])
        except (ValueError, RecursionError):
            return []
        self._event.clear()
        return [value]

    def _end_event(self) -> list[Any]:
        """Return the value of an event; what is none is kept aside."""
        text = "\n".join(self._event)
        self._event.clear()
        if not text.strip():
            return []
        try:
            return [json.loads(text)]
        except (ValueError, RecursionError):
            self.odd = self.odd or text[:LONGEST_ODD]
            return [None]
