"""What README and docs show is run as it stands there, on the scripted profile."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.documentation import PAGES, ROOT, blocks, in_a_room, lines
from tests.golden_recordings import golden_recording
from tests.replay.tune_material import hesitant
from workbench.config import load_settings

MAY_LACK = ("doctor", "models verify")
"""Commands that say by their exit code that this machine lacks something."""


def commands() -> list[str]:
    return [line for line in lines() if not in_a_room(line)]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the commands name, and the scripted profile."""
    shutil.copy(ROOT / "tests" / "data" / "question.wav", tmp_path)
    (tmp_path / "my_agent.py").write_text(
        "from workbench import Agent\nagent = Agent(instructions='Be brief.')\n"
    )
    monkeypatch.setenv("WORKBENCH_PROFILE", "scripted")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_commands_to_run() -> None:
    assert len(commands()) >= 10


@pytest.mark.parametrize("command", commands())
def test_a_command_that_is_shown_works(command: str, desk: Path) -> None:
    words = shlex.split(command, comments=True)[1:]
    if words[0] == "init":
        (desk / "my_agent.py").unlink()
    if words[:2] == ["config", "validate"]:
        (desk / "workbench.toml").write_text('profile = "scripted"\n')
    if words[0] in ("compare", "redact", "rerun", "save-test"):
        for name in ("before", "after") if words[0] in ("compare", "redact") else ("before",):
            agent = [word for word in words if word.endswith(".py")]
            record = ["run", *agent, "--source", "question.wav", "--fast", "--record", name]
            subprocess.run([sys.executable, "-m", "workbench", *record], check=True, capture_output=True)
    if words[0] == "tune":
        for name in {"before", "after"} & {*words}:
            hesitant(desk / name)
    if words[0] in ("export", "report", "replay"):
        golden_recording("interruption", desk / "talk")
    if words[0] == "tui":
        words += ["--source", "question.wav", "--no-record", "--screenshot", "picture.svg"]
    if words[0] == "replay" and "--json" not in words:
        words += ["--screenshot", "picture.svg"]
    if words[0] == "serve":
        words[words.index("--port") + 1] = "0"
    program = subprocess.Popen(
        [sys.executable, "-m", "workbench", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    with program:
        if words[0] == "serve":
            assert program.stderr
            for line in program.stderr:
                if "curl" in line:
                    break
            program.send_signal(signal.SIGINT)
        _, told = program.communicate(timeout=60)
    allowed = {130} if words[0] == "serve" else {0, 1, 3} if command.split(" ", 1)[1] in MAY_LACK else {0}
    assert program.returncode in allowed, told
    assert "Traceback" not in told


@pytest.mark.parametrize("code", blocks("python"))
def test_code_that_is_shown_runs(code: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    if "w" in names:  # a live widget, whose session would go on
        names["w"].end()


@pytest.mark.parametrize("table", blocks("toml"))
def test_settings_that_are_shown_are_valid(table: str, desk: Path) -> None:
    (desk / "workbench.toml").write_text(table)
    assert load_settings({}).file


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https:)([^)#:]+)[^)]*\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_every_decision_is_in_the_index() -> None:
    decisions = ROOT / "docs" / "decisions"
    index = (decisions / "README.md").read_text("utf-8")
    assert all(f"({record.name})" in index for record in decisions.glob("0*.md"))
