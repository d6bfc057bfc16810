"""Session folders: made, opened, listed; and whatever somebody may hand us for one."""

from __future__ import annotations

import json
import os
import stat
import struct
import wave
from pathlib import Path

import numpy as np
import pytest

from workbench.model.errors import UsageError
from workbench.model.events import Bookmarked, Entry, Event, EventsMissed, Levels, ReplyEnded, TurnEnded
from workbench.plugin.values import Secret
from workbench.readers import entries
from workbench.trace.archive import EventFile
from workbench.trace.codec import encode
from workbench.trace.store import About, SessionFolder, default_root, installed_versions, open_trace, sessions
from workbench.trace.wav import RecordedTrack, wav_header

ABOUT = About(session="cafe0001", date="2025-01-02T03:04:05Z", agent="a", profile="scripted", versions={})


@pytest.fixture(autouse=True)
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def record(folder: SessionFolder, events: list[Event]) -> None:
    lines = (encode(Entry(i, i * 1000.0, event)) + "\n" for i, event in enumerate(events))
    folder.events.write_text("".join(lines), encoding="ascii")


def recorded(path: Path, events: list[Event], about: About = ABOUT) -> SessionFolder:
    folder = SessionFolder.create(about, path)
    record(folder, events)
    return folder


# --- making -----------------------------------------------------------------------------------------------------------


def test_a_folder_has_a_dated_name_and_is_private(data_home: Path) -> None:
    old = os.umask(0)
    try:
        folder = SessionFolder.create(ABOUT)
    finally:
        os.umask(old)
    assert folder.path == data_home / "workbench" / "sessions" / "20250102T030405Z-cafe0001"
    assert folder.path.parent == default_root()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder.path / "session.json").stat().st_mode) == 0o600
    assert [path.name for path in folder.path.iterdir()] == ["session.json"]
    assert SessionFolder.open(folder.path) == folder
    found = json.loads((folder.path / "session.json").read_text())
    assert found["format"] == 1
    assert found["rates"] == {"mic": 16_000, "user": 16_000, "agent": 24_000}


def test_nothing_secret_is_written(tmp_path: Path) -> None:
    secrets = {"api_key": "hunter2", "nested": [{"Auth-Token": "hunter2"}], "llm": {"key": Secret("hunter2")}}
    about = About(settings={**secrets, "api_key_set": True, "token": "", "limits": {"first_token_ms": 3.5}})
    folder = SessionFolder.create(about, tmp_path / "r")
    text = (folder.path / "session.json").read_text()
    assert "hunter2" not in text
    settings = json.loads(text)["settings"]
    assert settings["limits"] == {"first_token_ms": 3.5}
    assert settings["api_key_set"] is True


def test_versions_name_the_installed_packages() -> None:
    versions = installed_versions()
    assert {"python", "workbench", "numpy"} <= set(versions)


def test_an_empty_folder_is_taken_and_a_used_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    SessionFolder.create(ABOUT, tmp_path / "empty")
    with pytest.raises(UsageError, match="not empty") as raised:
        SessionFolder.create(ABOUT, tmp_path / "empty")
    assert raised.value.exit_code == 2
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot record into"):
        SessionFolder.create(ABOUT, tmp_path / "file")
    with pytest.raises(UsageError, match="Not a directory"):
        SessionFolder.create(ABOUT, tmp_path / "file" / "below")


def test_without_a_data_home_it_is_below_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / ".local" / "share" / "workbench" / "sessions"


# --- opening ----------------------------------------------------------------------------------------------------------


def test_a_trace_of_any_length_is_read_from_disk(tmp_path: Path) -> None:
    count = 30_000
    folder = recorded(tmp_path / "r", [Bookmarked(f"{i}") for i in range(count)])
    trace = open_trace(folder.path)
    assert (trace.end, trace.closed, trace.now()) == (count, True, (count - 1) * 1000.0)
    assert [entry.i for entry in entries(trace)] == list(range(count))
    assert [entry.i for entry in trace.since(17_321, 3)] == [17_321, 17_322, 17_323]
    assert trace.since(count) == []


def test_torn_unknown_and_overlong_lines_are_skipped(tmp_path: Path) -> None:
    folder = SessionFolder.create(ABOUT, tmp_path / "r")
    good = [encode(Entry(i, 1.0, Bookmarked("x"))) for i in range(6)]
    unknown = good[3].replace("bookmarked", "from_the_future")
    folder.events.write_text(
        f"{good[0]}\nrubbish{'!' * 5_000_000}\n{good[2]}\n{unknown}\n{good[1]}\n{good[4]}\n{good[5][:-4]}"
    )
    trace = open_trace(str(folder.path))
    assert [entry.i for entry in entries(trace)] == [0, 1, 4]  # 2 comes before 1
    assert trace.archive is not None
    assert getattr(trace.archive, "skipped") >= 3  # noqa: B009


def test_a_last_line_without_its_line_break_counts_if_it_is_whole(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "r", [Bookmarked("a"), Bookmarked("b")])
    folder.events.write_bytes(folder.events.read_bytes()[:-1])
    assert open_trace(folder.path).end == 2


def test_an_archive_sees_what_is_still_being_written(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "r", [])
    trace = open_trace(folder.path)
    assert trace.end == 0
    assert list(entries(trace)) == []
    assert trace.archive is not None
    record(folder, [Bookmarked("a"), Bookmarked("b")])
    assert [entry.i for entry in trace.archive.read(0, 10)] == [0, 1]
    record(folder, [Bookmarked("a"), Bookmarked("b"), Bookmarked("c")])
    assert [entry.i for entry in trace.archive.read(1, 10)] == [1, 2]


def test_events_of_a_recording_that_vanishes_are_reported_as_missed(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "r", [Bookmarked("a"), Bookmarked("b")])
    trace = open_trace(folder.path)
    folder.events.unlink()
    assert [entry.event for entry in trace.since(0)] == [EventsMissed(0, 1)]


def test_sound_is_read_from_disk_at_its_positions(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "r", [])
    samples = np.arange(1000, dtype="<i2")
    folder.sound("user").write_bytes(
        wav_header(16_000, 7) + samples.tobytes() + b"\x01"
    )  # 7: as a killed writer left it
    sound = open_trace(folder.path).tracks["user"]
    assert (sound.rate, sound.start, sound.end) == (16_000, 0, 1000)
    assert np.array_equal(sound.read(990, 1010), [*range(990, 1000), *[0] * 10])
    assert np.array_equal(sound.read(-3, 2), [0, 0, 0, 0, 1])
    assert len(sound.read(5, 5)) == len(sound.read(9, 5)) == 0
    assert not sound.read(2000, 2010).any()


def test_any_mono_pcm16_wav_is_read_and_a_torn_header_is_no_sound(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "r", [])
    body = struct.pack("<4sI4s", b"RIFF", 0, b"WAVE") + struct.pack("<4sI3sx", b"LIST", 3, b"abc")
    form = struct.pack("<4sIHHIIHHH", b"fmt ", 18, 1, 1, 8000, 16000, 2, 16, 0)
    folder.sound("user").write_bytes(body + form + struct.pack("<4sIh", b"data", 99, 5))
    folder.sound("mic").write_bytes(b"RIFF")
    folder.sound("agent").write_bytes(body + form)
    tracks = open_trace(folder.path).tracks
    assert (tracks["user"].rate, tracks["user"].end, list(tracks["user"].read(0, 1))) == (8000, 1, [5])
    assert (tracks["mic"].rate, tracks["mic"].end) == (16_000, 0)
    assert tracks["agent"].end == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"x" * 100, "not a wav file"),
        (struct.pack("<4sI4s4sIHH", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 1), "torn"),
        (wav_header(24_000, 9)[:30], "torn"),
        (wav_header(0, 0), "not mono PCM16"),
    ],
)
def test_a_damaged_wav_is_left_out(tmp_path: Path, content: bytes, reason: str) -> None:
    folder = recorded(tmp_path / "r", [Bookmarked("a")])
    folder.sound("user").write_bytes(wav_header(16_000, 1) + b"ab")
    folder.sound("agent").write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        RecordedTrack(folder.sound("agent"), "agent", 24_000)
    trace = open_trace(folder.path)
    assert [entry.event for entry in entries(trace)] == [Bookmarked("a")]
    assert {track: sound.end for track, sound in trace.tracks.items()} == {"user": 1}


def test_stereo_is_left_out(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "r", [])
    with wave.open(str(folder.sound("agent")), "wb") as file:
        file.setparams((2, 2, 24_000, 0, "NONE", ""))
        file.writeframes(bytes(400))
    assert open_trace(folder.path).tracks == {}


def test_the_size_in_a_header_is_bounded() -> None:
    assert len(wav_header(24_000, 2**33)) == 44
    assert struct.unpack("<I", wav_header(24_000, 2**33)[40:])[0] < 2**32


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        (None, "there is no session.json"),
        ("", "damaged"),
        ("{", "damaged"),
        ("[" * 100_000, "damaged"),
        ("[]", "damaged"),
        ('{"format": true}', "damaged"),
        ('{"format": "1"}', "damaged"),
        ('{"format": 2}', "later workbench"),
    ],
)
def test_an_unreadable_folder_is_refused_with_its_reason(
    tmp_path: Path, about: str | None, reason: str
) -> None:
    (tmp_path / "r").mkdir()
    if about is not None:
        (tmp_path / "r" / "session.json").write_text(about)
    with pytest.raises(UsageError, match=reason) as raised:
        open_trace(tmp_path / "r")
    assert raised.value.hint


def test_files_that_would_never_end_are_not_opened(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "r", [])
    os.mkfifo(folder.sound("user"))
    assert open_trace(folder.path).tracks == {}
    (folder.path / "session.json").unlink()
    os.mkfifo(folder.path / "session.json")
    with pytest.raises(UsageError, match="not a regular file"):
        open_trace(folder.path)
    with pytest.raises(UsageError, match=r"there is no session\.json"):
        open_trace(folder.events)


def test_fields_of_session_json_with_a_wrong_type_are_ignored(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "r", [])
    about = {"format": 1, "agent": 7, "profile": "p", "rates": {"user": "fast", "agent": -1, "../../x": 5}}
    (folder.path / "session.json").write_text(json.dumps(about))
    found = SessionFolder.open(folder.path).about
    assert (found.session, found.agent, found.profile) == ("", "", "p")
    assert (found.rates["user"], found.rates["agent"]) == (16_000, 24_000)
    assert set(open_trace(folder.path).tracks) == set()


# --- listing ----------------------------------------------------------------------------------------------------------


def test_sessions_are_listed_newest_first_and_damaged_ones_last() -> None:
    for day, name in ((1, "one"), (3, "three"), (2, "two")):
        about = About(session=name, date=f"2025-01-0{day}T00:00:00Z", agent="a", versions={})
        record(SessionFolder.create(about), [TurnEnded(1, "done", "hi", "ho"), Bookmarked("x")])
    (default_root() / "zzz").mkdir()
    SessionFolder.create(About(session="died at once", date="2025-01-01T00:00:00Z", versions={}))
    broken = SessionFolder.create(About(session="broken", date="2025-01-09T00:00:00Z", versions={}))
    os.mkfifo(broken.events)
    (default_root() / "a file").write_text("")
    found = list(sessions())
    assert [info.session for info in found if not info.problem] == ["three", "two", "one", "died at once"]
    assert [(info.path.name, info.problem) for info in found if info.problem] == [
        (broken.path.name, "events.jsonl: not a regular file"),
        ("zzz", "there is no session.json in it"),
    ]
    assert (found[1].turns, found[1].duration_s, found[1].agent) == (1, 1.0, "a")
    assert found[1].size_bytes > 100
    with pytest.raises(UsageError, match=r"events\.jsonl: not a regular file"):
        open_trace(broken.path)


def test_a_session_from_a_later_workbench_is_listed_as_such() -> None:
    folder = SessionFolder.create(ABOUT)
    (folder.path / "session.json").write_text('{"format": 2}')
    (info,) = sessions()
    assert "later workbench" in str(info.problem)
    assert list(sessions(search="x")) == []


def test_sessions_are_searched_by_what_was_said(data_home: Path) -> None:
    said: dict[str, list[Event]] = {
        "user": [TurnEnded(1, "done", "Guten Tag, STRASSE", "yes"), TurnEnded(2, "done", "straße", "")],
        "agent": [TurnEnded(1, "done", "x", "The Straße is closed")],
        "greeting": [ReplyEnded(1, None, "done", "Welcome to our strasse", "")],
        "other": [Bookmarked("straße"), ReplyEnded(1, None, "done", "nothing", "")],
        "torn": [],
    }
    for name, events in said.items():
        folder = SessionFolder.create(About(session=name, date="2025-01-01T00:00:00Z", versions={}))
        record(folder, events)
        if name == "torn":
            folder.events.write_text('{"type":"turn_ended","user_text":"strasse"}\n')
    SessionFolder.create(About(session="empty", versions={}))
    assert sorted(info.session for info in sessions(search="straße")) == ["agent", "greeting", "user"]
    assert list(sessions(data_home / "nowhere")) == []


def test_events_of_some_types_are_left_out_without_a_loss_of_others(tmp_path: Path) -> None:
    events: list[Event] = [Bookmarked('"type":"levels"'), Levels("user", 1600, -60.0, -50.0), Bookmarked("b")]
    lines = [encode(Entry(i, i * 1.5, event)) for i, event in enumerate(events)]
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(lines) + "\n", "ascii")
    assert [entry.i for entry in EventFile(path).read(0, 9, frozenset({Levels}))] == [0, 2]
    assert [entry.i for entry in EventFile(path).read(1, 9)] == [1, 2]
