"""A Python file of the user's (an agent, a loose plugin), run as a module of its own."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.model.errors import UsageError
from workbench.model.text import plain, redacted


def run_file(
    file: Path, name: str, *, absent: UsageError, advise: Callable[[BaseException], str] | None = None
) -> ModuleType:
    """Run the file as the module `name`; UsageError names file, line and reason, and is `absent` if there is no file.

    Like with `python FILE`, the file's folder is where it can import its neighbours from.
    """
    code = _compiled(file, absent)
    module = ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module  # dataclasses and pickle look themselves up here
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        exec(code, vars(module))
    except (Exception, SystemExit) as error:  # the code is the user's: anything may come out of it
        raise _error_in(file, error, advise or advice) from error
    return module


def advice(error: BaseException) -> str:
    """Return what to do about an error that the file raised."""
    if isinstance(error, ModuleNotFoundError):
        return "install it where workbench is installed, or put it beside the file"
    return "correct the file"


def _compiled(file: Path, absent: UsageError) -> Any:
    try:
        return compile(file.read_bytes(), str(file), "exec")
    except FileNotFoundError:
        raise absent from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    except SyntaxError as error:
        raise UsageError(f"{file}:{error.lineno or 1}: {error.msg}", "correct the file") from None
    except ValueError as error:  # a null byte
        raise UsageError(f"{file} is not a Python file: {error}") from None


def _error_in(file: Path, error: BaseException, advise: Callable[[BaseException], str]) -> UsageError:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    line = frames[-1].lineno if frames else 1
    if isinstance(error, UsageError):
        return UsageError(f"{file}:{line}: {error.reason}", error.hint)
    reason = plain(redacted(f"{type(error).__name__}: {error}"), limit=300, one_line=True)
    return UsageError(f"{file}:{line}: {reason}", advise(error))
