"""`workbench export` as it is typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden_recordings import golden_recording
from workbench.__main__ import run
from workbench.cli.export import FORMATS
from workbench.cli.output import new_file, new_folder, write_new
from workbench.model.errors import UsageError
from workbench.plugin.manager import exporters


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return str(golden_recording("interruption", tmp_path / "talk"))


def said(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    assert run(["export", *arguments]) == code
    out, err = capsys.readouterr()
    return err if code else out


def test_each_format_of_the_help_is_there() -> None:
    assert {exporter.name for plugin, exporter in exporters() if plugin == "builtin"} == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_written_whole_and_replaces_nothing(
    name: str, talk: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made"
    assert run(["export", talk, "--format", name, "-o", str(out)]) == 0
    assert capsys.readouterr().err == f"wrote {out}\n"
    assert out.is_dir() == (name in ("audacity", "eot-bench"))
    assert "is there already" in said(capsys, 2, talk, "--format", name, "-o", str(out))
    assert {path.name for path in tmp_path.iterdir()} <= {"made", "talk", "home"}


def test_text_goes_to_standard_output(talk: str, capsys: pytest.CaptureFixture[str]) -> None:
    *turns, last = said(capsys, 0, talk, "--format", "jsonl").splitlines()
    assert [json.loads(line)["turn"] for line in turns] == [1, 2]
    assert json.loads(last)["summary"]["turns"] == 2
    assert said(capsys, 0, talk, "--format", "jsonl", "-o", "-").splitlines() == [*turns, last]


def test_what_cannot_be_is_refused_with_the_next_step(
    talk: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "there are – csv: a row" in said(capsys, 2, talk, "--format", "xml")
    assert "name a new one" in said(capsys, 2, talk, "--format", "audacity")
    assert "already" in said(capsys, 2, talk, "--format", "audacity", "-o", "full")
    assert "goes with --format otel" in said(capsys, 2, talk, "--format", "csv", "--content")
    assert "take one" in said(capsys, 2, talk, "--format", "otel", "--to", "http://h", "-o", "x")
    assert "no address" in said(capsys, 2, talk, "--format", "otel", "--to", "nowhere")
    assert "cannot be written" in said(capsys, 2, talk, "--format", "csv", "-o", "no/such/place")
    assert "no session" in said(capsys, 2, "--format", "csv")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_told(talk: str, capfd: pytest.CaptureFixture[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "workbench", "export", talk, "--format", "csv"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd="/")
    assert ended.returncode == 2
    assert "standard output cannot be written" in ended.stderr


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"

    def half(error: BaseException) -> None:
        with new_file(file) as stream, new_folder(folder) as part:
            stream.write(b"half")
            (part / "half").touch()
            raise error

    with pytest.raises(KeyboardInterrupt):
        half(KeyboardInterrupt())
    with pytest.raises(UsageError, match="cannot be written: No space"):
        half(OSError(28, os.strerror(28)))
    assert [*tmp_path.iterdir()] == []
    with pytest.raises(UsageError, match="is there already"), new_file(file):
        file.write_text("somebody was quicker")
    assert file.read_text() == "somebody was quicker"
    folder.mkdir()
    with new_folder(folder) as part:
        (part / "whole").touch()
    assert (folder / "whole").exists()


def test_a_link_is_followed_where_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_new(tmp_path / "link", "new", force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UsageError, match="is there already"):
        write_new(tmp_path / "dangling", "new")
