"""A turn saved as a test: what is written, and what comes of it when the agent is another one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.replay.conftest import write_agent
from workbench.__main__ import run
from workbench.model.errors import UsageError
from workbench.replay import SAVED_TURN
from workbench.replay.saved_turn import problems_of, save_turn

Output = pytest.CaptureFixture[str]
BEFORE = Path("before")


def saved(number: int = 2, agent: str | None = "my_agent.py") -> Path:
    """The file of a saved turn."""
    return save_turn(BEFORE, number, agent=Path(agent) if agent else None) / SAVED_TURN


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text("utf-8")
    assert before in text
    file.write_text(text.replace(before, after), encoding="utf-8")


def test_the_command_writes_a_small_folder_that_passes(desk: Path, capsys: Output) -> None:
    assert run(["save-test", "before", "--turn", "2", "--agent", "my_agent.py"]) == 0
    out, err = capsys.readouterr()
    assert out == "tests/turns/how-is-the-weather-in-oslo\n"
    assert "it passes" in err
    text = (desk / out.strip() / SAVED_TURN).read_text("utf-8")
    assert 'agent = "../../../my_agent.py"' in text
    assert 'user_text = "how is the weather in Oslo"' in text
    assert 'agent_contains = ["It rains in Oslo."]' in text
    assert 'arguments = {"city" = "Oslo"}' in text
    session = desk / out.strip() / "session"
    assert not (session / "agent.wav").exists()
    assert (session / "user.wav").stat().st_size < (desk / "before" / "user.wav").stat().st_size


def test_each_turn_passes_as_it_was_recorded(desk: Path) -> None:
    assert [problems_of(saved(number, None)) for number in (1, 2, 3)] == [[], [], []]


def test_a_prompt_that_breaks_it_is_named(desk: Path) -> None:
    file = saved()
    write_agent(desk / "my_agent.py", "Be rude.")
    edit(file.parent / "session" / "session.json", '"Good morning to you."', '"Get lost."')
    edit(file.parent / "session" / "session.json", "weather in", "climate of")
    missing, tools, instructions, asked, _ = problems_of(file)
    assert "expected: It rains in Oslo." in missing
    assert "it is:    Very well." in missing
    assert 'expected: weather(city="Oslo")' in tools
    assert "[-brief.-]{+rude.+}" in instructions
    assert asked == "the language model was asked what is not in the recording: how is the weather in Oslo"


def test_another_prompt_with_the_same_answer_passes(desk: Path) -> None:
    file = saved()
    write_agent(desk / "my_agent.py", "Be brief, and kind.")
    assert problems_of(file) == []


def test_what_a_person_expects_counts(desk: Path) -> None:
    file = saved()
    edit(file, '["It rains in Oslo."]', '["rains"]')
    assert problems_of(file) == []
    edit(file, '["rains"]', '["umbrella"]')
    (problem,) = problems_of(file)
    assert "expected: umbrella" in problem


def test_todays_tools_run_where_they_are_called_otherwise(desk: Path) -> None:
    file = saved()
    agent = desk / "my_agent.py"
    edit(agent, "It rains in", "It snows in")
    assert problems_of(file) == []  # asked the same, it answers as recorded


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["before", "--turn", "7"], "there is no turn 7"),
        (["before", "--turn", "0"], "0 is not in the range"),
        (["before"], "Missing option '--turn'"),
        (["before", "--turn", "1", "-o", "before"], "before is there already"),
        (["before", "--turn", "1", "-o", "my_agent.py/x"], "cannot be written"),
        (["before", "--turn", "1", "--agent", "none.py"], "no agent file none.py"),
        (["bare", "--turn", "1"], "no cassette"),
    ],
)
def test_bad_input_writes_nothing(desk: Path, capsys: Output, words: list[str], reason: str) -> None:
    shutil.copytree("before", "bare")
    shutil.rmtree("bare/cassette")
    there = sorted(desk.rglob("*"))
    assert run(["save-test", *words]) == 2
    assert reason in capsys.readouterr().err
    assert sorted(it for it in desk.rglob("*") if it.name != "__pycache__") == there


def test_a_folder_of_which_a_part_is_gone_says_so(desk: Path) -> None:
    file = saved()
    (file.parent / "session" / "user.wav").unlink()
    with pytest.raises(UsageError, match=r"user\.wav"):
        problems_of(file)


def pytest_turns(desk: Path) -> subprocess.CompletedProcess[str]:
    words = ["-q", "-p", "workbench.testing.pytest_plugin", "-p", "no:cacheprovider", "tests/turns"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=desk,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_pytest_runs_it_and_says_in_words_why_it_fails(desk: Path) -> None:
    file, broken = saved(2), saved(1)
    edit(broken, '["Good morning to you."]', '["Good evening"]')
    edit(saved(3), "[expect]", "[expected]")
    done = pytest_turns(desk)
    assert done.returncode == 1
    assert "1 passed" not in done.stdout or "2 failed" in done.stdout
    assert "2 failed, 1 passed" in done.stdout
    assert "expected: Good evening" in done.stdout
    assert "expected is nothing that can be expected" in done.stdout
    assert "Traceback" not in done.stdout
    assert "problems_of" not in done.stdout
    assert str(broken) in done.stdout
    assert file.parent.name not in done.stdout.partition("short test summary")[2]
