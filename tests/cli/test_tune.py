"""`workbench tune` as it is typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.replay.tune_material import LABELS, hesitant
from workbench.cli.tune import tune
from workbench.model.errors import UsageError

GRID = (
    "--grid",
    "turn.silence_ms=200,600,900",
    "--set",
    "turn.provider=silence",
    "--set",
    "turn.adapt=false",
)
TOML = """\
# mine
profile = "scripted"   # no models

[turn] # when a turn ends
# silence_ms = 350
provider = "silence"
adapt = false

[llm]
provider = "scripted"
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hesitant(tmp_path_factory.mktemp("tune") / "rec", "<b>bold</b> \x1b[31mwords")


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recording: Path) -> None:
    monkeypatch.setenv("WORKBENCH_PROFILE", "scripted")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(recording, tmp_path / "rec")


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(tune, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def test_people_see_the_front_the_settings_in_use_and_what_would_change() -> None:
    text = run("rec", *GRID, "--pick", "3").stdout
    assert "1 recording: 2 pauses within turns, 3 ends of turns; 4 combinations of settings tried" in text
    assert "these are few" in text
    assert "0 of 2 (0\xa0%)" in text
    assert "turn.silence_ms=900" in text
    assert "cut after" in text
    assert "→ not cut" in text
    assert "◆" in text
    assert "●" in text
    assert "\x1b" not in text


def test_programs_read_every_point_and_a_summary() -> None:
    *points, last = map(json.loads, run("rec", *GRID, "--json").stdout.splitlines())
    assert [point["point"] for point in points] == [0, 1, 2, 3]
    summary = last["summary"]
    assert (summary["pauses"], summary["ends"]) == (2, 3)
    assert summary["in_use"]["settings"] == {}
    assert [point["false_cutoffs"] for point in summary["front"]] == [2, 1, 0]
    assert summary["latency_at_5_percent_cutoffs_ms"] == pytest.approx(900, abs=30)


def test_a_page_and_a_picture_hold_everything() -> None:
    run("rec", *GRID, "--pick", "3", "-o", "tune.html", "-o", "tune.png")
    page = Path("tune.html").read_text("utf-8")
    assert "<svg" in page
    assert "data:audio/flac" in page
    assert "<script" not in page
    assert "http" not in page
    assert "<b>bold</b>" not in page
    assert Path("tune.png").read_bytes().startswith(b"\x89PNG")


def test_the_chosen_settings_are_written_and_all_else_stays() -> None:
    Path("workbench.toml").write_text(TOML, "utf-8")
    run("rec", "--grid", "turn.silence_ms=200,600,900", "--pick", "3", "--write")
    assert Path("workbench.toml").read_text("utf-8") == TOML.replace(
        "adapt = false\n", "adapt = false\nsilence_ms = 900\n"
    )
    again = run("rec", "--grid", "turn.silence_ms=200,600,900", "--json").stdout.splitlines()[-1]
    assert json.loads(again)["summary"]["in_use"]["false_cutoffs"] == 0


def test_silences_are_listed_and_corrected() -> None:
    assert [line.split()[2] for line in run("rec", "--silences").stdout.splitlines()] == LABELS
    text = run("rec", "--label", "3=end", "--label", "5=unclear").stdout.splitlines()
    assert "end (by hand)" in text[2]
    rows = [json.loads(line) for line in run("rec", "--silences", "--json").stdout.splitlines()]
    assert [row["label"] for row in rows] == ["pause", "end", "end", "end", "unclear"]
    run("rec", "--label", "3=auto", "--label", "5=auto")
    assert json.loads(Path("rec/labels.json").read_text("utf-8")) == {"v": 1, "silences": []}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere"], "no sessions are called"),
        (["rec", "--pick", "9", *GRID], "the front has 3 points"),
        (["rec", "--label", "9=end"], "there is no silence 9"),
        (["rec", "--label", "1=maybe"], "no correction"),
        (["rec", "--label", "\x1b=end"], "no correction"),
        (["rec", "rec", "--label", "1=end"], "one recording"),
        (["rec", "-o", "tune.doc"], "what should that be"),
        (["rec", "-o", "no/tune.html"], "no folder"),
        (["rec", "--grid", "turn.silence_ms=1"], "greater than or equal"),
        (["rec", "--dask", "nonsense", *GRID], "no dask scheduler"),
    ],
)
def test_what_cannot_be_is_said(arguments: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as error:
        run(*arguments)
    assert "\x1b" not in str(error.value)
    assert error.value.hint


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "no labels"),
        ('{"v": 2, "silences": []}', "version 2"),
        ('{"v": 1, "silences": [{"at_sample": "x", "label": "end"}]}', "no label"),
        ('{"v": 1, "silences": [{"at_sample": 1, "label": "\\u001b[31m"}]}', "no label"),
        ('{"v": 1, "silences": [{"at_sample": 99999999, "label": "end"}]}', "no silence at 6250.00 s"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_labels_that_do_not_fit_are_refused(content: str, reason: str) -> None:
    Path("rec/labels.json").write_text(content, "utf-8")
    with pytest.raises(UsageError, match=reason):
        run("rec", *GRID)


def test_recordings_without_sound_or_too_short_are_refused() -> None:
    sound = Path("rec/user.wav")
    sound.write_bytes(sound.read_bytes()[:1000])
    with pytest.raises(UsageError, match=r"user.wav has 0.0 s"):
        run("rec", *GRID)
    sound.unlink()
    with pytest.raises(UsageError, match=r"no user.wav"):
        run("rec", *GRID)


def test_a_file_that_cannot_be_written_is_said() -> None:
    Path("workbench.toml").write_text('turn = {provider = "silence", adapt = false}\n', "utf-8")
    run("rec", "--grid", "turn.silence_ms=200,600,900", "--pick", "3", "--write")
    assert "silence_ms = 900" in Path("workbench.toml").read_text("utf-8")
    Path("workbench.toml").unlink()
    Path("folder").mkdir()
    with pytest.raises(UsageError):
        run("rec", *GRID, "--config", "folder", "--write")
