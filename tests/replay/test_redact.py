"""A redacted recording: nothing of the words is left in any file, and where they were said it is silent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from tests.golden.scenes import SCENES, record
from workbench.__main__ import run
from workbench.model.errors import UsageError
from workbench.model.events import (
    Bookmarked,
    Entry,
    Event,
    Notice,
    PictureTaken,
    ReplyDiscarded,
    ReplyEnded,
    ReplyPlaying,
    ReplyStarted,
    ReplyText,
    Resumed,
    SessionStarted,
    SpeechPaused,
    SpeechStarted,
    ToolCalled,
    ToolReturned,
    Transcribed,
    TurnDecided,
    TurnEnded,
)
from workbench.readers import entries
from workbench.replay.redaction.matching import MARK, Matcher
from workbench.replay.redaction.redact import Removal, redact, redact_in_place
from workbench.replay.rerun import rerun
from workbench.replay.tune.labels import read_labels, write_label
from workbench.trace.cassette import open_cassette
from workbench.trace.codec import encode
from workbench.trace.files import hold, open_new
from workbench.trace.store import About, SessionFolder, open_trace
from workbench.trace.wav import wav_header

SECONDS = 12
NEUTRAL = "qzqzqz"


def lines_of(word: str, cut: int) -> list[tuple[int, Event]]:
    """Two turns, their times in ms; the word is said in the first one, by both, and it is split after `cut`."""
    head, tail = word[:cut], word[cut:]
    return [
        (0, SessionStarted("cafe0001", "2025-01-02T03:04:05Z", "p", "a", {}, {"user": 16_000}, f"/home/{word}/r")),
        (1, Resumed("before", ({"role": "user", "text": f"I am {word}", "cut": False},))),
        (1000, SpeechStarted(1, 16_000)),
        (1500, Transcribed(1, f"my name is {head}", False, 24_000)),
        (1600, Transcribed(1, f"my name is {word.upper()}.", False, 25_000)),
        (2000, SpeechPaused(1, 32_000)),
        (2100, ReplyStarted(1, 1, None, f"my name is {word}", True)),
        (2200, ReplyDiscarded(1, 1, "the user went on", 0.1, 3)),
        (2300, Transcribed(1, f"My name is {word}.", True, 32_000)),
        (2300, TurnDecided(1, 1, False, 32_000, 300)),
        (2400, ReplyStarted(2, 1, 1, f"My name is {word}.", False)),
        (2410, ToolCalled(2, 1, "c1", "look_up", json.dumps({"name": word, "n": [1, {word: True}]}))),
        (2420, ToolReturned(2, 1, "c1", "look_up", json.dumps([f"{word} lives here"], ensure_ascii=False))),
        (2500, ReplyText(2, 1, f"Hello {head}", f"Hello {head}")),
        (2510, ReplyText(2, 1, f"{tail}! And", f"{tail}! And")),
        (2510, ReplyText(2, 1, " welcome.", " welcome.")),
        (3000, ReplyPlaying(2, 1, 72_000)),
        (3100, Notice("info", "tools", f"{word} was looked up", "")),
        (3200, PictureTaken(2, "pictures/0001.jpg", "x", "camera", 1, 1, 5, 1.0)),
        (4000, ReplyEnded(2, 1, "done", f"Hello {head}", f"{tail} and welcome", 96_000)),
        (4000, TurnEnded(1, "done", f"My name is {word}.", f"Hello {word}! And welcome.")),
        (6000, PictureTaken(None, "pictures/0002.jpg", "x", "camera", 1, 1, 5, 1.0)),
        (7000, SpeechStarted(2, 112_000)),
        (8000, Transcribed(2, "what time is it", True, 128_000)),
        (8000, TurnDecided(2, 2, False, 128_000, 300)),
        (8100, ReplyStarted(3, 2, 2, "what time is it", False)),
        (8200, ReplyText(3, 2, "Noon it is.", "Noon it is.")),
        (8300, ReplyPlaying(3, 2, 199_200)),
        (9000, ReplyEnded(3, 2, "done", "Noon it is.", "", 216_000)),
        (9000, TurnEnded(2, "done", "what time is it", "Noon it is.")),
        (9100, Bookmarked("later")),
    ]  # fmt: skip


def rows_of(word: str, cut: int) -> list[dict[str, Any]]:
    head, tail = word[:cut], word[cut:]
    return [
        {"t": 0.0, "row": "cassette", "v": 1},
        {"t": 0.1, "row": "agent", "agent": {"instructions": "Be brief.", "name": "a"}},
        {"t": 0.0, "row": "call", "call": 0, "stage": "llm", "item": "x", "key": "kept", "asks": "hello"},
        {"t": 0.3, "row": "end", "call": 0, "how": "done"},
        {"t": 1.0, "row": "call", "call": 1, "stage": "stt", "item": "x", "key": "sound", "asks": "sample 16000"},
        {"t": 1.5, "row": "piece", "call": 1, "text": f"my name is {head}", "language": "en"},
        {"t": 1.6, "row": "end", "call": 1, "how": "done", "text": f"My name is {word}."},
        {"t": 2.4, "row": "call", "call": 2, "stage": "llm", "item": "x", "key": "k2", "outline": "k3", "asks": word},
        {"t": 2.5, "row": "piece", "call": 2, "text": f"Hello {head}"},
        {"t": 2.5, "row": "piece", "call": 2, "text": tail},
        {"t": 2.5, "row": "piece", "call": 2, "tool_call": ["c1", "look_up", json.dumps({"name": word})]},
        {"t": 2.5, "row": "end", "call": 2, "how": "done"},
        {"t": 2.6, "row": "call", "call": 3, "stage": "tts", "item": "x", "key": "k4", "asks": f"Hello {word}"},
        {"t": 2.7, "row": "piece", "call": 3, "words": [["Hello", 0, 1], [word, 1, 2]], "data": [0, 100]},
        {"t": 2.7, "row": "end", "call": 3, "how": "done"},
        {"t": 2.6, "row": "call", "call": 6, "stage": "tts", "item": "x", "key": "k8", "asks": f"Hello {head}"},
        {"t": 2.7, "row": "piece", "call": 6, "words": [[head, 0, 1]], "data": [200, 50]},
        {"t": 2.6, "row": "call", "call": 7, "stage": "tts", "item": "x", "key": "k9", "asks": tail},
        {"t": 2.6, "row": "spoken", "text": head, "spoken": head},
        {"t": 2.6, "row": "spoken", "text": tail, "spoken": tail},
        {"t": 3.0, "row": "verb", "verb": "say", "arguments": {"text": f"{word}!"}},
        {"t": 3.0, "row": "hook", "hook": "user_text", "key": "k5", "text": "something else"},
        {"t": 8.1, "row": "call", "call": 4, "stage": "llm", "item": "x", "key": "k6", "asks": "what time is it"},
        {"t": 8.2, "row": "piece", "call": 4, "text": "Noon it is."},
        {"t": 8.2, "row": "end", "call": 4, "how": "done"},
        {"t": 8.3, "row": "call", "call": 5, "stage": "tts", "item": "x", "key": "noon", "asks": "Noon it is."},
        {"t": 8.4, "row": "piece", "call": 5, "words": [], "data": [100, 100]},
        {"t": 9.0, "row": "event", "event": {"v": 1, "i": 3, "t_ms": 9000.0, "type": "notice", "reason": word}},
    ]  # fmt: skip


def recorded(path: Path, word: str, cut: int = 2) -> Path:
    about = About(session="cafe0001", agent=f"for {word}", settings={"stt": {"boost": [word]}}, versions={})
    folder = SessionFolder.create(about, path)
    events = (encode(Entry(i, float(t_ms), event)) for i, (t_ms, event) in enumerate(lines_of(word, cut)))
    unknown = json.dumps({"v": 1, "i": 99, "t_ms": 9200.0, "type": "from_the_future", "said": [word]})
    folder.events.write_text(
        "".join(f"{line}\n" for line in [*events, unknown]) + f'{{"torn": "{word}', "utf-8"
    )
    for track, rate in (("user", 16_000), ("mic", 16_000), ("agent", 24_000)):
        sound = np.full(SECONDS * rate, 7, "<i2").tobytes()
        (path / f"{track}.wav").write_bytes(wav_header(rate, SECONDS * rate) + sound)
    (path / "pictures").mkdir()
    for number in (1, 2):
        (path / "pictures" / f"000{number}.jpg").write_bytes(b"jpeg!")
    (path / "cassette").mkdir()
    rows = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows_of(word, cut))
    (path / "cassette" / "rows.jsonl").write_text(rows)
    (path / "cassette" / "data.bin").write_bytes(b"\x07" * 250)
    return path


def content(folder: Path) -> bytes:
    return b"\n".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def streams(folder: Path) -> str:
    """All that comes in pieces, put together."""
    rows = [json.loads(line) for line in (folder / "cassette" / "rows.jsonl").read_text().splitlines()]
    events = [entry.event for entry in entries(open_trace(folder))]
    texts = (event.text for event in events if isinstance(event, ReplyText))
    spoken = (event.spoken for event in events if isinstance(event, ReplyText))
    asked = (
        row["asks"].removeprefix("Hello ") for row in rows if row.get("stage") == "tts" and "asks" in row
    )
    changed = (row["spoken"] for row in rows if "spoken" in row)
    parts = texts, spoken, (row.get("text", "") for row in rows), asked, changed
    return "\n".join("".join(part) for part in parts)


def forms(word: str) -> list[bytes]:
    """The word as files may have it: in any case, in UTF-8, and escaped once and twice."""
    cased = {word, word.upper(), word.lower(), word.casefold(), word.title()}
    escaped = {json.dumps(text)[1:-1] for text in cased}
    twice = {json.dumps(text)[1:-1] for text in escaped}
    return [text.encode("utf-8").lower() for text in cased | escaped | twice]


@pytest.fixture(scope="module")
def neutral(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What such a recording has beside the word."""
    return content(recorded(tmp_path_factory.mktemp("neutral") / "r", NEUTRAL)).lower()


letters = st.characters(categories=["Lu", "Ll", "Lo", "Nd", "So"], exclude_characters="\ufdfa")
words = st.text(letters, min_size=4, max_size=9) | st.from_regex(r"[a-z]{4} [0-9]{5}", fullmatch=True)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words, st.integers(1, 3))
@example("Jörg", 2)
@example("straße", 3)
@example("𝔘𝔫𝔦𝔠", 1)
@example("안녕하세요", 2)
@example("5550100", 3)
def test_nothing_of_the_words_is_left(
    tmp_path_factory: pytest.TempPathFactory, neutral: bytes, word: str, cut: int
) -> None:
    place = tmp_path_factory.mktemp("redacted")
    assume(not any(form in neutral for form in forms(word)))
    folder = recorded(place / "before", word, cut)
    before = content(folder)
    redact(folder, place / "after", Removal(words=(word,)))
    assert content(folder) == before
    after = content(place / "after").lower()
    assert not [form for form in forms(word) if form in after]
    assert not Matcher((word,)).find(streams(place / "after"))
    silent_where_it_was_said(place / "after")


def silent_where_it_was_said(folder: Path) -> None:
    """The user says it from 1 to 2 s, the agent from 3 to 4 s; the second turn is as it was."""
    tracks = open_trace(folder).tracks
    for track, start_s, stop_s in (
        ("user", 1, 2),
        ("mic", 1, 2),
        ("agent", 3, 4),
        ("user", 3, 4),
        ("mic", 3, 4),
    ):
        sound = tracks[track]  # type: ignore[index]
        assert sound.end == SECONDS * sound.rate
        assert not sound.read(start_s * sound.rate, stop_s * sound.rate).any()
        assert (sound.read(5 * sound.rate, SECONDS * sound.rate) == 7).all()
        assert (sound.read(0, sound.rate // 2) == 7).all()


def test_what_has_nothing_to_do_with_it_stays(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "before", "anna")
    redacted = redact(folder, tmp_path / "after", Removal(words=("Anna",)))
    trace = open_trace(tmp_path / "after")
    assert [entry.i for entry in entries(trace)] == [entry.i for entry in entries(open_trace(folder))]
    ended = [entry.event for entry in entries(trace) if isinstance(entry.event, TurnEnded)]
    assert [turn.user_text for turn in ended] == [f"My name is {MARK}.", "what time is it"]
    assert [turn.agent_text for turn in ended] == [f"Hello {MARK}! And welcome.", "Noon it is."]
    partials = [entry.event for entry in entries(trace) if isinstance(entry.event, Transcribed)]
    assert [partial.text for partial in partials[:2]] == [MARK, MARK]  # "my name is An" tells much
    pieces = [entry.event.text for entry in entries(trace) if isinstance(entry.event, ReplyText)]
    assert pieces == [f"Hello {MARK}", "! And", " welcome.", "Noon it is."]
    called = next(entry.event for entry in entries(trace) if isinstance(entry.event, ToolCalled))
    assert json.loads(called.arguments) == {"name": MARK, "n": [1, {MARK: True}]}
    about = json.loads((tmp_path / "after" / "session.json").read_text())
    assert (about["agent"], about["settings"], about["redacted"]) == (
        f"for {MARK}",
        {"stt": {"boost": [MARK]}},
        True,
    )
    assert SessionFolder.open(tmp_path / "after").about.redacted
    assert [file.name for file in (tmp_path / "after" / "pictures").iterdir()] == ["0002.jpg"]
    assert (redacted.counts["pictures"], redacted.counts["unreadable"], redacted.counts["utterances"]) == (
        1,
        1,
        1,
    )
    assert redacted.silenced_s == pytest.approx({"mic": 3.2, "user": 3.2, "agent": 1.0}, abs=0.001)


def test_hashes_of_what_was_asked_go_with_it(tmp_path: Path) -> None:
    """Who knows the rest of a request could try every number; places on the track tell nothing."""
    folder = recorded(tmp_path / "before", "anna")
    redact(folder, tmp_path / "after", Removal(words=("anna",)))
    rows = [
        json.loads(line) for line in (tmp_path / "after" / "cassette" / "rows.jsonl").read_text().splitlines()
    ]
    keys = {row.get("call", row["row"]): row["key"] for row in rows if "key" in row}
    assert keys == {0: "kept", 1: "sound", 2: "", 3: "", "hook": "", 4: "", 5: "", 6: "", 7: ""}
    assert next(row for row in rows if row.get("call") == 2)["outline"] == ""
    assert (tmp_path / "after" / "cassette" / "data.bin").read_bytes() == bytes(100) + b"\x07" * 100 + bytes(
        50
    )


def test_a_turn_goes_with_all_that_was_said_in_it(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "before", "anna")
    redact(folder, tmp_path / "after", Removal(turns=(1,)))
    silent_where_it_was_said(tmp_path / "after")
    ended = [
        entry.event for entry in entries(open_trace(tmp_path / "after")) if isinstance(entry.event, TurnEnded)
    ]
    assert [(turn.user_text, turn.agent_text) for turn in ended] == [
        (MARK, MARK),
        ("what time is it", "Noon it is."),
    ]
    left = content(tmp_path / "after").lower()
    for text in (b"my name is", b"hello anna", b"and welcome", b"lives here", b"was looked up"):
        assert text not in left
    with pytest.raises(UsageError, match="there is no turn 7"):
        redact(folder, tmp_path / "never", Removal(turns=(7,)))
    assert not (tmp_path / "never").exists()


def test_seconds_go_with_the_words_of_their_turns(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "before", "anna")
    redact(folder, tmp_path / "after", Removal(stretches_ms=((8500.0, 12_000.0),)))
    trace = open_trace(tmp_path / "after")
    for track in trace.tracks.values():
        assert not track.read(track.rate * 17 // 2, track.rate * 12).any()
        assert (track.read(0, track.rate * 8) == 7).all()
    ended = [entry.event for entry in entries(trace) if isinstance(entry.event, TurnEnded)]
    assert [turn.user_text for turn in ended] == ["My name is anna.", MARK]
    assert [entry.event for entry in entries(trace) if isinstance(entry.event, Bookmarked)] == [
        Bookmarked(MARK)
    ]


@pytest.mark.parametrize(
    ("text", "word", "clean"),
    [
        ("Savannah", "anna", MARK),
        ("call 555 01-00 now", "555-0100", f"call {MARK} now"),
        ("5 5 5 0 1 0 0", "5550100", MARK),
        ("José!", "jose", f"{MARK}!"),
        ("JOSE\u0301!", "josé", f"{MARK}!"),
        ("an\u200bna", "anna", MARK),
        ("STRASSE 5", "straße", f"{MARK} 5"),
        ("ﬃx it", "fix", f"{MARK} it"),
        ("Anna-Lena  Smith", "anna lena smith", MARK),
        ('{"n": "J\\u00f6rg", "m": 5}', "jörg", f'{{"n": "{MARK}", "m": 5}}'),
        ('{"n": "J\\\\u00f6rg torn', "jörg", f'{{"n": "{MARK} torn'),
        ('{"phone": 5550100}', "555-0100", f'{{"phone": "{MARK}"}}'),
        ("我叫安娜。", "安娜", f"我叫{MARK}。"),
        ("ISIK", "ışık", MARK),
        ("nothing here", "anna", "nothing here"),
    ],
)
def test_words_are_found_however_they_are_written(text: str, word: str, clean: str) -> None:
    assert Matcher((word,)).text(text) == clean


def test_patterns_fit_as_they_are() -> None:
    matcher = Matcher(patterns=(r"\d{3}-\d{4}", "iban [a-z]+"))
    assert matcher.text("IBAN DE, call 555-0100x") == f"{MARK}, call {MARK}x"
    with pytest.raises(UsageError, match="no regular expression"):
        Matcher(patterns=("(",))
    with pytest.raises(UsageError, match="fits nothing at all"):
        Matcher(patterns=("x*",))
    with pytest.raises(UsageError, match="empty word"):
        Matcher(("\u200b",))


def test_numbers_of_the_recording_itself_stay(tmp_path: Path) -> None:
    """A pattern of digits finds telephone numbers, not the samples, times and settings that a rerun needs."""
    folder = record(SCENES["tool"](), tmp_path / "before")
    redacted = redact(folder, tmp_path / "after", Removal(patterns=(r"\d{2,}",)))
    assert not redacted.counts["utterances"]
    before, after = open_cassette(folder), open_cassette(tmp_path / "after")
    assert (after.damaged, len(after.rows), len(after.calls)) == (0, len(before.rows), len(before.calls))
    limits = [SessionFolder.open(each).about.settings["limits"] for each in (folder, tmp_path / "after")]
    assert limits[0] == limits[1]


def test_in_place_it_takes_the_place_of_the_recording(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "session", "anna")
    redact_in_place(folder, Removal(words=("anna",)))
    assert b"anna" not in content(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["session"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not redact_in_place(folder, Removal(words=("somebody else",))).counts["events"]


def test_what_is_no_part_of_a_recording_is_not_lost_in_place(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "session", "anna")
    (folder / "notes.txt").write_text("about anna")
    before = content(folder)
    with pytest.raises(UsageError, match=r"no part of a recording: notes\.txt"):
        redact_in_place(folder, Removal(words=("anna",)))
    assert content(folder) == before
    assert redact(folder, tmp_path / "after", Removal(words=("anna",))).left_out == ["notes.txt"]
    assert not (tmp_path / "after" / "notes.txt").exists()


def test_what_lies_among_its_files_is_not_lost_in_place_either(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "session", "anna")
    (folder / "cassette" / "notes.txt").touch()
    (folder / "pictures" / "0009.jpg").symlink_to(tmp_path)
    with pytest.raises(UsageError, match=r"cassette/notes\.txt, pictures/0009\.jpg"):
        redact_in_place(folder, Removal(words=("anna",)))


def test_labels_by_hand_stay(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "session", "anna")
    write_label(folder, 16_000, "end")
    redact_in_place(folder, Removal(words=("anna",)))
    assert read_labels(folder) == {16_000: "end"}


def test_what_cannot_be_redacted_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "session", "anna")
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        redact(folder, tmp_path / "there", Removal(words=("anna",)))
    with pytest.raises(UsageError, match="cannot be written"):
        redact(folder, tmp_path / "no" / "where", Removal(words=("anna",)))
    (folder / "events.jsonl").unlink()
    os.mkfifo(folder / "events.jsonl")
    with pytest.raises((UsageError, OSError)):
        redact(folder, tmp_path / "after", Removal(words=("anna",)))
    (folder / "events.jsonl").unlink()
    descriptor = open_new(folder / "events.jsonl")
    hold(descriptor)
    with pytest.raises(UsageError, match="is being written"):
        redact(folder, tmp_path / "after", Removal(words=("anna",)))
    os.close(descriptor)
    assert not (tmp_path / "after").exists()


def test_data_that_no_row_names_is_not_taken_over(tmp_path: Path) -> None:
    """The recorder writes data before its row, and may be killed in between."""
    folder = recorded(tmp_path / "before", "anna")
    with (folder / "cassette" / "data.bin").open("ab") as file:
        file.write(b"\x07" * 50)
    redact(folder, tmp_path / "after", Removal(words=("anna",)))
    data = (tmp_path / "after" / "cassette" / "data.bin").read_bytes()
    assert len(data) == 300
    assert data[250:] == bytes(50)
    assert b"\x07" in data


def test_a_rerun_of_what_was_redacted_names_it_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    redact(record(SCENES["tool"](), tmp_path / "before"), tmp_path / "after", Removal(turns=(2,)))
    assert run(["rerun", str(tmp_path / "after")]) == 1
    output = capsys.readouterr()
    assert "removed from the recording by `workbench redact`" in output.out
    assert "went wrong inside" not in output.err
    assert "this version of workbench decides otherwise" not in output.err


def test_a_rerun_says_that_what_it_needs_was_removed(tmp_path: Path) -> None:
    redact(record(SCENES["tool"](), tmp_path / "before"), tmp_path / "after", Removal(turns=(2,)))
    again = rerun(tmp_path / "after", into=tmp_path / "again")
    assert [turn.status for turn in again.trace.turns] == ["done", "failed"]
    error = again.trace.turns[1].error
    assert error is not None
    assert "was removed from the recording by `workbench redact`" in error.reason
