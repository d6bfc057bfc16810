"""Entries as lines of JSON, and back.

    {"v":1,"i":17,"t_ms":1234.5,"type":"turn_decided","turn":2,"utterance":3,…}

`turn` is always there, null where the event has none. Floats are rounded to 3 decimals (values in objects, such as
prices, to 6); what JSON has no number for becomes null. A line is ASCII, so that neither a torn character nor an escape
sequence can come out of a recording that is merely printed.

Reading is forgiving: fields that are not known are ignored, fields that are missing take their default, and a line that
is torn, of an unknown type or of the wrong shape is no entry (None). What does come out has the types that
`model/events` declares. `python -m workbench.trace.codec` writes `docs/events.md`.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from workbench.model.events import EVENT_TYPES, Entry, Event, type_name

VERSION = 1
DECIMALS = 3
"""Of every float: a microsecond where it is a time in ms."""
OBJECT_DECIMALS = 6
"""Of floats in objects, which may be prices."""

Convert = Callable[[Any], Any]


class _Misfit(ValueError):
    """A value in a line that is not of the declared type."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one type of event is written and read. Made once a type: type hints cost 100 µs to resolve."""

    kind: type[Any]
    type: str
    names: tuple[str, ...]
    values: Callable[[Any], tuple[Any, ...]]
    writers: tuple[tuple[str, Convert], ...]
    """Only of the fields that need more than JSON's own way."""
    readers: tuple[tuple[str, Convert], ...]
    required: frozenset[str]


def encode(entry: Entry) -> str:
    """The entry as one line, without its line break."""
    event = entry.event
    shape = _shape(type(event))
    line: dict[str, Any] = {
        "v": VERSION,
        "i": entry.i,
        "t_ms": _write_float(entry.t_ms),
        "type": shape.type,
        "turn": None,
    }
    line.update(zip(shape.names, shape.values(event), strict=True))
    for name, write in shape.writers:
        line[name] = write(line[name])
    return _dumps(line)


def decode(line: str | bytes) -> Entry | None:
    """The entry of a line, None if it holds none that is known here."""
    try:
        found = json.loads(line)
        shape = _shape(EVENT_TYPES[found["type"]])
        i, t_ms = found["i"], found["t_ms"]
        if type(i) is not int or i < 0:
            return None
        return Entry(i, _read_float(t_ms), _read(shape, found))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _read(shape: _Shape, found: Mapping[str, Any]) -> Event:
    values = {}
    for name, read in shape.readers:
        if name in found:
            values[name] = read(found[name])
        elif name in shape.required:
            raise _Misfit(name)
    return shape.kind(**values)  # type: ignore[no-any-return]


_SHAPES: dict[type[Any], _Shape] = {}


def _shape(kind: type[Any]) -> _Shape:
    shape = _SHAPES.get(kind)
    if shape is None:
        shape = _SHAPES[kind] = _make_shape(kind)
    return shape


def _make_shape(kind: type[Any]) -> _Shape:
    hints = get_type_hints(kind)
    names = tuple(field.name for field in fields(kind))
    writers = ((name, _writer(hints[name])) for name in names)
    return _Shape(
        kind,
        type_name(kind),
        names,
        _getter(names),
        tuple((name, write) for name, write in writers if write is not None),
        tuple((name, _reader(hints[name])) for name in names),
        frozenset(field.name for field in fields(kind) if _is_required(field)),
    )


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda event: tuple(getattr(event, name) for name in names)


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


# --- writing ---------------------------------------------------------------------------------------------------------


def _writer(hint: Any) -> Convert | None:
    inner = _without_none(hint)
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
    """What JSON can hold of a value: sequences as lists, keys as text, anything foreign (a `Secret`) as its repr."""
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
    """Numbers of numpy's as our own, everything else as text."""
    number = getattr(value, "item", None)
    return number() if callable(number) and getattr(value, "shape", None) == () else repr(value)


_dumps = json.JSONEncoder(
    separators=(",", ":"), allow_nan=False, check_circular=False, default=_foreign
).encode


# --- reading ---------------------------------------------------------------------------------------------------------


def _reader(hint: Any) -> Convert:
    inner = _without_none(hint)
    read = _reader_of(inner)
    if inner is hint:
        return read
    return lambda value: None if value is None else read(value)


def _reader_of(hint: Any) -> Convert:
    if hint is float:
        return _read_float
    if hint is Any:
        return lambda value: value
    if get_origin(hint) is Literal:
        return _one_of(frozenset(get_args(hint)))
    if get_origin(hint) is tuple:
        read = _reader_of(get_args(hint)[0])
        return lambda values: tuple(read(value) for value in _of(list)(values))
    if get_origin(hint) is dict:
        item = _reader_of(get_args(hint)[1])
        return lambda values: {key: item(value) for key, value in _of(dict)(values).items()}
    return _of(hint)


def _of(kind: type[Any]) -> Convert:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise _Misfit(value)
        return value

    return read


def _one_of(known: frozenset[Any]) -> Convert:
    def read(value: Any) -> Any:
        if value not in known:
            raise _Misfit(value)
        return value

    return read


def _read_float(value: Any) -> float:
    """A number; null, which is what not-a-number was written as, is one again."""
    if value is None:
        return math.nan
    if type(value) not in (float, int):
        raise _Misfit(value)
    try:
        return float(value)
    except OverflowError as error:
        raise _Misfit(value) from error


def _without_none(hint: Any) -> Any:
    """`float` for `float | None`; the hint itself where there is no None."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    (inner,) = (kind for kind in get_args(hint) if kind is not NoneType)
    return inner


# --- docs ------------------------------------------------------------------------------------------------------------

_HEAD = """\
# Events

Generated by `python -m workbench.trace.codec > docs/events.md`.

Everything that a session says about itself is one line of JSON in `events.jsonl`:

    {head}

`v` is the version of this format, `i` counts the events from 0, `t_ms` is the session's clock in ms, and `turn` is
always there (null where the event belongs to none). Positions in sound are `…_sample`, counted from the first sample of
the track that is named. Readers ignore types and fields that they do not know. {count} types:
"""


def document() -> str:
    """`docs/events.md`: every type with what it says, its fields, their types and defaults."""
    example = encode(Entry(17, 1234.5, EVENT_TYPES["reply_playing"](reply=4, turn=2, at_sample=24480)))
    parts = [_HEAD.format(head=example, count=len(EVENT_TYPES))]
    parts += [_document_type(name, kind) for name, kind in EVENT_TYPES.items()]
    return "\n".join(parts)


def _document_type(name: str, kind: type[Any]) -> str:
    lines = [f"## {name}", "", " ".join((kind.__doc__ or "").split()), ""]
    if fields(kind):
        hints = get_type_hints(kind)
        lines += ["| field | type | default |", "|---|---|---|"]
        lines += [
            f"| `{f.name}` | {_document_hint(hints[f.name])} | {_document_default(f)} |" for f in fields(kind)
        ]
        lines.append("")
    return "\n".join(lines)


def _document_hint(hint: Any) -> str:
    inner = _without_none(hint)
    if inner is not hint:
        return f"{_document_hint(inner)} or null"
    if get_origin(hint) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(hint))
    if get_origin(hint) is tuple:
        return f"list of {_document_hint(get_args(hint)[0])}"
    if get_origin(hint) is dict:
        return f"object of {_document_hint(get_args(hint)[1])}"
    names = {float: "number", int: "integer", str: "text", bool: "true or false", Any: "any"}
    return names[hint]


def _document_default(field: Field[Any]) -> str:
    if field.default_factory is not MISSING:
        return f"`{json.dumps(field.default_factory())}`"
    return "" if field.default is MISSING else f"`{json.dumps(field.default)}`"


if __name__ == "__main__":
    sys.stdout.write(document())
