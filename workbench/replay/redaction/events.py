"""The events of a recording without what is to be removed from them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from workbench.model.events import EVENT_TYPES
from workbench.replay.redaction.matching import MARK, Matcher, erased
from workbench.replay.redaction.scope import RecordedTexts, Scope
from workbench.trace.codec import without_none

KEPT = (
    "call",
    "name",
    "provider",
    "fallback",
    "session",
    "date",
    "language",
    "before",
    "what",
    "mode",
    "stage",
    "file",
)
"""Fields that say how something was done, not what was said: they stay where all that was said goes."""
NEVER = ("v", "i", "t_ms", "type", "turn", "session", "date")
"""Fields that a recording cannot be read without."""
STREAMS = (
    ("reply_text", "text", "text"),
    ("reply_text", "spoken", "spoken"),
    ("reply_progress", "text", "thinking"),
)
"""Type and field of the pieces of one text, and its name in `Part.texts`."""

Line = dict[str, Any]


class EventRedactor:
    """Removes from events, given in their order as the objects of their lines. `counts` says what it did."""

    def __init__(self, conversation: RecordedTexts, scope: Scope, matcher: Matcher) -> None:
        self._scope = scope
        self._matcher = matcher
        self.counts = Counter[str]()
        self.pictures = set[str]()
        """Files of pictures that stay."""
        self.first_ms: float | None = None
        """When the first thing was that is removed."""
        self._pieces: dict[tuple[str, str, int], deque[str]] = {
            (kind, field, reply): deque(matcher.pieces(conversation.replies[reply].texts[name]))
            for reply in scope.touched_replies
            for kind, field, name in STREAMS
        }
        self._calls = defaultdict[str, bool](bool)

    def redact(self, line: Line, *, known: bool) -> Line:
        """Return the event without what is to be removed; `known`: it is one that `decode` knows."""
        clean = self._erased(line) if self._is_erased(line) else self._replaced(line, known)
        if line.get("type") == "picture_taken":
            clean = self._without_picture(line, clean)
        if line.get("type") == "session_started":
            clean["recording"] = None  # the folder of the original
        elif clean != line:
            self.counts["events"] += 1
            if self.first_ms is None and isinstance(line.get("t_ms"), int | float):
                self.first_ms = line["t_ms"]
        return clean

    def _is_erased(self, line: Line) -> bool:
        scope = self._scope
        reply, utterance, turn, call = (line.get(name) for name in ("reply", "utterance", "turn", "call"))
        if line.get("type") == "session_started":
            return False
        owned = [
            number in erased_numbers
            for number, erased_numbers in (
                (reply, scope.erased_replies),
                (utterance, scope.erased_utterances),
                (turn, scope.erased_turns),
            )
            if type(number) is int
        ]
        t_ms = line.get("t_ms")
        is_erased = any(owned) if owned else scope.erases(t_ms)
        if isinstance(call, str):
            is_erased = self._calls[call] = is_erased or self._calls[call]
        return is_erased

    def _erased(self, line: Line) -> Line:
        clean = dict(line)
        for name, kind in _text_fields(line).items():
            if name not in KEPT:
                clean[name] = erased(line[name]) if kind == "text" else _erased_values(line[name])
        return clean

    def _replaced(self, line: Line, known: bool) -> Line:
        if line.get("type") == "transcribed" and line.get("utterance") in self._scope.touched_utterances:
            final = line.get("final") is True
            return line | {"text": self._matcher.text(str(line.get("text"))) if final else MARK}
        clean = dict(line)
        for name in _text_fields(line):
            pieces = (
                self._pieces.get((line["type"], name, line["reply"])) if known and "reply" in line else None
            )
            clean[name] = pieces.popleft() if pieces and line[name] else self._matcher.value(line[name])
        if line.get("type") == "reply_ended" and isinstance(line.get("heard"), str):
            clean["heard"], _, clean["unheard"] = self._matcher.pieces(
                [line["heard"], " ", str(line.get("unheard"))]
            )
        return clean

    def _without_picture(self, line: Line, clean: Line) -> Line:
        """Remove a picture that was taken where something else is removed."""
        t_ms, file = line.get("t_ms"), line.get("file")
        goes = clean != line or line.get("reply") in self._scope.touched_replies
        if goes or self._scope.reaches(t_ms):
            return clean | {"file": ""}
        self.pictures.add(str(file))
        return clean


def _erased_values(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return []  # messages
    return erased(value)


def _text_fields(line: Line) -> dict[str, str]:
    """Return the fields of an event that may hold what was said: `text`, or `any` value."""
    kind = EVENT_TYPES.get(str(line.get("type")))
    known = {} if kind is None else _fields(kind)  # type: ignore[arg-type]  # a class is hashable
    return {name: known.get(name, "any") for name in line if name not in NEVER and known.get(name) != "no"}


@cache
def _fields(kind: type[Any]) -> dict[str, str]:
    return {name: _kind(without_none(hint)) for name, hint in get_type_hints(kind).items()}


def _kind(hint: Any) -> str:
    if hint is str:
        return "text"
    if get_origin(hint) is Literal or hint in (int, float, bool):
        return "no"
    if get_origin(hint) in (tuple, dict):
        inner = [_kind(without_none(item)) for item in get_args(hint) if item is not Ellipsis]
        return (
            "any"
            if get_origin(hint) is tuple and inner[0] != "no"
            else inner[-1]
            if inner[-1] != "text"
            else "any"
        )
    return "any"


def parsed(line: bytes) -> Line | None:
    """Return the object of a line; None where there is none."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def written(line: Line) -> bytes:
    """Return a line as it is written, with its line break."""
    return (json.dumps(line, separators=(",", ":")) + "\n").encode("ascii")
