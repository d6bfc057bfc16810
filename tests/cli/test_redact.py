"""`workbench redact` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.cli.recordings import record
from workbench.cli.redact import redact
from workbench.model.errors import UsageError
from workbench.model.events import Event, SpeechPaused, SpeechStarted, Transcribed, TurnDecided, TurnEnded


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    events: list[Event] = [
        SpeechStarted(1, 0),
        Transcribed(1, "I am Anna", True, 100),
        SpeechPaused(1, 100),
        TurnDecided(1, 1, False, 100),
        TurnEnded(1, "done", "I am Anna", "Hello"),
    ]
    return record("aaaa0001", 1, events)


def ran(*arguments: str) -> Result:
    result = CliRunner().invoke(redact, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_it_says_what_it_removed(session: Path, tmp_path: Path) -> None:
    result = ran("aaaa0001", "-o", str(tmp_path / "after"), "--words", "anna, bert")
    assert result.output == f"removed from {tmp_path / 'after'}: 1 utterance; 2 events\n"
    assert "Anna" in (session / "events.jsonl").read_text()
    assert "Anna" not in (tmp_path / "after" / "events.jsonl").read_text()


def test_it_says_so_as_json_and_that_nothing_was_there(session: Path) -> None:
    (session / "mine\x1b[31m.txt").write_text("x")
    with pytest.raises(UsageError, match="no part of a recording"):
        ran("aaaa0001", "--in-place", "--words", "bert")
    (session / "mine\x1b[31m.txt").unlink()
    assert "nothing of that is in the recording" in ran("aaaa0001", "--in-place", "--words", "bert").output
    told = json.loads(ran("aaaa0001", "--in-place", "--turn", "1", "--json").output)
    assert (told["folder"], told["events"], told["utterances"], told["silenced_s"]) == (
        str(session),
        2,
        1,
        {},
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-o", "x"], "what is to go"),
        (["--words", " , ", "-o", "x"], "what is to go"),
        (["--words", "anna"], "new folder, or in place"),
        (["--words", "anna", "-o", "x", "--in-place"], "new folder, or in place"),
        (["--from", "3", "-o", "x"], "no stretch of time"),
        (["--from", "3", "--to", "2", "-o", "x"], "no stretch of time"),
        (["--from", "3", "--to", "inf", "-o", "x"], "no stretch of time"),
        (["--turn", "9", "-o", "x"], "there is no turn 9"),
        (["--pattern", "(\x1b", "-o", "x"], "no regular expression"),
    ],
)
def test_what_makes_no_sense_is_refused(session: Path, arguments: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as raised:
        ran("aaaa0001", *arguments)
    assert raised.value.hint
    assert "\x1b" not in raised.value.reason
