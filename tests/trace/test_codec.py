"""Lines and entries: both ways, and what is forgiven."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.document_events import document
from workbench.model.events import (
    EVENT_TYPES,
    Entry,
    HostLag,
    Levels,
    ListeningStarted,
    Notice,
    SettingChanged,
    VadBatch,
)
from workbench.plugin.values import Secret
from workbench.trace.codec import decode, encode

NUMBERS = st.floats(-(2.0**40), 2.0**40, width=32).map(lambda number: round(number, 3))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | NUMBERS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**40), 2**40),
    str: st.text(st.characters(), max_size=20),
    bool: st.booleans(),
    float: NUMBERS,
    Any: JSON,
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) in (Union, UnionType):
        return st.one_of(*(st.none() if kind is NoneType else values(kind) for kind in get_args(hint)))
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=5).map(tuple)
    if get_origin(hint) is dict:
        return st.dictionaries(st.text(), values(get_args(hint)[1]), max_size=3)
    return PLAIN[hint]


def events(kind: type[Any]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{name: values(hint) for name, hint in get_type_hints(kind).items()})


ENTRIES = st.builds(
    Entry, st.integers(0, 2**40), NUMBERS, st.sampled_from(list(EVENT_TYPES.values())).flatmap(events)
)


@settings(deadline=None, derandomize=True, max_examples=400)
@given(ENTRIES)
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    line = encode(entry)
    assert line.isascii()
    assert "\n" not in line
    assert list(json.loads(line))[:5] == ["v", "i", "t_ms", "type", "turn"]
    assert decode(line) == entry
    assert decode(line.encode()) == entry


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_every_type_can_be_written_with_nan(kind: Any) -> None:
    hints = get_type_hints(kind)
    broken = {float: math.inf, tuple[float, ...]: (math.nan, -math.inf), dict[str, float]: {"x": math.nan}}
    made = kind(
        **{field.name: broken.get(hints[field.name], _some(hints[field.name])) for field in fields(kind)}
    )
    line = encode(Entry(0, math.nan, made))
    assert "NaN" not in line
    assert "Infinity" not in line
    assert json.loads(line)["turn"] == getattr(made, "turn", None)
    assert decode(line) is not None


def _some(hint: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        return None
    if get_origin(hint) is Literal:
        return get_args(hint)[0]
    return {int: 1, str: "", bool: False, Any: math.nan}.get(hint, {})


def test_turn_is_always_there() -> None:
    line = encode(Entry(3, 12.34567, ListeningStarted()))
    assert line == '{"v":1,"i":3,"t_ms":12.346,"type":"listening_started","turn":null}'


def test_nan_comes_back_as_a_number() -> None:
    """Whoever draws or adds it up would break on it, and the rest of the event is right."""
    assert decode(encode(Entry(0, math.nan, HostLag(math.inf, 2.0)))) == Entry(0, 0.0, HostLag(0.0, 2.0))


@pytest.mark.parametrize("number", ["1e308", "1" * 400, "-1e15", "NaN", "Infinity", str(10**15)])
def test_numbers_that_nothing_is_as_large_as_are_damage(number: str) -> None:
    line = encode(Entry(1, 3.0, Levels("user", 5, -9.0, -7.0)))
    for name in ('"t_ms":3.0', '"upto_sample":5', '"rms_db":-9.0', '"i":1'):
        field = name.split(":", maxsplit=1)[0]
        assert decode(line.replace(name, f"{field}:{number}")) is None, field


def test_foreign_values_are_written_as_their_repr() -> None:
    value = {"key": Secret("hunter2"), 3: {1.23456789}, "n": np.int64(4), "t": (math.inf, None, True)}
    line = encode(Entry(0, 0.0, SettingChanged("llm.key", value)))
    assert "hunter2" not in line
    assert json.loads(line)["value"] == {
        "key": "Secret(…)",
        "3": [1.23456789],
        "n": 4,
        "t": [None, None, True],
    }


def test_numbers_of_numpy_and_words_for_numbers_do_not_break_a_line() -> None:
    batch = VadBatch(0, 512, (np.float32(0.25), np.float64(0.5)))  # type: ignore[arg-type]
    assert json.loads(encode(Entry(0, 0.0, batch)))["probabilities"] == [0.25, 0.5]
    levels = Levels("user", 0, "loud", -1)  # type: ignore[arg-type]
    assert json.loads(encode(Entry(0, 0.0, levels)))["rms_db"] is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\x00\x00\x00",
        '{"v":1,"i":0,"t_ms":1.0,"type":"bookmarked","turn":null,"lab',
        "[]",
        "17",
        "null",
        "[" * 100_000,
        '{"v":1}',
        '{"i":0,"t_ms":1,"type":"telepathy","turn":null}',
        '{"i":0,"t_ms":1,"type":["bookmarked"],"label":"x"}',
        '{"i":-1,"t_ms":1,"type":"bookmarked","label":"x"}',
        '{"i":true,"t_ms":1,"type":"bookmarked","label":"x"}',
        '{"i":0,"t_ms":"1","type":"bookmarked","label":"x"}',
        '{"i":0,"t_ms":1' + "0" * 400 + ',"type":"bookmarked","label":"x"}',
        '{"i":0,"t_ms":1,"type":"bookmarked"}',
        '{"i":0,"t_ms":1,"type":"bookmarked","label":7}',
        '{"i":0,"t_ms":1,"type":"muted","muted":1}',
        '{"i":0,"t_ms":1,"type":"glitch","track":"bass","at_sample":0,"lost_samples":1}',
        '{"i":0,"t_ms":1,"type":"vad_batch","start_sample":0,"window":1,"probabilities":0.5}',
        b'\xff\xfe{"i":0}',
    ],
)
def test_a_line_that_holds_no_known_entry_is_none(line: str | bytes) -> None:
    assert decode(line) is None


def test_unknown_fields_are_ignored_and_missing_ones_take_their_default() -> None:
    later = '{"v":9,"i":0,"t_ms":1,"type":"notice","turn":null,"level":"info","owner":"a","reason":"b","colour":"red"}'
    assert decode(later) == Entry(0, 1.0, Notice("info", "a", "b"))


def test_the_documentation_is_up_to_date() -> None:
    written = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
    assert written == document(), "run `python -m scripts.document_events > docs/events.md`"
    assert all(f"## {name}\n" in written for name in EVENT_TYPES)
