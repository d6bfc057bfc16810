"""What is put into a cassette comes out of it, as far as its files go, and whatever is in them."""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.model.errors import BusyError, StageError, UsageError
from workbench.trace.cassette import (
    SHAPES,
    Cassette,
    CassetteFile,
    CassetteLog,
    open_cassette,
    request_key,
)
from workbench.trace.recorded_errors import error_row, recorded_error

SOUND = np.arange(-600, 600, dtype=np.int16)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def recorded(folder: Path) -> Path:
    """Write a cassette with each kind of thing in it, in several jobs."""
    ticks = itertools.count()
    log = CassetteLog(lambda: next(ticks) / 8)
    file = CassetteFile(folder)
    for number in range(1, 4):
        log.put("call", call=log.call(), stage="tts", item="a", key=f"key {number}", asks="hello")
        log.put_input("piece", SOUND, call=number, words=[["hello", 0.0, 1.5]])
        log.frames.append((log.now(), 0.5, 320 * number, 320, log.counted()))
        log.pulls.append((log.now(), 0.25, 480, 0, number, log.counted()))
        log.probabilities.extend([0.1, 0.9])
        file.write(log)
        log.put_input("end", call=number, how="done")
    log.put("verb", verb="type", arguments={"text": "naïve ✓"})
    file.write(log)
    file.close()
    return folder


def test_what_was_recorded_is_read(tmp_path: Path) -> None:
    cassette = open_cassette(recorded(tmp_path))
    assert [call.key for call in cassette.calls] == ["key 1", "key 2", "key 3"]
    assert not any(call.cut for call in cassette.calls)
    assert np.array_equal(np.frombuffer(cassette.data(cassette.calls[1].pieces[0]), "<i2"), SOUND)
    assert cassette.frames["position"].tolist() == [320, 640, 960]
    assert cassette.pulls["wakes"].tolist() == [1, 2, 3]
    assert cassette.probabilities.tolist() == [0.1, 0.9] * 3
    assert [row["arguments"]["text"] for row in cassette.of("verb")] == ["naïve ✓"]
    assert cassette.damaged == 0


def test_a_folder_without_a_cassette_says_that_it_is_older(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no cassette: it was recorded by an earlier workbench"):
        open_cassette(tmp_path)


def test_one_of_a_later_format_says_so(tmp_path: Path) -> None:
    recorded(tmp_path)
    rows = tmp_path / "cassette" / "rows.jsonl"
    rows.write_text(rows.read_text().replace('"v":1', '"v":2', 1))
    with pytest.raises(UsageError, match="later workbench"):
        open_cassette(tmp_path)


def _is_beginning(part: Cassette, whole: Cassette) -> bool:
    pieces = [row for call in part.calls for row in call.pieces]
    return (
        part.frames.tolist() == whole.frames[: len(part.frames)].tolist()
        and [call.key for call in part.calls] == [call.key for call in whole.calls[: len(part.calls)]]
        and list(part.rows) == list(whole.rows[: len(part.rows)])
        and all(len(part.data(row)) in (0, 2 * len(SOUND)) for row in pieces)
    )


@pytest.mark.parametrize("name", ["rows.jsonl", "data.bin"])
def test_one_that_is_cut_off_anywhere_is_read_up_to_there(name: str, tmp_path: Path) -> None:
    whole = open_cassette(recorded(tmp_path))
    file = tmp_path / "cassette" / name
    content = file.read_bytes()
    first = content.index(b"}") if name == "rows.jsonl" else -1
    for length in range(len(content), -1, -7 if name == "rows.jsonl" else -97):
        file.write_bytes(content[:length])
        if length <= first:
            with pytest.raises(UsageError, match="does not begin as it should"):
                open_cassette(tmp_path)
        else:
            assert _is_beginning(open_cassette(tmp_path), whole)


ROWS = st.one_of(
    JSON,
    st.builds(
        lambda kind, t, fields: {"row": kind, "t": t, **fields},
        st.sampled_from([*SHAPES, "else"]),
        st.floats() | st.integers() | st.sampled_from([10**400, -(10**400)]) | st.booleans() | st.none(),
        st.dictionaries(
            st.sampled_from(sorted({name for shape in SHAPES.values() for name in shape} | {"i", "how"})),
            st.sampled_from([1, -1, 2**70, 0.5, "tts", [], [0, 144], [0, 2**40], {}, None, True]),
            max_size=6,
        ),
    ),
)


@given(st.lists(ROWS, max_size=12))
def test_whatever_the_rows_are_what_makes_no_sense_is_left_out(rows: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as place:
        recorded(Path(place))
        with (Path(place) / "cassette" / "rows.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(row)}\n" for row in rows)
        cassette = open_cassette(Path(place))
        assert [call.key for call in cassette.calls][:3] == ["key 1", "key 2", "key 3"]
        for row in cassette.rows:
            cassette.data(row)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_cassette_are_an_error_of_the_user(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "cassette"
        folder.mkdir()
        (folder / "rows.jsonl").write_bytes(content)
        (folder / "data.bin").write_bytes(content)
        with pytest.raises(UsageError, match="does not begin as it should"):
            open_cassette(Path(place))


def test_errors_come_back_as_they_were() -> None:
    busy = BusyError("later", "wait", stage="llm", retry_after=1.5)
    busy.loading = True
    again = recorded_error(json.loads(json.dumps(error_row(busy))))
    assert isinstance(again, BusyError)
    assert (again.reason, again.hint, again.stage, again.retry_after, again.loading) == (
        "later",
        "wait",
        "llm",
        1.5,
        True,
    )
    strange = recorded_error(error_row(ZeroDivisionError("no")))
    assert (type(strange).__name__, str(strange)) == ("ZeroDivisionError", "no")
    assert not isinstance(strange, StageError)


def test_keys_in_errors_of_servers_are_not_recorded() -> None:
    assert "sk-abcdefghijklmnopqrstuvwx" not in json.dumps(
        error_row(StageError("Incorrect API key provided: sk-abcdefghijklmnopqrstuvwx"))
    )


def test_a_request_is_found_by_all_that_it_says() -> None:
    assert request_key("llm", [1, {"a": 2, "b": 3}]) == request_key("llm", [1, {"b": 3, "a": 2}])
    assert request_key("llm", [1]) != request_key("llm", ["1"])


def test_a_log_that_nobody_writes_does_not_grow() -> None:
    log = CassetteLog(lambda: 0.0)
    log.put("verb", verb="say", arguments={})
    log.close()
    log.put("verb", verb="say", arguments={})
    assert list(log.take_rows()) == []
