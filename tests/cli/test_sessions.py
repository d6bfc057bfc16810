"""`workbench sessions` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.cli.recordings import record
from workbench.cli.sessions import sessions
from workbench.model.errors import UsageError
from workbench.model.events import Entry, Event, Heard, Span, TurnDecided, TurnEnded
from workbench.trace.codec import encode
from workbench.trace.store import About, SessionFolder, default_root

TURNS: list[Event] = [
    TurnDecided(1, 1, end_sample=0),
    Span("stt", 10, 120, utterance=1),
    Heard(1, 0, 0.0, 100, 130.0),
    TurnEnded(1, "done", "Where is my refund?", "On its \x1b[31mway.", cold=False),
    TurnEnded(2, "failed", "and now?", "", cold=True, stage="llm", reason="401 from it", hint="set the key"),
]


@pytest.fixture(autouse=True)
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("COLUMNS", "100")


def ran(*arguments: str) -> Result:
    result = CliRunner().invoke(sessions, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_nothing_recorded_is_said_on_standard_error() -> None:
    result = ran()
    assert result.stdout == ""
    assert "no sessions in" in result.stderr
    assert "where somebody said 'x'" in ran("--search", "x").stderr
    with pytest.raises(UsageError, match="no session is recorded"):
        ran("path")


def test_sessions_are_listed_newest_first() -> None:
    record("aaaa0001", 1, TURNS)
    record("bbbb0002", 2, [])
    (default_root() / "not one").mkdir()
    lines = ran().stdout.splitlines()
    assert lines[0].split() == ["session", "date", "agent", "profile", "turns", "duration", "cost", "size"]
    assert lines[1].split()[:6] == ["bbbb0002", "2025-01-02", "10:00", "shop", "scripted", "0"]
    assert lines[2].split()[5:7] == ["2", "1:00"]
    assert "damaged" in lines[3]
    assert ran("list", "--search", "REFUND").stdout.count("aaaa0001") == 1
    assert "bbbb" not in ran("--search", "refund").stdout


def test_sessions_are_listed_as_json() -> None:
    path = record("aaaa0001", 1, TURNS)
    record("bbbb0002", 2, [])
    found = [json.loads(line) for line in ran("--json").stdout.splitlines()]
    assert [info["session"] for info in found] == ["bbbb0002", "aaaa0001"]
    assert found[1] == {
        "session": "aaaa0001",
        "date": "2025-01-01T10:00:00Z",
        "agent": "sh\x1b]0;x\x07op",
        "profile": "scripted",
        "turns": 2,
        "duration_s": 60.004,
        "cost": None,
        "cost_at_least": None,
        "size_bytes": found[1]["size_bytes"],
        "path": str(path),
        "problem": None,
    }
    assert len(ran("list", "--json", "--limit", "1").stdout.splitlines()) == 1


def test_a_session_is_shown_turn_by_turn_without_escapes() -> None:
    record("aaaa0001", 1, TURNS)
    shown = ran("show", "aaaa0001").stdout
    assert "\x1b" not in shown
    assert "Turn 1\n  user   Where is my refund?\n  agent  On its way." in shown
    assert "llm failed: 401 from it – set the key" in shown
    assert "Turn 2 · failed · cold" in shown
    summary = (
        "2 turns: 1 done, 0 cut, 1 failed; heard after p50 130 ms, p90 130 ms, p95 130 ms, p99 130 ms (n 1)"
    )
    assert summary in shown.replace("\N{NO-BREAK SPACE}", " ")


def test_a_session_is_shown_as_json() -> None:
    record("aaaa0001", 1, TURNS)
    first, second, last = (json.loads(line) for line in ran("show", "--json").stdout.splitlines())
    assert (first["turn"], first["heard_latency_ms"]) == (1, 130.0)
    assert second["error"]["stage"] == "llm"
    assert last["summary"]["turns"] == 2


def test_a_session_is_found_by_id_beginning_folder_or_as_the_newest() -> None:
    path = record("aaaa0001", 1, TURNS)
    newest = record("bbbb0002", 2, [])
    assert ran("path").stdout.strip() == str(newest)
    for name in ("aaaa0001", path.name, path.name[:8], str(path)):
        assert ran("path", name).stdout.strip() == str(path)
    assert "0 turns" in ran("show").stdout
    with pytest.raises(UsageError, match="2 sessions are called '2025'"):
        ran("path", "2025")
    with pytest.raises(UsageError, match="no sessions are called"):
        ran("path", "zzz\x1b[31m")


def test_long_sessions_and_dates_that_are_none_are_shown_as_they_are() -> None:
    folder = SessionFolder.create(About(session="cccc0003", date="some day", versions={}))
    folder.events.write_text(encode(Entry(0, 3_725_000.0, TurnEnded(1, "done", "", "", cold=True))) + "\n")
    shown = ran().stdout
    assert "some day" in shown
    assert "1:02:05" in shown
