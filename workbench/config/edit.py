"""Settings written into a workbench.toml that is there: all else in it, comments too, stays as it was."""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from workbench.config.sources import read_file
from workbench.model.errors import UsageError


def write_settings(path: Path, values: Mapping[str, Any]) -> None:
    """Set settings, by dotted name, in a settings file, which is made if it is not there; it is replaced in one step.

    Raises UsageError where it cannot be read or written, or is such that it would not say the same afterwards.
    """
    old = ""
    if path.exists():
        read_file(path)  # what is wrong with it is said with its line
        old = path.read_bytes().decode()
    new = _edited(old, values, path)
    try:
        _replace(path.resolve(), new)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", "see to its rights, or set it by hand"
        ) from None


def _edited(text: str, values: Mapping[str, Any], path: Path) -> str:
    """Return the text with the values set. UsageError unless it then says all that it said, and them."""
    expected = tomllib.loads(text)
    for name, value in values.items():
        _set(expected, name, value)
    with suppress(TOMLKitError, tomllib.TOMLDecodeError, TypeError):
        document = tomlkit.parse(text)
        for name, value in values.items():
            _set(document, name, value)
        new = tomlkit.dumps(document)
        if tomllib.loads(new) == expected:
            return new
    reason = f"{path} is written in a way that cannot be edited safely"
    raise UsageError(reason, f"set by hand: {_lines(values)}")


def _set(table: Any, name: str, value: Any) -> None:
    *tables, key = name.split(".")
    for each in tables:
        table = table.setdefault(each, {} if type(table) is dict else tomlkit.table())
    table[key] = int(value) if isinstance(value, float) and value.is_integer() else value


def _lines(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {tomlkit.item(value).as_string()}" for name, value in values.items())


def _replace(path: Path, text: str) -> None:
    """Write a file beside it, with its rights, and put that in its place."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(13, "it is read-only")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        part.chmod(mode)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
