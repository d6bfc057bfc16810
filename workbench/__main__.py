"""The command `workbench`: errors become an exit code and a message that says what to do."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from workbench.model.errors import WorkbenchError

USAGE, INTERRUPTED = 2, 130


def main() -> NoReturn:
    """Run the command line and exit (codes: `workbench.model.errors`; 130 for Ctrl-C)."""
    code = run(sys.argv[1:])
    if "livekit.rtc" in sys.modules:
        # Its native threads call back into an interpreter that is ending, and one in eight of them aborted the process.
        # Everything of ours is closed by now, but for what was printed.
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line, and return the exit code."""
    import click  # 20 ms

    from workbench.cli import main as commands
    from workbench.model.errors import WorkbenchError

    _open_standard_streams()
    output = sys.stdout
    try:
        code = commands.main(arguments, prog_name="workbench", standalone_mode=False)
    except SystemExit as leaving:  # click replaces the output, and says 1, when nobody reads on
        code = leaving.code if sys.stdout is output else 0
    except click.ClickException as error:
        error.show()
        code = USAGE
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    except WorkbenchError as error:
        code = _report(error)
    except Exception as error:  # noqa: BLE001  # the last line of defence
        if isinstance(error, OSError) and _raised_by_printing(error):
            code = _report_output(error)
        else:
            code = _report_internal(error)
    try:
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError) and code != USAGE:  # `workbench … | head`: nobody reads on
            code = _report_output(error)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code if isinstance(code, int) else 0


def _raised_by_printing(error: OSError) -> bool:
    """Decide whether an error comes from a module that prints, and writes nothing else."""
    import traceback

    *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
    return innermost.f_globals["__name__"] in ("click.utils", "rich.console")


def _report_output(error: OSError) -> int:
    """Report that standard output cannot be written: a full disk, most likely."""
    from workbench.model.errors import UsageError

    reason = f"standard output cannot be written: {error.strerror}"
    return _report(UsageError(reason, "make room where it goes to, or send it elsewhere"))


def _open_standard_streams() -> None:
    """Put the null device in the place of a closed one (`>&-`), or the next file that is opened would be it."""
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(free)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _report(error: WorkbenchError) -> int:
    """Print the reason and what to do, in colour where it can be seen; return the exit code."""
    import click

    from workbench.model.text import plain

    label = "Error:" if os.environ.get("NO_COLOR") else click.style("Error:", fg="red")
    click.echo(f"{label} {plain(error.reason)}", err=True)
    if error.hint:
        click.echo(f"  → {plain(error.hint)}", err=True)
    return error.exit_code


def _report_internal(error: Exception) -> int:
    """Print one line for a person; the traceback goes to a file, without the values of secrets."""
    import traceback

    from workbench.model.errors import InternalError, WorkbenchError
    from workbench.model.text import plain, redacted

    leaves = _leaves(error)
    expected = [leaf for leaf in leaves if isinstance(leaf, WorkbenchError)]
    if len(expected) == len(leaves):  # those of a task group
        return max(_report(leaf) for leaf in expected)
    first = next(leaf for leaf in leaves if not isinstance(leaf, WorkbenchError))
    reason = plain(redacted(f"{type(first).__name__}: {first}"), limit=300, one_line=True)
    file = _state_file("crash.txt", redacted("".join(traceback.format_exception(error))))
    hint = f"please report it with {file}" if file else ""
    return _report(InternalError(f"something went wrong inside workbench: {reason}", hint))


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _state_file(name: str, text: str) -> Path | None:
    """Write a file that only its user can read, and return it; None if that can't be done."""
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    folder = (base if base.is_absolute() else Path.home() / ".local" / "state") / "workbench"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = folder / name
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:
        return None
    return file


if __name__ == "__main__":
    main()
