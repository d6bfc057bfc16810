"""The cassette of a recording without what is to be removed from it, and without the hashes that would tell it.

A request is found again by the hash of its input, which anybody could try words against. So the hash goes wherever the
input held something that was removed: a rerun then finds no answer there, and says so.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.replay.redaction.events import EventRedactor, Line, parsed, written
from workbench.replay.redaction.matching import MARK, Matcher
from workbench.replay.redaction.scope import Scope
from workbench.trace.archive import lines_from
from workbench.trace.cassette import DATA, FOLDER, REMOVED, ROWS
from workbench.trace.files import open_new, open_regular

LISTENS = ("stt", "turn", "vad")
"""Stages whose requests are places on the track: their hashes tell nothing."""
NEVER = (
    "t",
    "row",
    "stage",
    "item",
    "key",
    "outline",
    "settings",
    "how",
    "side",
    "hook",
    "verb",
    "kind",
    "call",
    "data",
    "v",
    "language",
)
"""Fields of a row that its meaning hangs on."""
ZEROS = bytes(1 << 20)


@dataclass(slots=True)
class _Call:
    stage: str
    t_ms: float
    asks: str
    pieces: list[str] = field(default_factory=list)
    """Of its answer, as far as they are text, in their order."""
    other: list[Line] = field(default_factory=list)
    touched: bool = False
    erased: bool = False
    clean: Iterator[str] = field(default_factory=lambda: iter(()))
    """The pieces without what is to be removed."""
    begun: bool = False
    """Its row was written."""


class CassetteRedactor:
    """Removes from the cassette of `folder`, after `events` has removed from its events."""

    def __init__(self, folder: Path, scope: Scope, matcher: Matcher, events: EventRedactor) -> None:
        self._place = folder / FOLDER
        self._scope = scope
        self._matcher = matcher
        self._events = events
        self._calls: dict[Any, _Call] = {}
        self._zeros: list[tuple[int, int]] = []
        self._named: list[tuple[int, int]] = []
        """Data that rows of the new cassette name."""
        self._first_ms = events.first_ms
        self.counts = Counter[str]()

    def write(self, into: Path) -> None:
        """Write the cassette into another folder of a session; nothing where there is none. Raises OSError."""
        if self._place.is_symlink() or not all((self._place / name).is_file() for name in (ROWS, DATA)):
            return
        self._find_calls()
        (into / FOLDER).mkdir(mode=0o700)
        with os.fdopen(open_new(into / FOLDER / ROWS), "wb") as file:
            for row in self._rows():
                clean = self._redacted(row)
                if clean is not None:
                    file.write(written(clean))
                    self._named += _data_of(clean)
                if clean != row:
                    self.counts["cassette rows"] += 1
        self._write_data(into / FOLDER / DATA)

    def _rows(self) -> Iterator[Line]:
        with open_regular(self._place / ROWS) as file:
            for _, line in lines_from(file, 0):
                row = parsed(line)
                if row is not None and isinstance(row.get("row"), str) and type(row.get("t")) in (int, float):
                    yield row
                else:
                    self.counts["unreadable"] += 1

    def _find_calls(self) -> None:
        """Find the calls of which something is removed."""
        for row in self._rows():
            match row:
                case {"row": "call", "call": int(number), "stage": str(stage), "asks": str(asks)}:
                    if number in self._calls:
                        continue
                    self._calls[number] = _Call(stage, row["t"] * 1000, asks)
                case {"row": "piece" | "end", "call": int(number)} if number in self._calls:
                    self._calls[number].pieces += texts(row)
                    self._calls[number].other.append(without(row, *NEVER))
                case {"row": "agent" | "tools" | "verb" | "hook" | "spoken" | "mock"} if self._changes(row):
                    self._note(row["t"] * 1000)
        self.counts.pop("unreadable", None)
        for call in self._calls.values():
            call.erased = call.stage not in LISTENS[1:] and self._scope.erases(call.t_ms)
            if call.stage == "tts":  # a word may be divided between the chunks of a reply
                call.erased = self._scope.reaches(call.t_ms)
            asks = "" if call.stage in LISTENS else call.asks
            matches = asks, "".join(call.pieces), " ".join(call.pieces)
            call.touched = any(map(self._matcher.find, matches)) or any(map(self._changes, call.other))
            call.clean = iter(self._matcher.pieces(call.pieces))
            if call.touched or call.erased:
                self._note(call.t_ms)

    def _changes(self, row: Line) -> bool:
        content = without(row, *NEVER)
        return self._matcher.fields(content) != content

    def _note(self, t_ms: float) -> None:
        self._first_ms = t_ms if self._first_ms is None else min(self._first_ms, t_ms)

    def _redacted(self, row: Line) -> Line | None:
        """Return the row as it may stay; None where it must go."""
        match row:
            case {"row": "event", "event": dict(event)}:
                return row | {"event": self._events.redact(event, known=False)}
            case {"row": "pictures"} if self._scope.reaches(row["t"] * 1000):
                self._drop_data(row)
                return None
            case {"row": "call" | "piece" | "end", "call": int(number)} if number in self._calls:
                call = self._calls[number]
                call.begun = call.begun or row["row"] == "call"
                if call.begun:
                    return self._of_call(row, call)
            case {"row": "numbers"}:
                return row
        fixed = {name: row[name] for name in NEVER if name in row}
        content = without(row, *NEVER)
        t_ms = row["t"] * 1000
        divided = row["row"] in ("hook", "spoken") and self._scope.reaches(t_ms)
        if divided or (row["row"] == "verb" and self._scope.erases(t_ms)):
            content = {name: MARK if isinstance(value, str) else {} for name, value in content.items()}
        else:
            content = self._matcher.fields(content)
        return self._without_hash(fixed) | content if row["row"] == "hook" else fixed | content

    def _of_call(self, row: Line, call: _Call) -> Line:
        if row["row"] == "call" and call.stage in LISTENS:
            return row
        gone = call.touched or call.erased
        fixed = {name: row[name] for name in NEVER if name in row}
        content = without(row, *NEVER)
        if row["row"] == "call":
            fixed = fixed if row.get("key") == "warm" else self._without_hash(fixed)
        elif (gone and call.stage in ("tts", "tool")) or (
            "picture" in row and self._scope.reaches(row["t"] * 1000)
        ):
            self._drop_data(row)
        if call.erased or (gone and call.stage == "stt" and row["row"] == "piece"):
            return fixed | {name: _erased(name, value) for name, value in content.items()}
        if gone and call.stage == "tts" and "words" in content:
            content["words"] = []
        if call.stage == "llm" and isinstance(row.get("text"), str):
            return fixed | self._matcher.fields(without(content, "text")) | {"text": next(call.clean)}
        if call.stage == "llm" and isinstance(row.get("progress"), list) and row["row"] == "piece":
            return fixed | {"progress": self._matcher.value(content["progress"])}
        return fixed | self._matcher.fields(content)

    def _without_hash(self, fixed: Line) -> Line:
        """Return the fields without the hash of what was asked, if it can have held what was removed until then."""
        if self._first_ms is None or fixed["t"] * 1000 < self._first_ms:
            return fixed
        self.counts["hashes"] += 1
        return fixed | {name: REMOVED for name in ("key", "outline") if name in fixed}

    def _drop_data(self, row: Line) -> None:
        self._zeros += _data_of(row)

    def _write_data(self, path: Path) -> None:
        """Copy what rows name. What no row names, as the recorder was killed before it or its line is damaged, is zero:
        nobody can tell what it is."""
        with open_regular(self._place / DATA) as old, os.fdopen(open_new(path), "wb") as new:
            size = old.seek(0, os.SEEK_END)
            new.truncate(size)
            at = 0
            for offset, length in sorted(self._named):
                stop = min(offset + length, size)
                for start in range(max(at, offset), stop, len(ZEROS)):
                    old.seek(start)
                    new.seek(start)
                    new.write(old.read(min(stop - start, len(ZEROS))))
                at = max(at, stop)
            for offset, length in self._zeros:
                for start in range(offset, min(offset + length, size), len(ZEROS)):
                    new.seek(start)
                    new.write(ZEROS[: min(offset + length, size) - start])


def _data_of(row: Line) -> list[tuple[int, int]]:
    """Return where the data of a row is: offset and length, bytes."""
    match row.get("data"):
        case [int(offset), int(length)] if offset >= 0 and 0 < length < 1 << 31:
            return [(offset, length)]
        case _:
            return []


def texts(row: Line) -> list[str]:
    """Return the pieces of text in a row of an answer: of a model, or the words that a voice gives times of."""
    match row:
        case {"text": str(text)}:
            return [text]
        case {"words": list(words)}:
            return [f"{word[0]} " for word in words if isinstance(word, list) and word]
        case _:
            return []


def without(row: Line, *names: str) -> Line:
    """Return a row without these fields."""
    return {name: value for name, value in row.items() if name not in names}


def _erased(name: str, value: Any) -> Any:
    """Return a field of a call without what was said in it, in the shape that it has."""
    match name, value:
        case "tool_call", [identity, tool, _]:
            return [identity, tool, "{}"]
        case "progress", [kind, _]:
            return [kind, ""]
        case _, str(text) if text:
            return MARK
        case _, list(items):
            return [_erased("", item) for item in items]
        case _, dict(items):
            return {key: _erased(key, item) for key, item in items.items()}
    return value
