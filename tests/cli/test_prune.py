"""`workbench prune` as it is typed: what goes, and all that must stay."""

from __future__ import annotations

import json
import os
import pty
import shutil
import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from workbench.cli.prune import prune
from workbench.model.errors import UsageError
from workbench.trace.files import held, hold, open_new, remove_leftovers
from workbench.trace.pruning import now
from workbench.trace.store import DATE_FORMAT, About, SessionFolder, default_root, sessions


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    default_root().mkdir(parents=True)
    return default_root()


def stored(days: int, events: int = 1000) -> Path:
    date = (now() - timedelta(days=days)).strftime(DATE_FORMAT)
    folder = SessionFolder.create(About(session=f"aaaa{days:04}", date=date, versions={}))
    folder.events.write_bytes(b" " * (events - (folder.path / "session.json").stat().st_size))
    (folder.path / "pictures").mkdir()
    (folder.path / "pictures" / "0001.jpg").touch()
    return folder.path


def ran(*arguments: str, text: str | None = None) -> Result:
    result = CliRunner().invoke(prune, arguments, input=text)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_what_is_too_old_goes(root: Path) -> None:
    old, older, young = stored(31), stored(400), stored(29)
    result = ran("--older-than", "30d", "--yes")
    assert result.exit_code == 0
    assert [path for path in (old, older, young) if path.exists()] == [young]
    assert [line.split()[1] for line in result.stdout.splitlines()[:2]] == [older.name, old.name]
    assert "0.0 MB freed of 2 sessions; 1 session (0.0 MB) stay" in result.stdout
    assert [path.name for path in root.iterdir()] == [young.name]


def test_the_oldest_go_until_so_many_bytes_are_left() -> None:
    first, second, third = stored(3), stored(2), stored(1)
    summary = json.loads(ran("--keep-bytes", "2.5k", "--yes", "--json").stdout.splitlines()[-1])["summary"]
    assert summary == {"removed": 1, "freed_bytes": 1000, "kept": 2, "kept_bytes": 2000, "untouched": 0}
    assert (first.exists(), second.exists(), third.exists()) == (False, True, True)
    ran("--keep-bytes", "0", "--yes")
    assert not third.exists()


def test_a_dry_run_only_lists() -> None:
    old = stored(31)
    result = ran("--older-than", "4w", "--dry-run")
    assert f"would remove {old.name}" in result.stdout
    assert "would be freed of 1 session" in result.stdout
    assert old.exists()
    lines = [
        json.loads(line) for line in ran("--older-than", "4w", "--dry-run", "--json").stdout.splitlines()
    ]
    assert [lines[0]["path"], lines[1]["summary"]["removed"]] == [str(old), 0]


def test_only_sessions_are_ever_removed(root: Path, tmp_path: Path) -> None:
    """No link, no stranger's folder, no later format, nothing that is being written or just begins."""
    elsewhere = stored(90).rename(tmp_path / "elsewhere")
    (root / "link").symlink_to(elsewhere)
    (root / "stranger").mkdir()
    (root / "stranger" / "thesis.txt").write_text("years of work")
    (root / "a file").write_text("")
    later = stored(91)
    (later / "session.json").write_text('{"format": 99}')
    undated = SessionFolder.create(About(session="undated", date="some day", versions={})).path
    begun = SessionFolder.create(About(session="begun000", date="2020-01-01T00:00:00Z", versions={})).path
    written = stored(92)
    (written / "events.jsonl").unlink()
    descriptor = open_new(written / "events.jsonl")
    hold(descriptor)
    result = ran("--older-than", "1d", "--keep-bytes", "0", "--yes")
    assert "freed of 0 sessions" in result.stdout
    for path, reason in (
        (root / "link", "it is a link"),
        (root / "stranger", "there is no session.json"),
        (later, "later workbench"),
        (undated, "its date is not known"),
        (begun, "it is being written"),
        (written, "it is being written"),
    ):
        assert path.exists()
        assert any(path.name in line and reason in line for line in result.stderr.splitlines()), path.name
    assert (elsewhere / "events.jsonl").exists()
    os.close(descriptor)
    ran("--older-than", "1d", "--yes")
    assert not written.exists()


def test_links_in_a_session_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    old = stored(31)
    (old / "out").symlink_to(tmp_path / "precious")
    (old / "mic.wav").symlink_to(tmp_path / "precious" / "file")
    result = ran("--older-than", "30d", "--yes", "--json")
    assert json.loads(result.stdout.splitlines()[0])["size_bytes"] == 1000
    assert not old.exists()
    assert (tmp_path / "precious" / "file").exists()


def test_without_anybody_to_ask_nothing_goes() -> None:
    old = stored(31)
    with pytest.raises(UsageError, match="nobody to ask"):
        ran("--older-than", "30d")
    assert old.exists()


@pytest.mark.parametrize("agrees", [True, False])
def test_on_a_terminal_it_asks(
    agrees: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = stored(31)
    ours, theirs = pty.openpty()
    os.write(ours, b"y\n" if agrees else b"n\n")
    with os.fdopen(theirs) as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", terminal)
        with nullcontext() if agrees else pytest.raises(click.Abort):
            prune.main(["--older-than", "30d"], standalone_mode=False)
    os.close(ours)
    shown = capsys.readouterr().err
    assert old.name in shown
    assert "Remove 1 session (0.0 MB) for good?" in shown
    assert old.exists() != agrees


def test_an_interrupted_removal_leaves_whole_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is half gone has no name of a session any more, and goes with the next prune."""
    older, old = stored(40), stored(31)

    def interrupted(path: Path) -> None:
        (path / "events.jsonl").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", interrupted)
        with pytest.raises((KeyboardInterrupt, click.Abort)):
            CliRunner().invoke(
                prune, ["--older-than", "30d", "--yes"], standalone_mode=False, catch_exceptions=False
            )
    assert not older.exists()
    assert [info.path for info in sessions()] == [old]
    assert len(list(root.iterdir())) == 2
    ran("--older-than", "1000d", "--yes")
    assert [*root.iterdir()] == [old]


def test_a_redaction_that_was_cut_between_its_renames_is_brought_to_its_end(root: Path) -> None:
    recording = stored(1)
    whole = (recording / "session.json").read_bytes()
    shutil.copytree(recording, root / f".{recording.name}.whole-00000000")
    recording.rename(root / f".{recording.name}.removed-00000000")
    (root / f".{recording.name}.redacted-00000000").mkdir()  # of an earlier one, half written
    remove_leftovers(root)
    assert [path.name for path in root.iterdir()] == [recording.name]
    assert (recording / "session.json").read_bytes() == whole


def test_a_redaction_that_is_being_written_is_left_alone(root: Path) -> None:
    recording = stored(1)
    part = root / f".{recording.name}.redacted-00000000"
    part.mkdir()
    with held(part):
        remove_leftovers(root)
        assert part.is_dir()
    remove_leftovers(root)
    assert [path.name for path in root.iterdir()] == [recording.name]


def test_what_cannot_be_removed_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = stored(31)

    def refused(path: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(UsageError, match=f"{old.name} could not be removed: Permission denied"):
        ran("--older-than", "30d", "--yes")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--older-than", "30"], "is no age"),
        (["--older-than", "-3d"], "is no age"),
        (["--older-than", "\x1b[31m"], "is no age"),
        (["--keep-bytes", "lots"], "is no size"),
        (["--keep-bytes", "1e400"], "is no size"),
    ],
)
def test_what_is_no_age_or_size_is_refused(arguments: list[str], reason: str) -> None:
    result = ran(*arguments)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert "\x1b" not in result.stderr


def test_it_needs_to_know_what_and_where(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="what may go"):
        ran()
    default_root().rmdir()
    assert "freed of 0 sessions" in ran("--older-than", "1d").stdout
    with pytest.raises(UsageError, match="No such file or directory"):
        ran("--older-than", "1d", "--dir", str(tmp_path / "nowhere"))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="Not a directory"):
        ran("--older-than", "1d", "--dir", str(tmp_path / "file"))
