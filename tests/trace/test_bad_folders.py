"""Session folders that are damaged in every way: what can be shown is shown, nothing is changed, nobody hangs."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.model.errors import UsageError
from workbench.model.events import (
    Bookmarked,
    ClockMapped,
    Entry,
    Event,
    Heard,
    Levels,
    ReplyEnded,
    ReplyPlaying,
    ReplyStarted,
    ReplyText,
    SpeechPaused,
    SpeechStarted,
    Transcribed,
    TurnDecided,
    TurnEnded,
)
from workbench.readers import entries, notable
from workbench.readers.pairs import SessionFigures, pair_turns
from workbench.trace.codec import encode
from workbench.trace.files import hold
from workbench.trace.pruning import being_written
from workbench.trace.store import About, SessionFolder, sessions
from workbench.trace.wav import wav_header
from workbench.views.trace import OpenTrace, open_trace

EVENTS: list[Event] = [
    ClockMapped("user", 0, 0.0, 16_000.0),
    SpeechStarted(1, 800),
    Levels("user", 1600, -20.0, -12.0),
    Transcribed(1, "hello", True, 1600),
    SpeechPaused(1, 1600),
    TurnDecided(1, 1, False, 1600),
    ReplyStarted(1, 1, 1, "hello", False),
    ReplyText(1, 1, "Hi.", "Hi."),
    ReplyPlaying(1, 1, 2400),
    Heard(1, 1600, 100.0, 2400, 150.0),
    ReplyEnded(1, 1, "done", "Hi.", "", 4800),
    TurnEnded(1, "done", "hello", "Hi."),
]


def one_turn(path: Path) -> Path:
    folder = SessionFolder.create(About(session="cafe0001", date="2025-01-02T03:04:05Z", versions={}), path)
    lines = (encode(Entry(i, i * 10.0, event)) + "\n" for i, event in enumerate(EVENTS))
    folder.events.write_text("".join(lines), "ascii")
    for track, rate in (("user", 16_000), ("agent", 24_000)):
        (path / f"{track}.wav").write_bytes(wav_header(rate, 40) + b"\x05\x00" * 40)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return one_turn(tmp_path / "all" / "session")


def tree_hash(folder: Path) -> str:
    """A hash of all that can be changed in a folder."""
    total = hashlib.sha256()
    for place, names, files in os.walk(folder):
        for path in sorted(Path(place, name) for name in names + files):
            about = path.lstat()
            total.update(f"{path} {about.st_mode} {about.st_size} {about.st_mtime_ns}".encode())
            if path.is_file() and not path.is_symlink():
                total.update(path.read_bytes())
    return total.hexdigest()


def shown(folder: Path) -> OpenTrace:
    """Read a folder in every way that commands and screens do. Raises UsageError where it cannot be read."""
    trace = open_trace(folder)
    assert len(list(entries(trace))) >= len(list(notable(trace)))
    assert "</table>" in trace._repr_html_() or not trace.turns
    if trace.tracks:
        for turn in trace.turns:
            assert len(trace.audio(turn=turn.turn)) < 10_000_000
        trace.audio()
    figures = SessionFigures(entries(trace))
    assert list(pair_turns(figures.turns, figures.turns)) or not figures.turns
    figures.figures()
    return trace


def problem_of(folder: Path) -> str:
    """Return why a folder cannot be read, with what to do; empty where it can."""
    try:
        shown(folder)
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ["session.json", "events.jsonl", "user.wav"])
def test_a_folder_cut_at_any_byte_shows_what_is_left(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    for size in reversed(range(len(content))):
        os.truncate(folder / name, size)
        if name == "session.json":
            with pytest.raises(UsageError, match=r"session\.json is damaged") as raised:
                open_trace(folder)
            assert raised.value.hint
            continue
        trace = open_trace(folder)
        lines = content[:size].count(b"\n") if name == "events.jsonl" else len(EVENTS)
        assert len(list(entries(trace))) in (lines, lines + 1)  # the last may be whole but for its line break
        assert len(trace.turns) == (trace.end == len(EVENTS))
        if size % 100 == 0:
            shown(folder)


NUMBERS: list[Any] = [
    None,
    -1,
    0,
    2**31,
    2**63,
    2**200,
    -(2**70),
    1e308,
    -1e14,
    10**14,
    float("nan"),
    float("inf"),
]
VALUES: list[Any] = [
    *NUMBERS,
    True,
    "",
    "\x1b[31m",
    "\ud800",
    [],
    {},
    [1],
    {"a": 1},
    [None],
    "../../etc/passwd",
]


def changed_fields(lines: list[str], choose: random.Random) -> Iterator[str]:
    """The same value in the same field of every event of a type, or of one."""
    event = json.loads(choose.choice(lines))
    once, value = choose.random() < 0.5, choose.choice(VALUES)
    kind, name = event["type"], choose.choice([*event])
    for line in lines:
        content = json.loads(line)
        if content["type"] == kind and (not once or choose.random() < 0.7):
            content[name] = value
        yield json.dumps(content)


def shuffled(lines: list[str], choose: random.Random) -> list[str]:
    return choose.sample(lines, len(lines))


def shuffled_and_counted(lines: list[str], choose: random.Random) -> Iterator[str]:
    """Out of order, and the indices say otherwise."""
    for i, line in enumerate(shuffled(lines, choose)):
        yield json.dumps(json.loads(line) | {"i": i})


def missing(lines: list[str], choose: random.Random) -> list[str]:
    return [line for line in lines if choose.random() < 0.6]


def doubled(lines: list[str], choose: random.Random) -> list[str]:
    return [line for line in lines for _ in range(1 + (choose.random() < 0.4))]


def scratched(lines: list[str], choose: random.Random) -> Iterator[str]:
    for line in lines:
        at = choose.randrange(len(line))
        yield line[:at] + choose.choice('\x00"{}[]\xff9') + line[at + 1 :] if choose.random() < 0.4 else line


Damage = Callable[[list[str], random.Random], Any]
DAMAGES: list[Damage] = [changed_fields, shuffled, shuffled_and_counted, missing, doubled, scratched]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(DAMAGES), min_size=1, max_size=2), st.randoms(use_true_random=False))
def test_events_that_make_no_sense_stop_nobody(
    folder: Path, damages: list[Damage], choose: random.Random
) -> None:
    lines = [encode(Entry(i, i * 10.0, event)) for i, event in enumerate(EVENTS)]
    for damage in damages:
        if damage is scratched or all(line.startswith("{") for line in lines):
            lines = list(damage(lines, choose)) if lines and damage is not scratched else lines
    if scratched in damages:
        lines = list(scratched(lines, choose))
    (folder / "events.jsonl").write_bytes("\n".join([*lines, ""]).encode("latin-1", "replace"))
    before = tree_hash(folder)
    shown(folder)
    list(sessions(folder.parent, search="hello"))
    assert tree_hash(folder) == before


def test_a_line_out_of_order_hides_no_other(folder: Path) -> None:
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    lines.insert(3, encode(Entry(900_000, 5.0, Bookmarked("from nowhere"))) + "\n")
    lines.insert(3, encode(Entry(10**14, 5.0, Bookmarked("from nowhere"))) + "\n")
    (folder / "events.jsonl").write_text("".join(lines))
    assert [entry.i for entry in entries(open_trace(folder))] == list(range(len(EVENTS)))


def test_a_last_line_with_a_wrong_index_or_time_does_not_make_the_session_endless(folder: Path) -> None:
    with (folder / "events.jsonl").open("a") as file:
        file.write(encode(Entry(10**14, 20.0, Bookmarked("index"))) + "\n")
        file.write(encode(Entry(len(EVENTS), 1e14, Bookmarked("time"))) + "\n")
    trace = shown(folder)
    assert (trace.end, trace.end_ms < 4e6) == (len(EVENTS) + 1, True)


@pytest.mark.parametrize("name", ["session.json", "events.jsonl", "user.wav", "agent.wav"])
@pytest.mark.parametrize("kind", ["missing", "fifo", "device", "link out", "loop", "folder", "empty"])
def test_a_file_that_is_none_is_left_out_or_named(folder: Path, tmp_path: Path, name: str, kind: str) -> None:
    file = folder / name
    moved = file.rename(tmp_path / "elsewhere")
    match kind:
        case "fifo":
            os.mkfifo(file)
        case "device":
            file.symlink_to("/dev/zero")
        case "link out":
            file.symlink_to(moved)
        case "loop":
            file.symlink_to(file)
        case "folder":
            file.mkdir()
        case "empty":
            file.touch()
    before = tree_hash(folder)
    if problem := problem_of(folder):
        assert name in problem
        assert " – " in problem  # and what to do
        assert not name.endswith(".wav")
    else:
        trace = open_trace(folder)
        assert name != "session.json"
        assert len(trace.turns) == (name != "events.jsonl")
        assert kind == "empty" or name.removesuffix(".wav") not in trace.tracks
    (info,) = sessions(folder.parent)
    assert (info.problem is None) == (
        name.endswith(".wav") or (name == "events.jsonl" and kind in ("missing", "empty"))
    )
    assert tree_hash(folder) == before


def test_a_folder_that_is_being_written_is_read_as_far_as_it_goes(folder: Path) -> None:
    with (folder / "events.jsonl").open("ab", buffering=0) as file:
        hold(file.fileno())
        file.write(encode(Entry(len(EVENTS), 200.0, Bookmarked("half a line"))).encode()[:40])
        trace = shown(folder)
        assert trace.end == len(EVENTS)
        assert being_written(folder)
    assert not being_written(folder)
