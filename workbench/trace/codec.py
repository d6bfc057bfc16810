"""Entries as lines of JSON, and back.

    {"v":1,"i":17,"t_ms":1234.5,"type":"turn_decided","turn":2,"utterance":3,…}

`turn` is always there, null where the event has none. Floats are rounded to 3 decimals (values in objects, such as
prices, to 6); what JSON has no number for becomes null. A line is ASCII, so that neither a torn character nor an escape
sequence can come out of a recording that is merely printed.

Reading is forgiving: fields that are not known are ignored, fields that are missing take their default, and a line that
is torn, of an unknown type or of the wrong shape is no entry (None).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from workbench.model.events import EVENT_TYPES, Entry, type_name

VERSION = 1
DECIMALS = 3
"""Of every float: a microsecond where it is a time in ms."""
OBJECT_DECIMALS = 9
"""Of floats in objects, which may be prices."""
LARGEST = 10**15
"""A number from which on it is damage: as ms, 30,000 years; as samples, a thousand."""

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one type of event is written and read."""

    type: str
    names: tuple[str, ...]
    writers: tuple[tuple[str, Convert], ...]
    """Only of the fields that need more than JSON's own way."""
    readers: tuple[tuple[str, Convert], ...]


def encode(entry: Entry) -> str:
    """Return the entry as one line, without its line break."""
    event = entry.event
    shape = _shape(type(event))
    line: dict[str, Any] = {
        "v": VERSION,
        "i": entry.i,
        "t_ms": _write_float(entry.t_ms),
        "type": shape.type,
        "turn": None,
    }
    for name in shape.names:
        line[name] = getattr(event, name)
    for name, write in shape.writers:
        line[name] = write(line[name])
    return _dumps(line)


def decode(line: str | bytes) -> Entry | None:
    """Return the entry of a line, None if it holds none that is known here."""
    try:
        content = json.loads(line)
        kind = EVENT_TYPES[content["type"]]
        i, t_ms = content["i"], content["t_ms"]
        if _read_int(i) < 0:
            return None
        values = {name: read(content[name]) for name, read in _shape(kind).readers if name in content}
        return Entry(i, _read_float(t_ms), kind(**values))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


_shapes: dict[type[Any], _Shape] = {}


def _shape(kind: type[Any]) -> _Shape:
    """Return the shape of a type of event; made once, as type hints cost 100 µs to resolve."""
    if kind not in _shapes:
        _shapes[kind] = _make_shape(kind)
    return _shapes[kind]


def _make_shape(kind: type[Any]) -> _Shape:
    hints = get_type_hints(kind)
    names = tuple(field.name for field in fields(kind))
    writers = ((name, _writer(hints[name])) for name in names)
    return _Shape(
        type_name(kind),
        names,
        tuple((name, write) for name, write in writers if write is not None),
        tuple((name, _reader(hints[name])) for name in names),
    )


# --- writing ---------------------------------------------------------------------------------------------------------


def _writer(hint: Any) -> Convert | None:
    inner = without_none(hint)
    if inner is float:
        return _write_float
    if get_origin(inner) is tuple:
        write = _writer(get_args(inner)[0])
        return list if write is None else lambda values: [write(value) for value in values]
    return plain if inner is Any or get_origin(inner) is dict else None


def _write_float(value: float | None) -> float | None:
    try:
        # x − x is 0 for every finite x, and quicker than math.isfinite
        return round(value, DECIMALS) if value - value == 0 else None  # type: ignore[operator, arg-type]
    except TypeError:  # None, or what a stranger's provider took for a number
        return None


def plain(value: Any) -> Any:
    """Return what JSON can hold of a value: sequences as lists, keys as text, foreign objects (a `Secret`) as repr."""
    if isinstance(value, float):
        return round(value, OBJECT_DECIMALS) if math.isfinite(value) else None
    if isinstance(value, str | int | NoneType):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return _foreign(value)


def _foreign(value: Any) -> Any:
    """Return numpy's numbers as Python's, everything else as text."""
    number = getattr(value, "item", None)
    return number() if callable(number) and getattr(value, "shape", None) == () else repr(value)


_dumps = json.JSONEncoder(
    separators=(",", ":"), allow_nan=False, check_circular=False, default=_foreign
).encode


# --- reading ---------------------------------------------------------------------------------------------------------


def _reader(hint: Any) -> Convert:
    inner = without_none(hint)
    read = _reader_of(inner)
    if inner is hint:
        return read
    return lambda value: None if value is None else read(value)


def _reader_of(hint: Any) -> Convert:
    if hint is float:
        return _read_float
    if hint is int:
        return _read_int
    if hint is Any:
        return lambda value: value
    if get_origin(hint) is Literal:
        return _literal(frozenset(get_args(hint)))
    if get_origin(hint) is tuple:
        read = _reader_of(get_args(hint)[0])
        return lambda values: tuple(read(value) for value in _exactly(list)(values))
    if get_origin(hint) is dict:
        item = _reader(get_args(hint)[1])
        return lambda values: {key: item(value) for key, value in _exactly(dict)(values).items()}
    return _exactly(hint)


def _exactly(kind: type[Any]) -> Convert:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(value)
        return value

    return read


def _literal(choices: frozenset[Any]) -> Convert:
    def read(value: Any) -> Any:
        if value not in choices:
            raise ValueError(value)
        return value

    return read


def _read_float(value: Any) -> float:
    """Return a float; null, as which NaN was written, is 0: whoever draws or adds it needs a number."""
    if value is None:
        return 0.0
    if type(value) not in (float, int) or not -LARGEST < value < LARGEST:
        raise ValueError(value)
    return float(value)


def _read_int(value: Any) -> int:
    if type(value) is not int or not -LARGEST < value < LARGEST:
        raise ValueError(value)
    return value


def without_none(hint: Any) -> Any:
    """Return `float` for `float | None`; the hint itself where there is no None."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    (inner,) = (kind for kind in get_args(hint) if kind is not NoneType)
    return inner
