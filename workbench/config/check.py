"""Whether settings can be used, and what to do where they can't."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.config.room import SECRET
from workbench.config.settings import (
    DEFAULT_PROFILE,
    MODEL_STAGES,
    PROFILES,
    McpSettings,
    Settings,
    known_settings,
    known_tables,
)
from workbench.model.errors import UsageError
from workbench.model.text import plain


@dataclass(frozen=True, slots=True)
class Given:
    """A value and where it was given, in words."""

    value: Any
    origin: str


def validated(given: Mapping[str, Given], path: Path | None) -> Settings:
    """The settings from what was given by dotted name. Raises UsageError for the first that cannot be used."""
    nested: dict[str, Any] = {}
    for name, one in given.items():
        _must_be_known(name, one.origin)
        _put(nested, name, _finite(name, one))
    for stage in MODEL_STAGES:  # a table without a provider keeps the default one
        nested.setdefault(stage, {}).setdefault("provider", PROFILES[DEFAULT_PROFILE][f"{stage}.provider"])
    try:
        settings = Settings.model_validate(nested)
    except ValidationError as error:
        raise _refused(error, given) from None
    settings.remember(path, {name: one.origin for name, one in given.items()})
    return settings


def change(settings: Settings, name: str, value: Any) -> None:
    """Change one setting while a session runs. Raises UsageError for an unknown name or a value that is not allowed."""
    one = Given(value, "set")
    _must_be_known(name, one.origin)
    *tables, key = name.split(".")
    target: Any = settings
    for table in tables:
        target = getattr(target, table)
    try:
        setattr(target, key, _finite(name, one))
    except ValidationError as error:
        raise _refused(error, {name: one}, tuple(tables)) from None
    settings.remember(settings.file, {name: "changed while running"})


def nearest(word: str, words: Iterable[str]) -> str:
    """`did you mean …?`, or nothing where no word is near."""
    near = get_close_matches(word, list(words), n=1)
    return f"did you mean {near[0]}?" if near else ""


def parents(name: str) -> Iterable[str]:
    """`a.b.c`, `a.b`, `a`."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _put(nested: dict[str, Any], name: str, value: Any) -> None:
    *tables, key = name.split(".")
    for table in tables:
        nested = nested.setdefault(table, {})
    nested[key] = value


def _finite(name: str, one: Given) -> Any:
    if isinstance(one.value, float) and not math.isfinite(one.value):
        raise UsageError(f"{one.origin}: {name} = {one.value}: not a number to work with", _allowed(name))
    return one.value


def _must_be_known(name: str, origin: str) -> None:
    """Raises UsageError, with the nearest name, for what is no setting."""
    known, tables = known_settings(), known_tables()
    table, _, key = name.rpartition(".")
    if name in known:
        return
    if name in tables:
        raise UsageError(f"{origin}: {name} is a table of settings", f"write [{name}]")
    if table and table not in tables:
        hint = nearest(table, tables) or f"tables: {', '.join(tables)}"
        raise UsageError(f"{origin}: [{plain(table)}] is no table of settings", hint)
    siblings = [other.rpartition(".")[2] for other in known if other.rpartition(".")[0] == table]
    hint = nearest(key, [*siblings, *(() if table else tables)]) or nearest(key, known)
    there = f"[{table}] has" if table else "there are"
    raise UsageError(f"{origin}: {plain(name)} is no setting", hint or f"{there}: {', '.join(siblings)}")


def _refused(error: ValidationError, given: Mapping[str, Given], tables: tuple[str, ...] = ()) -> UsageError:
    """The first thing that is wrong, in words."""
    first = error.errors()[0]
    name = ".".join(map(str, (*tables, *first["loc"])))
    if name.startswith("mcp."):
        return _refused_server(name, first, given)
    name = next((parent for parent in parents(name) if parent in given), name)
    one = given.get(name, Given(first["input"], "settings"))
    shown = "…" if name.endswith(SECRET) else plain(repr(_without_login(name, one.value)), 80, one_line=True)
    reason = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
    words = re.findall(r"'([^']*)'", first.get("ctx", {}).get("expected", ""))
    hint = nearest(str(one.value), words) if words else _allowed(name)
    return UsageError(
        f"{one.origin}: {name} = {shown}: {plain(reason)}", hint or f"allowed: {', '.join(words)}"
    )


def _refused_server(name: str, first: Any, given: Mapping[str, Given]) -> UsageError:
    """Of an MCP server: what was given may be a secret, so it is not shown."""
    origin = given["mcp"].origin if "mcp" in given else "settings"
    words = [*McpSettings.model_fields]
    server, _, word = name.removeprefix("mcp.").partition(".")
    if first["type"] == "extra_forbidden":
        hint = nearest(word, words) or f"there are: {', '.join(words)}"
        return UsageError(f"{origin}: [mcp.{plain(server, 60)}] has no {plain(word, 60)}", hint)
    reason = plain(first["msg"].removeprefix("Input "), 200, one_line=True)
    hint = 'write [mcp.NAME] with command = ["…"] or url = "…"'
    return UsageError(f"{origin}: {plain(name, 100)}: {reason}", hint)


def _without_login(name: str, value: Any) -> Any:
    """What stands before an @ in an address may be a password."""
    return (
        value.rpartition("@")[2]
        if name.endswith((".base_url", "room.url")) and isinstance(value, str)
        else value
    )


def _allowed(name: str) -> str:
    """The bounds of a setting, in words."""
    if name.endswith(".base_url"):
        return "write it like http://localhost:11434/v1"
    info = known_settings().get(name)
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [
        f"{sign} {getattr(bound, key):g}"
        for bound in (info.metadata if info else ())
        for key, sign in signs.items()
        if getattr(bound, key, None) is not None
    ]
    return f"allowed: {' and '.join(bounds)}" if bounds else "see `workbench config show`"
