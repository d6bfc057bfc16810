"""Cuts a growing text into chunks to speak: the first clause alone, then sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator

SENTENCE = re.compile(r"[.!?…]+[\"')\]]*\s+|\n+")
"""The end of a sentence; a full stop counts only before white space, so 3.5 stays whole."""
CLAUSE = re.compile(r"[,;:–—]\s+|" + SENTENCE.pattern)
ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'])(?:(?:[A-Z]\.)*[A-Z]|Dr|Mr|Mrs|Ms|Prof|St|Nr|No|vs|etc|e\.g|i\.e|a\.m|p\.m|approx)\.\s*$"
)
LONGEST_FIRST = 60
"""Characters after which the first chunk ends at a word even without punctuation."""


class Chunker:
    """Cuts text that arrives in pieces; a chunk is returned as soon as it is complete."""

    def __init__(self, first_chars: int, chunk_chars: int) -> None:
        self._first_chars = first_chars
        self._chunk_chars = chunk_chars
        self._text = ""
        self._spoken = False

    def feed(self, text: str) -> list[str]:
        """Return the chunks that this piece of text completes."""
        self._text += text
        chunks = []
        while (at := self._boundary()) is not None:
            chunk, self._text = self._text[:at], self._text[at:]
            chunks.append(chunk)
            self._spoken = True
        return chunks

    def flush(self) -> list[str]:
        """Return the rest at the end of the text."""
        rest, self._text = self._text, ""
        return [rest] if rest.strip() else []

    def _boundary(self) -> int | None:
        """Return where the next chunk ends, None while that is open."""
        least = 2 if self._spoken else self._first_chars
        most = self._chunk_chars if self._spoken else LONGEST_FIRST
        for end in self._ends(SENTENCE if self._spoken else CLAUSE, len(self._text)):
            if end >= least:
                return end
        if len(self._text) <= most:
            return None
        clauses = list(self._ends(CLAUSE, most)) if self._spoken else []
        return clauses[-1] if clauses else self._word_end(most)

    def _ends(self, mark: re.Pattern[str], stop: int) -> Iterator[int]:
        """Yield the ends of clauses or sentences."""
        for match in mark.finditer(self._text, 0, stop):
            before = self._text[: match.end()]
            if before.strip() and not ABBREVIATION.search(before):
                yield match.end()

    def _word_end(self, most: int) -> int:
        """Return the last space before `most`, else a break within a word that is that long."""
        blank = len(self._text) - len(self._text.lstrip())
        space = self._text.rfind(" ", blank, most)
        return space + 1 if space > 0 else most
