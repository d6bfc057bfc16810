from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from workbench.__main__ import run
from workbench.cli import COMMANDS, main
from workbench.model.errors import MissingError, StageError, UsageError


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Puts a command `doctor` in place that does what it is told."""

    def put(body: Callable[[], object]) -> None:
        import workbench.cli.doctor

        monkeypatch.setattr(workbench.cli.doctor, "doctor", click.Command("doctor", callback=body))

    return put


def _raises(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


Put = Callable[[Callable[[], object]], None]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("r", "h"), 2),
        (MissingError("r", "h"), 3),
        (StageError("r", "h"), 4),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_exit_codes(command: Put, error: BaseException, code: int) -> None:
    command(_raises(error))
    assert run(["doctor"]) == code


def test_an_error_is_its_reason_and_what_to_do_without_a_traceback(
    command: Put, capsys: pytest.CaptureFixture[str]
) -> None:
    command(_raises(UsageError("no \x1b[2Jfile\u202e x", "write\x07 one")))
    run(["doctor"])
    assert capsys.readouterr().err == "Error: no file x\n  → write one\n"


def test_a_group_of_errors_says_each(command: Put, capsys: pytest.CaptureFixture[str]) -> None:
    command(_raises(ExceptionGroup("", [UsageError("one"), ExceptionGroup("", [MissingError("two")])])))
    assert run(["doctor"]) == 3
    assert capsys.readouterr().err == "Error: one\nError: two\n"


def test_our_own_fault_is_one_line_and_a_file_without_secrets(
    command: Put, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("MY_API_KEY", "hunter22")
    command(_raises(RuntimeError("lost hunter22 and sk-abcdefghijkl, Bearer tok")))
    assert run(["doctor"]) == 5
    said = capsys.readouterr().err
    file = tmp_path / "workbench" / "crash.txt"
    assert said.splitlines() == [
        "Error: something went wrong inside workbench: RuntimeError: lost … and …, Bearer …",
        f"  → please report it with {file}",
    ]
    assert "Traceback" in file.read_text()
    assert "hunter22" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_crash_whose_traceback_cannot_be_written_is_exit_code_5(
    command: Put, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    command(_raises(RuntimeError("x")))
    assert run(["doctor"]) == 5


@pytest.mark.parametrize(("leaves", "code"), [(SystemExit(7), 7), (SystemExit(), 0), (click.Abort(), 130)])
def test_commands_choose_their_exit_code(command: Put, leaves: BaseException, code: int) -> None:
    command(_raises(leaves))
    assert run(["doctor"]) == code


def test_an_unknown_command_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["docter"]) == 2
    assert "No command 'docter'. Did you mean doctor?" in capsys.readouterr().err
    assert run(["zzz"]) == 2
    assert "There are: up, run" in capsys.readouterr().err
    assert run(["--zzz"]) == 2
    assert run(["doctor", "--zzz"]) == 2


def test_help_lists_the_commands_and_version_prints_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"\n  {name} " in said for name in COMMANDS)
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("workbench 0.")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert "Example" in said
    assert f"workbench {name}" in said


def test_every_command_of_a_group_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    context = click.Context(main)
    for name in COMMANDS:
        group = main.get_command(context, name)
        for inner in group.commands if isinstance(group, click.Group) else ():
            assert run([name, inner, "--help"]) == 0
            assert "Example" in capsys.readouterr().out, f"{name} {inner}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "_WORKBENCH_COMPLETE" in capsys.readouterr().out


def _workbench(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workbench", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
    )


def test_the_shell_gets_completions() -> None:
    done = _workbench(_WORKBENCH_COMPLETE="bash_complete", COMP_WORDS="workbench do", COMP_CWORD="1")
    assert "doctor" in done.stdout


def test_exit_codes_and_broken_pipes_as_a_program(tmp_path: Path) -> None:
    assert _workbench("config", "show", "--config", str(tmp_path / "none.toml")).returncode == 2
    shell = f"'{sys.executable}' -m workbench config show | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert (done.stdout.splitlines()[-1], done.stderr) == ("0", "")


@pytest.mark.parametrize("command", ["--help", "models list", "config show", "models list --json"])
def test_a_closed_pipe_is_no_error(command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "workbench", *command.split()],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["--help", "config show", "models list"])
def test_a_full_standard_output_is_an_error_of_usage(command: str, unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "workbench", *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered, "NO_COLOR": "1"},
        )
    said = "Error: standard output cannot be written: No space left on device"
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, said)
    assert len(done.stderr.splitlines()) == 2


def test_standard_streams_may_be_closed(tmp_path: Path) -> None:
    script = f"{sys.executable} -m workbench init {tmp_path}/agent.py <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", script], check=False).returncode == 0
    assert "Agent(" in (tmp_path / "agent.py").read_text()


def test_no_color_prints_no_escapes(
    command: Put, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_: False)
    command(_raises(UsageError("r", "h")))
    run(["doctor"])
    assert capsys.readouterr().err == "Error: r\n  → h\n"
