"""The cassette of a session: every input from outside with its time, so that the same engine can decide again.

    cassette/rows.jsonl    one JSON object a line: {"t": 12.34, "row": "piece", …}, in the order in which it happened
    cassette/data.bin      sound and numbers, little-endian; a row's `data` says where: [offset, bytes]

`t` is the session's clock in seconds, as exact as the loop's; `i` counts the events and the inputs that were before,
which tells the order of what happens at one time. The kinds of rows (`SHAPES` has the types of fields):

    cassette   the first one: `v`, the version of the format
    agent      who speaks, from here on: instructions, greeting, on_silence, language, name, own_speakable
    tools      all tools there are from here on, and the `change` in words; mock: a tool's answer for the time being
    provider   an item of a stage's chain was made; `absent` says why not
    call       a request to a stage: its number, `key` (the hash of stage, input and settings; `outline` leaves out what
               was heard of earlier answers), and what was asked in words (`asks`)
    piece      a part of the answer: `text`, a tool `tool_call`, `usage`, sound (`data`) with `words`, a partial
               transcript with `end` and `speech_end` of the utterance, what a tool said meanwhile
    end        of a call: `how` is done, failed (`error`) or cut: who asked did not want the rest
    verb       a verb of the session, with its arguments
    event      what a transport, a provider's notice or the host said in the trace
    numbers    since the last such row: `frames` that came, `pulls` of the sink, `probabilities` of the VAD, as arrays
               of `FRAMES`, `PULLS` and `PROBABILITIES`, one after the other, in `data`
    fault      the VAD raised at its window `at`
    transit    the parts of a sample's way, as source or sink (`side`) gave them; shut: that side ended, or failed
    disconnected   nobody can be reached (`on`), or somebody again
    spoken, hook   what an agent's own function, or a plugin, made of a text or of messages
    pictures   what was shown to the model

The sound of the user is not repeated here: it is the track `user`. Keys, headers and other secrets are never in it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from workbench.model.audio import INPUT_RATE, OUTPUT_RATE
from workbench.model.errors import UsageError
from workbench.trace.archive import lines_from
from workbench.trace.files import open_new, open_regular

FOLDER, ROWS, DATA = "cassette", "rows.jsonl", "data.bin"
VERSION = 1
REMOVED = ""
"""The key of a call of which something was removed afterwards."""
FRAMES = np.dtype([("t", "<f8"), ("spoken", "<f8"), ("position", "<i8"), ("count", "<i4"), ("i", "<i4")])
"""A frame of the user that came: when, when its first sample was spoken, its position on `user`, its samples; `i`."""
PULLS = np.dtype(
    [("t", "<f8"), ("leaves", "<f8"), ("count", "<i4"), ("woken", "<i4"), ("wakes", "<i4"), ("i", "<i4")]
)
"""A pull of the sink: when, when its first sample leaves the speaker, its samples, whether it was woken for it, how
often it had been woken until then; `i`."""
PROBABILITIES = np.dtype("<f8")
LONGEST_S, LATE_S = 1e6, 10.0
"""No session lasts longer, s; nothing comes so long after its end."""
MOST_WAITING = 200_000
"""Rows and numbers that wait for the disk; what comes after is lost."""

Row = dict[str, Any]

SHAPES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "cassette": {"v": int},
    "agent": {"agent": dict},
    "tools": {"tools": list, "change": str},
    "mock": {"name": str},
    "provider": {"stage": str, "item": str},
    "call": {"call": int, "stage": str, "item": str, "key": str, "asks": str},
    "piece": {"call": int},
    "end": {"call": int, "how": str},
    "verb": {"verb": str, "arguments": dict},
    "event": {"event": dict},
    "numbers": {"frames": int, "pulls": int, "probabilities": int, "data": list},
    "fault": {"at": int, "error": dict},
    "transit": {"side": str, "sample": int, "parts": list},
    "shut": {"side": str},
    "disconnected": {"on": bool},
    "spoken": {"text": str},
    "hook": {"hook": str, "key": str},
    "pictures": {"pictures": list, "began": (int, float)},
}
"""Fields that a row of a kind must have, with their types. Others may be there too."""


def request_key(*request: Any) -> str:
    """Return the hash by which a request is found again."""
    text = json.dumps(request, sort_keys=True, default=repr, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


# --- writing ---------------------------------------------------------------------------------------------------------


class CassetteLog:
    """Takes inputs from any thread, in memory and at once; the recorder writes them. `now` is the session's clock,
    s."""

    def __init__(
        self, now: Callable[[], float], events: Callable[[], int] = lambda: 0, origin: float = 0.0
    ) -> None:
        """`events` says how many there are in the trace."""
        self.now = now
        self._events = events
        self._inputs = 0
        self.origin = origin
        """When that was 0, on the loop's clock, s."""
        self.frames: deque[tuple[float, float, int, int, int]] = deque()
        self.pulls: deque[tuple[float, float, int, int, int, int]] = deque()
        self.probabilities: deque[float] = deque()
        self.lost = 0
        """Rows that were dropped, as the disk was too slow."""
        self._rows: deque[tuple[Row | Callable[[], Row], bytes | NDArray[Any] | None]] = deque()
        self._calls = 0
        self._closed = False

    def put(self, row: str, data: bytes | NDArray[Any] | None = None, **fields: Any) -> None:
        """Add a row that happens now, with its sound or picture."""
        self.put_later({"t": self.now(), "i": self.index, "row": row, **fields}, data)

    def put_input(self, row: str, data: bytes | NDArray[Any] | None = None, **fields: Any) -> None:
        """Add a row of something that comes from outside, in its order among all others of its time."""
        self.put_later({"t": self.now(), "i": self.counted(), "row": row, **fields}, data)

    @property
    def index(self) -> int:
        """How many events and inputs there were until now."""
        return self._events() + self._inputs

    def counted(self) -> int:
        """Return that number for an input, which counts from now on."""
        self._inputs += 1
        return self._events() + self._inputs - 1

    def put_later(self, row: Row | Callable[[], Row], data: bytes | NDArray[Any] | None = None) -> None:
        """Add a row; a function makes it when it is written, off the loop."""
        if self._closed or len(self._rows) > MOST_WAITING:
            self.lost += not self._closed
        else:
            self._rows.append((row, data))

    def call(self) -> int:
        """Return the number of the next call."""
        self._calls += 1
        return self._calls

    def close(self) -> None:
        """Take nothing more: nobody writes it."""
        self._closed = True
        for waiting in (self.frames, self.pulls, self.probabilities, self._rows):
            waiting.clear()

    def take_rows(self) -> Iterator[tuple[Row, bytes]]:
        """Yield the rows so far with their data, and forget them."""
        for _ in range(len(self._rows)):
            row, data = self._rows.popleft()
            yield (row() if callable(row) else row), b"" if data is None else _bytes(data)

    def take_numbers(self) -> tuple[Row | None, bytes]:
        """Return a row of the numbers so far with their arrays, and forget them; None where there are none."""
        parts = [
            np.array([waiting.popleft() for _ in range(len(waiting))], kind)
            for waiting, kind in (
                (self.frames, FRAMES),
                (self.pulls, PULLS),
                (self.probabilities, PROBABILITIES),
            )
        ]
        if not any(map(len, parts)):
            return None, b""
        names = ("frames", "pulls", "probabilities")
        counts = {name: len(part) for name, part in zip(names, parts, strict=True)}
        return {"t": self.now(), "row": "numbers", **counts}, b"".join(part.tobytes() for part in parts)


def _bytes(data: bytes | NDArray[Any]) -> bytes:
    return data if isinstance(data, bytes) else data.astype(data.dtype.newbyteorder("<")).tobytes()


class CassetteFile:
    """The two files of a new cassette. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        place = folder / FOLDER
        place.mkdir(mode=0o700)
        self._data, self._rows = open_new(place / DATA), open_new(place / ROWS)
        self._size = 0
        _write(self._rows, _line({"t": 0.0, "row": "cassette", "v": VERSION}))

    def write(self, log: CassetteLog) -> None:
        """Append what the log has: data first, so that no row speaks of what is not there."""
        blobs, lines = list[bytes](), list[bytes]()

        def add(row: Row, data: bytes) -> None:
            if data:
                row["data"] = [self._size, len(data)]
                self._size += len(data)
                blobs.append(data)
            lines.append(_line(row))

        for row, data in log.take_rows():
            add(row, data)
        numbers, data = log.take_numbers()
        if numbers is not None:
            add(numbers, data)
        if lines:
            _write(self._data, b"".join(blobs))
            _write(self._rows, b"".join(lines))

    def close(self) -> None:
        """Close both."""
        os.close(self._rows)
        os.close(self._data)


def _line(row: Row) -> bytes:
    return (json.dumps(row, separators=(",", ":"), default=repr) + "\n").encode("ascii")


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class RecordedCall:
    """A request to a stage and its answer, `pieces` in their order."""

    number: int
    stage: str
    item: str
    key: str
    outline: str
    asks: str
    t: float
    i: int
    pieces: list[Row] = field(default_factory=list)
    end: Row | None = None
    """None: the recording ends before the call does."""

    @property
    def cut(self) -> bool:
        """Whether there was more to come than what is recorded."""
        return self.end is None or self.end["how"] == "cut"


@dataclass(frozen=True, slots=True)
class Cassette:
    """A recorded cassette, read."""

    path: Path
    rows: tuple[Row, ...]
    """All but those of calls and numbers, in their order."""
    calls: tuple[RecordedCall, ...]
    frames: NDArray[Any]
    pulls: NDArray[Any]
    probabilities: NDArray[np.float64]
    end_s: float
    """The latest time in it, s."""
    damaged: int = 0
    """Rows that could not be read."""

    def of(self, *kinds: str) -> Iterator[Row]:
        """Yield the rows of these kinds."""
        return (row for row in self.rows if row["row"] in kinds)

    def data(self, row: Mapping[str, Any]) -> bytes:
        """Return the data of a row; empty where it has none, or not all of it is there."""
        place = _place(row)
        if place is None:
            return b""
        try:
            with open_regular(self.path / DATA) as file:
                return _read(file, *place)
        except OSError:
            return b""


def open_cassette(folder: Path, until_s: float = LONGEST_S) -> Cassette:
    """Read the cassette of a session folder that lasted until `until_s`.

    Whatever cannot be read is left out and counted. Raises UsageError where there is none, or one of a later format.
    """
    place = folder / FOLDER
    if place.is_symlink():
        raise UsageError(f"{place} is a link, which may lead anywhere", "put the cassette itself there")
    try:
        with open_regular(place / ROWS) as rows, open_regular(place / DATA) as data:
            return _Reading(place, data, until_s + LATE_S).read(rows)
    except (FileNotFoundError, NotADirectoryError):
        reason = f"{folder} has no cassette: it was recorded by an earlier workbench, or without one"
        raise UsageError(reason, "it can be replayed and compared; record again to run it again") from None
    except OSError as error:
        raise UsageError(f"{place}: {error.strerror or error}", "give the folder of a session") from error


class _Reading:
    def __init__(self, place: Path, data: BinaryIO, until_s: float) -> None:
        self._place = place
        self._until_s = until_s
        self._data = data
        self._rows: list[Row] = []
        self._calls: dict[int, RecordedCall] = {}
        self._numbers: dict[str, list[NDArray[Any]]] = {"frames": [], "pulls": [], "probabilities": []}
        self._end_s = 0.0

    def read(self, file: BinaryIO) -> Cassette:
        damaged, version = 0, None
        for _, line in lines_from(file, 0):
            row = parsed_row(line)
            if row is not None and row["row"] == "cassette" and version is None:
                version = row["v"]
                if version > VERSION:
                    reason = f"{self._place} was recorded by a later workbench"
                    raise UsageError(reason, "install that version, or a later one")
            elif row is None or not 0 <= row["t"] <= self._until_s or not self._take(row):
                damaged += 1
            else:
                self._end_s = max(self._end_s, row["t"])
        if version is None:
            raise UsageError(f"{self._place} is damaged: {ROWS} does not begin as it should", "record again")
        kinds = zip(self._numbers.values(), (FRAMES, PULLS, PROBABILITIES), strict=True)
        frames, pulls, windows = (
            np.concatenate(parts) if parts else np.empty(0, kind) for parts, kind in kinds
        )
        calls = tuple(self._calls.values())
        return Cassette(self._place, tuple(self._rows), calls, frames, pulls, windows, self._end_s, damaged)

    def _take(self, row: Row) -> bool:
        """Take a row; return whether it makes sense where it stands."""
        match row["row"]:
            case "call":
                number = row["call"]
                if number in self._calls:
                    return False
                words = row["stage"], row["item"], row["key"], str(row.get("outline", "")), row["asks"]
                self._calls[number] = RecordedCall(number, *words, row["t"], row.get("i", 0))
            case "piece" | "end":
                call = self._calls.get(row["call"])
                if call is None or call.end is not None:
                    return False
                if row["row"] == "piece":
                    call.pieces.append(row)
                else:
                    call.end = row
            case "numbers":
                return self._take_numbers(row)
            case _:
                self._rows.append(row)
        return True

    def _take_numbers(self, row: Row) -> bool:
        place = _place(row)
        counts = [row["frames"], row["pulls"], row["probabilities"]]
        sizes = [FRAMES.itemsize, PULLS.itemsize, PROBABILITIES.itemsize]
        total = sum(count * size for count, size in zip(counts, sizes, strict=True))
        if place is None or min(counts) < 0 or total != place[1]:
            return False
        data = _read(self._data, *place)
        if len(data) != total:
            return False
        at = 0
        for name, kind, count in zip(self._numbers, (FRAMES, PULLS, PROBABILITIES), counts, strict=True):
            part = np.frombuffer(data, kind, count, at)
            at += count * kind.itemsize
            if kind is not PROBABILITIES and not self._is_possible(part):
                return False
            self._numbers[name].append(part)
        return True

    def _is_possible(self, part: NDArray[Any]) -> bool:
        """Whether frames or pulls are within the session, so that nobody waits or makes room for more."""
        names, most = part.dtype.names or (), self._until_s
        if not all(np.isfinite(part[name]).all() for name in names):
            return False
        times, counts = part["t"], part["count"]
        rate = INPUT_RATE if "position" in names else OUTPUT_RATE
        ends = part["position"] + counts if "position" in names else counts
        known = (times >= 0) & (times <= most) & (counts > 0) & (ends <= rate * most) & (ends >= counts)
        return bool(known.all())


def parsed_row(line: bytes) -> Row | None:
    """Return the row of a line, None for what is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not isinstance(row.get("row"), str):
        return None
    t, shape = row.get("t"), SHAPES.get(row["row"])
    if not isinstance(t, int | float) or not -LONGEST_S <= t <= 2 * LONGEST_S or shape is None:
        return None  # NaN, too
    if not isinstance(row.get("i", 0), int):
        return None
    fits = all(isinstance(row.get(name), kind) for name, kind in shape.items())
    return row if fits else None


def _place(row: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return offset and length of a row's data."""
    match row.get("data"):
        case [int(offset), int(length)] if 0 <= offset < 1 << 50 and 0 < length < 1 << 31:
            return offset, length
        case _:
            return None


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(0, os.SEEK_END)
    if offset + length > file.tell():
        return b""
    file.seek(offset)
    return file.read(length)
