"""The thinking of a model in the text of its answer: taken out wherever chunks cut the tags."""

from __future__ import annotations

import re

from workbench.engine.interfaces import LlmPart, Progress, Retraction, Text

_NAMES = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reasoning|reflection|scratchpad)"
_CLOSE = (
    rf"</{_NAMES}>|◁/think▷|\[/THINK\]|<\|channel\|>\s*final\b[^<>\n]{{0,40}}<\|message\|>"
    r"|<\|end_of_thought\|>|<\|END_THINKING\|>|<unused95>"
)
CLOSE = re.compile(rf"(?P<close>{_CLOSE})", re.IGNORECASE)
TAG = re.compile(
    rf"(?P<open><{_NAMES}>|◁think▷|\[THINK\]|<\|channel\|>\s*(?:analysis|commentary)\b[^<>\n]{{0,40}}<\|message\|>"
    rf"|<\|begin_of_thought\|>|<\|START_THINKING\|>|<unused94>(?:thought)?)|(?P<close>{_CLOSE})"
    r"|(?P<mark><\|start\|>(?:assistant)?|<\|(?!channel)\w{2,30}\|>)",
    re.IGNORECASE,
)
"""Where thinking begins and ends, and marks of a template that are nobody's words."""
HALF_TAG = re.compile(
    r"(?:<\|channel\|>[^<>\n]{0,40}(?:<[|\w]{0,12})?|<\|start\|>[a-z]{0,9}|<unused94>[a-z]{0,7}"
    r"|<[/|]?[\w:]{0,30}\|?|◁/?[a-z]{0,5}|\[/?[A-Z]{0,5})\Z",
    re.IGNORECASE,
)
"""What may become a tag with the next chunk."""
QUOTES = frozenset("`\"'“”‘’«»")
SENTENCE_END = re.compile(r"(?:\n|[.!?…。！？][\"')”’]*)\s*\Z")


class ThinkingFilter:
    """Takes the text of an answer and gives what may be spoken, and the thinking as `Progress`.

    A tag at the start of an answer opens; one further on only where a sentence could begin, and only if it is closed:
    an answer may be about tags. `open_at_start`: the server's template has opened the tag itself, so that all is
    thinking up to `</think>`, if there is one.
    """

    def __init__(self, *, open_at_start: bool = False) -> None:
        self.unopened: bool | None = None
        """Whether thinking was closed that nothing had opened."""
        self._held = ""
        self._thinks = open_at_start
        self._doubtful: list[str] | None = [] if open_at_start else None
        """The thinking, as long as it may turn out to be text."""
        self._thought = self._orphaned = False
        self._tail = self._last = ""
        self._in_code = False

    def feed(self, text: str) -> list[LlmPart]:
        """Return what is certain with this text."""
        self._held += text
        return self._read(final=False)

    def flush(self, *, truncated: bool = False) -> list[LlmPart]:
        """Return the rest, as no more is to come; an answer that was cut off may have been cut in its thinking."""
        parts = self._read(final=True)
        if self._doubtful is not None and not truncated:
            doubtful, self._doubtful, self._thinks = "".join(self._doubtful), None, False
            parts += self._say(doubtful)
        return parts

    def reveal(self) -> list[LlmPart]:
        """Take it that the text has no thinking in it, as that comes in a field of its own."""
        if self._doubtful is None or self._tail:
            return []
        doubtful, self._doubtful, self._thinks = "".join(self._doubtful), None, False
        return self._say(doubtful)

    def _read(self, *, final: bool) -> list[LlmPart]:
        parts: list[LlmPart] = []
        start = 0
        while match := (CLOSE if self._thinks else TAG).search(self._held, start):
            before = ("" if self._thinks else self._tail) or self._last
            before += self._held[: match.start()]
            if not final and match.end() + 2 > len(self._held) and self._may_be_quoted(before):
                break
            if self._may_be_quoted(before) and self._is_quoted(match, before):
                start = match.end()
                continue
            parts += self._take(match.start())
            self._turn(match)
            self._held, start = self._held[match.end() :], 0
        half = None if final else HALF_TAG.search(self._held, start)
        cut = match.start() if match else half.start() if half else len(self._held)
        parts += self._take(cut)
        self._held = self._held[cut:]
        return parts

    @property
    def has_thinking(self) -> bool:
        """Whether there was any thinking."""
        return self._thought or self._thinks

    def _turn(self, match: re.Match[str]) -> None:
        """Go from text to thinking or back."""
        if match.lastgroup == "open":
            self._thinks = True
            self._doubtful = [match[0]] if self._tail else None
        elif match.lastgroup == "close":
            if self._thinks and self._doubtful is not None and not self._tail:
                self.unopened = True
            self._orphaned = bool(self._tail) and not self._thinks and not self._thought
            self._thinks, self._thought, self._doubtful = False, True, None
            self._tail += "\n" if self._tail else ""

    def _may_be_quoted(self, before: str) -> bool:
        return before[-1:] in QUOTES if self._thinks else bool(before.strip())

    def _is_quoted(self, match: re.Match[str], before: str) -> bool:
        """Decide whether a tag is only mentioned."""
        after = self._held[match.end() : match.end() + 2]
        if before[-1] in QUOTES and after[:1] in QUOTES:
            return True
        if self._thinks:
            return False
        if self._in_code != bool(self._held.count("`", 0, match.start()) % 2):
            return True
        if match.lastgroup == "open" and not SENTENCE_END.search(before[-60:]):
            return True
        within_line = before[-1] == " " and (
            after[:1] in ".,;:!?)" or (after[0] == " " and after[1:].islower())
        )
        return within_line and match.lastgroup != "mark"

    def _take(self, stop: int) -> list[LlmPart]:
        text = self._held[:stop]
        self._last = text[-1:] or self._last
        if not self._thinks:
            return self._say(text)
        if self._doubtful is not None:
            self._doubtful.append(text)
        return [Progress("thinking", text)] if text else []

    def _say(self, text: str) -> list[LlmPart]:
        """Return text to speak, without the white space before its first word."""
        text = text if self._tail and not self._orphaned else text.lstrip()
        if not text:
            return []
        parts: list[LlmPart] = [Retraction(), Text(text)] if self._orphaned else [Text(text)]
        if self._orphaned:
            self._orphaned, self.unopened = False, True
        self._tail = (self._tail + text)[-60:]
        self._in_code ^= bool(text.count("`") % 2)
        return parts
