"""docs/plugins.md, done as it stands there: from nothing to a tool that is called by voice."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from workbench.cli.output import template

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
OFFLINE = ["--quiet", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python to install into, which has all that this one has."""
    venv.create(tmp_path / "venv", symlinks=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "base.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    return tmp_path / "venv" / "bin" / "python"


def test_the_tutorial_works_from_its_first_command_to_its_last(python: Path, tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    desk.mkdir()
    shutil.copy(ROOT / "tests" / "data" / "question.wav", desk)
    said: dict[str, str] = {}
    for kind, body in BLOCKS:
        if kind == "toml":
            (desk / "workbench.toml").write_text(body)
        elif named := re.match(r"# (\w+\.py)\n", body):
            (desk / named[1]).write_text(body)
        for line in body.splitlines() if kind == "console" else ():
            said[line] = _done(python, desk, line.removeprefix("$ "))
    results = [*said.values()]
    assert "3 passed" in results[2]
    assert "workbench_tools: dice" in results[3]
    assert '"sides"' in results[4]
    assert "The die shows" in results[5]
    assert "user   Please roll a die." in results[6]
    assert re.search(r"agent  There it goes\. The die shows \d+\.", results[6])
    assert "plugin quiet.py: listens to turn_ended, before_tts" in results[7]
    assert "dice     dice 0.1.0" in results[8]
    assert "quiet (quiet.py)" in results[9]


def _done(python: Path, desk: Path, line: str) -> str:
    """What a command says, on both streams."""
    program, *arguments = shlex.split(line)
    if program == "pip":
        arguments = [arguments[0], *OFFLINE, *arguments[1:]]
    done = subprocess.run(
        [str(python), "-m", program, *arguments],
        cwd=desk,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": "", "PIP_REQUIRE_VIRTUALENV": ""},
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}"
    return done.stdout


def test_the_tutorial_shows_the_tool_that_plugins_new_writes() -> None:
    written = template("plugin/src/module/plugin.py", name="dice", module="dice")
    shown = next(body for kind, body in BLOCKS if kind == "python" and "def dice" in body)
    start, stop = "@tool", '    return f"The die'
    assert (
        written[written.index(start) : written.index(stop)] == shown[shown.index(start) : shown.index(stop)]
    )
