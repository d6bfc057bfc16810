"""TOML: a file with the line of what is wrong in it, and values as they are written."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.model.errors import UsageError
from workbench.model.text import plain


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """Return text and table of a file. UsageError names file, line and reason."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", "save it as UTF-8") from None
    try:
        return text, tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        match = re.search(r"^(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
        line = (match and match[2]) or len(text.splitlines())
        place, reason = f"{path}:{line}", match[1] if match else str(error)
        raise UsageError(f"{place}: not TOML: {plain(reason)}", "correct that line") from None


def toml_value(value: Any) -> str:
    """Return a value as TOML in one line; JSON's text, numbers and booleans are. None, which TOML has no word for, is
    `null`, for people to read."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{toml_value(str(key))} = {toml_value(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
