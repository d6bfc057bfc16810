"""Cuts a growing text into chunks to speak: the first clause alone, then sentences."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import takewhile

from workbench.text.graphemes import is_break

_CLOSING = "\"')\\]”’»›」』）】》〉"
_STOPS = "。！？｡．।॥؟۔։።፧⁇⁈⁉‼།༎။៕។꓿᠃᙮"
"""Full stops, question and exclamation marks of scripts that need no space after them."""
SENTENCE = re.compile(
    rf"[.!?…]++[{_CLOSING}]*+\s"
    rf"|[!?…]++[{_CLOSING}]*+(?=[^\W\da-zA-ZÀ-ɏͰ-ӿ])"
    rf"|…*+[{_STOPS}][{_STOPS}…!?]*+[{_CLOSING}]*+(?=[^{_STOPS}…!?{_CLOSING}])\s?"
    r"|\n"
)
"""The end of a sentence. A full stop counts only before white space, so that 3.5 stays whole; the stops of other
scripts count as soon as something else than a closing quote follows."""
CLAUSE = re.compile(r"[,;:–—]\s|[、，；：،؛](?=[^\d])\s?|" + SENTENCE.pattern)
_SHORT = (
    "Dr Mr Mrs Ms Prof St vs approx Sr Fig Vol Mt Ft Rev Gen Col Sgt Capt Lt Hon Pres"
    " z bzw ca Str Hr Fr Hrn Tel inkl evtl ggf vgl sog Dipl Abs Art Nr Bd Jh geb Mio Mrd"
    " Mme Mlle MM Mgr Bd av env"
    " Sra Srta Dra Dña Ud Uds EE UU núm pág Lic Ing Arq"
    " Sig Dott Avv Geom pag ecc"
    " Exmo Exma Profa nº"
    " dhr mevr bijv blz nl drs ir mr"
    " np tzn ul im г ул им стр руб т д е п см др тыс млн"
)
ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'„«])(?:(?:[^\W\d_]\. ?)*[^\W\d_]|p\. ?ex|c\.-à-d|p\. ?ej|"
    + "|".join(_SHORT.split())
    + r")\.\s*$"
)
"""What never ends a sentence."""
UNCERTAIN = re.compile(
    r"(?:\.{3}|…)\s$|(?:^|[\s(\"'])(?:(?P<number>Nos?|pp|Nr|Ch|Sec|Ref|Ext)|a\.m|p\.m|etc|usw|Inc|Ltd|Co|Corp|Jr|Ave|Blvd|Rd"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Mon|Tue|Wed|Thu|Fri|Sat)\.\s$"
)
"""What ends one only where the next word begins large (`number`: where no number follows)."""
LIST_NUMBER = re.compile(r"(?:^|\n)[ \t]*\d{1,3}[.)]\s*$")
"""The number of a list's item ends no sentence."""
ORDINAL = re.compile(r"(?<![\d.,])\d{1,2}\.\s$")
"""`5. Mai`: an ordinal, in the languages that write it so."""
ORDINAL_LANGUAGES = frozenset(
    ["de", "da", "nb", "nn", "no", "fi", "is", "cs", "sk", "pl", "hu", "hr", "sl", "sr", "bs", "et", "lv"]
)
FENCE = re.compile(r"^[ \t]*(```|~~~)[^`~\n]*\n", re.MULTILINE)
"""The line that opens a block of code."""
HALF_FENCE = re.compile(r"^[ \t]{0,20}(?:`{1,2}|~{1,2}|(?:```|~~~)[^`~\n]{0,200})?\Z", re.MULTILINE)
"""A last line that may become one."""
LINK = re.compile(
    r"!?\[[^\]\n]{0,300}(?:\Z|\](?:\Z|\([^)\s]{0,2000}(?:\)|\Z)))|</?[a-zA-Z][^<>\n]{0,200}(?:>|\Z)"
)
"""A link or a tag, whole or as far as it has come."""
LONGEST_FIRST = 60
"""Characters after which the first chunk ends at a word even without punctuation."""
PHRASE = 20
"""Characters after which the first chunk ends before a word that begins a phrase: there people breathe, too."""
_OPENERS = {
    "en": "and or but because that which who where when while if so than with from for to in on at by about into",
    "de": "und oder aber weil dass die der das wenn während als mit von für zu in auf an bei über aus nach",
    "fr": "et ou mais parce que qui où quand pendant si avec de pour dans sur à par vers chez en",
    "es": "y o pero porque que quien donde cuando mientras si con de para en sobre por desde hasta",
    "it": "e o ma perché che dove quando mentre se con da per in su di tra fra",
    "pt": "e ou mas porque que quem onde quando enquanto se com de para em sobre por desde até",
    "nl": "en of maar omdat dat die waar wanneer terwijl als met van voor naar in op aan bij over uit",
}
"""Words that begin a phrase, by language."""
OPENERS = {
    language: re.compile(rf"(?<=\s)(?:{words.replace(' ', '|')})(?=\s)")
    for language, words in _OPENERS.items()
}
WINDOW = 8_000
"""Characters in which the end of a chunk is looked for, more than any chunk of text has."""
CONTEXT = 80
"""Characters before an end that tell whether it is one."""


class Chunker:
    """Cuts text that arrives in pieces; a chunk is returned as soon as it is complete.

    A block of code is one chunk, and a link is never cut: what makes text speakable must see them whole. However the
    text arrives, the chunks are the same. `language` is a tag like `de` or `pt-BR`. With `phrases`, for a voice that
    takes the longer the more it is to say, the first chunk may end before a phrase, and the second one with a clause.
    """

    def __init__(
        self, first_chars: int, chunk_chars: int, language: str = "en", *, phrases: bool = False
    ) -> None:
        self._first_chars = first_chars
        base = language.lower().partition("-")[0]
        self._has_ordinals = base in ORDINAL_LANGUAGES
        self._opener = OPENERS.get(base) if phrases else None
        self._clauses = 2 if phrases else 1
        """Chunks that may end with a clause."""
        self._chunk_chars = chunk_chars
        self._rest = ""
        """Text that is not in a chunk yet; `_text` is its beginning."""
        self._text = ""
        self._close: re.Pattern[str] | None = None
        """Ends the block of code that the text begins with."""
        self._searched = 0
        self._chunks = 0

    def feed(self, text: str) -> list[str]:
        """Return the chunks that this piece of text completes."""
        self._rest += text
        chunks, start = [], 0
        while (at := self._boundary(start)) is not None:
            chunks.append(self._rest[start : start + at])
            start += at
            self._chunks += bool(chunks[-1].strip())
        self._rest = self._rest[start:]
        return chunks

    def flush(self) -> list[str]:
        """Return the rest at the end of the text."""
        rest, self._rest, self._close = self._rest, "", None
        return [rest] if rest.strip() else []

    def drop(self, count: int) -> int:
        """Forget the last `count` characters, as far as they are in no chunk; return how many are in one."""
        held = min(count, len(self._rest))
        self._rest = self._rest[: len(self._rest) - held]
        self._close = None
        return count - held

    def _boundary(self, start: int) -> int | None:
        """Return where the next chunk ends, counted from `start`; None while that is open."""
        if self._close is not None:
            return self._block_end(start)
        self._text = self._rest[start : start + WINDOW]
        fence = FENCE.search(self._text)
        if fence is None:
            half = HALF_FENCE.search(self._text, self._text.rfind("\n") + 1)
            return self._text_boundary(half.start() if half else len(self._text))
        if self._text[: fence.start()].strip():
            return self._text_boundary(fence.start()) or fence.start()
        self._close = re.compile(rf"^[ \t]*{fence[1]}[ \t]*\n", re.MULTILINE)
        self._searched = fence.end()
        return self._block_end(start)

    def _block_end(self, start: int) -> int | None:
        assert self._close is not None
        close = self._close.search(self._rest, start + self._searched)
        if close is None:  # only the last line is looked at again
            self._searched = max(self._searched, self._rest.rfind("\n") + 1 - start)
            return None
        self._close = None
        return close.end() - start

    def _text_boundary(self, stop: int) -> int | None:
        first = self._chunks == 0
        clausal = self._chunks < self._clauses
        least = self._first_chars if clausal else 2
        most = LONGEST_FIRST if first else self._chunk_chars
        ends = takewhile(lambda end: end <= most, self._ends(CLAUSE if clausal else SENTENCE, stop))
        end = next((end for end in ends if width(self._text[:end]) >= least), None)
        if first and (phrase := self._phrase(stop)) is not None and phrase <= most:
            end = min(end or phrase, phrase)
        if end is not None:
            return end
        if stop <= most:
            return None
        clauses = [] if first else [end for end in self._ends(CLAUSE, stop) if end <= most]
        return clauses[-1] if clauses else self._before_link(self._word_end(most))

    def _ends(self, mark: re.Pattern[str], stop: int) -> Iterator[int]:
        """Yield the ends of clauses or sentences, up to the first that the text to come decides."""
        links = self._links()
        for match in mark.finditer(self._text, 0, stop):
            end = match.end()
            before, following = self._text[max(0, end - CONTEXT) : end], self._text[end : end + 1]
            if not self._text[:end].strip() or any(start < end < link_end for start, link_end in links):
                continue
            if self._has_ordinals and ORDINAL.search(before):
                continue
            if uncertain := UNCERTAIN.search(before):
                if not following:
                    return
                if following.isdigit() or (not uncertain["number"] and not following.isupper()):
                    continue
            elif ABBREVIATION.search(before) or LIST_NUMBER.search(before):
                continue
            if following and not is_break(self._text, end):
                continue
            yield end

    def _phrase(self, stop: int) -> int | None:
        """Return where the first phrase begins that is far enough from the start, None where that is open."""
        if self._opener is None:
            return None
        starts = (match.start() for match in self._opener.finditer(self._text, 0, stop))
        return next(
            (
                start
                for start in starts
                if width(self._text[:start]) > max(PHRASE, self._first_chars)
                and self._before_link(start) == start
            ),
            None,
        )

    def _links(self) -> list[tuple[int, int]]:
        """Return where links begin and end; one that is not complete ends behind the text."""
        return [
            (match.start(), match.end() + (match[0][-1] not in ")>")) for match in LINK.finditer(self._text)
        ]

    def _before_link(self, end: int) -> int | None:
        """Return `end`, or the start of the link that it would cut; None while that may be one."""
        for start, link_end in self._links():
            if start < end < link_end:
                return start if link_end <= len(self._text) and self._text[:start].strip() else None
        return end

    def _word_end(self, most: int) -> int:
        """Return the last space before `most`, else a break between two letters that make no word of an alphabet."""
        blank = len(self._text) - len(self._text.lstrip())
        space = self._text.rfind(" ", blank, most)
        if space > 0:
            return space + 1
        breaks = (
            at
            for at in range(most, blank, -1)
            if is_break(self._text, at) and not re.match(r"[a-zA-Z0-9]{2}", self._text[at - 1 : at + 1])
        )
        return next(breaks, most)


def width(text: str) -> int:
    """Return the length in letters of an alphabet: a sign of Chinese, Japanese or Korean says as much as two."""
    return len(text) + sum(unicodedata.east_asian_width(sign) in "WF" for sign in text)
