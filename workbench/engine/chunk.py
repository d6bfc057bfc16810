"""Cutting a growing text into what is spoken at once: the first clause alone, then sentences."""

from __future__ import annotations

import re

SENTENCE = re.compile(r"[.!?…]+[\"')\]]*\s+|\n+")
"""The end of a sentence; a full stop counts only before white space, so 3.5 stays whole."""
CLAUSE = re.compile(r"[,;:–—]\s+|[.!?…]+[\"')\]]*\s+|\n+")
ABBREVIATION = re.compile(
    r"(?:^|\s|\()(?:[A-Z]|Dr|Mr|Mrs|Ms|Prof|St|Nr|No|vs|etc|e\.g|i\.e|a\.m|p\.m|approx)\.\s*$"
)
LONGEST_FIRST = 80
"""Characters after which the first chunk ends at a word even without punctuation."""


class Chunker:
    """Feed it pieces of text; it returns chunks as soon as each is complete."""

    def __init__(self, first_chars: int, chunk_chars: int) -> None:
        self._first_chars = first_chars
        self._chunk_chars = chunk_chars
        self._text = ""
        self._spoken = False

    def feed(self, text: str) -> list[str]:
        """The chunks that this piece of text completes."""
        self._text += text
        chunks = []
        while (at := self._boundary()) is not None:
            chunk, self._text = self._text[:at], self._text[at:]
            if chunk.strip():
                chunks.append(chunk)
                self._spoken = True
        return chunks

    def flush(self) -> list[str]:
        """What is left at the end of the text."""
        rest, self._text = self._text, ""
        return [rest] if rest.strip() else []

    def _boundary(self) -> int | None:
        least = 2 if self._spoken else self._first_chars
        most = self._chunk_chars if self._spoken else LONGEST_FIRST
        for match in (SENTENCE if self._spoken else CLAUSE).finditer(self._text):
            if match.end() >= least and not ABBREVIATION.search(self._text[: match.end()]):
                return match.end()
        if len(self._text) <= most:
            return None
        clauses = [match.end() for match in CLAUSE.finditer(self._text[:most]) if match.end() > least]
        if self._spoken and clauses:
            return clauses[-1]
        space = self._text.rfind(" ", 0, most)
        return space + 1 if space > 0 else most
