"""Validation of settings: errors name the place, the setting and what is allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.config.request import read_table, read_value
from workbench.config.settings import (
    DEFAULT_PROFILE,
    MODEL_STAGES,
    PROFILES,
    SECRET,
    McpSettings,
    NamedProvider,
    Settings,
    known_settings,
    known_tables,
)
from workbench.model.errors import UsageError
from workbench.model.text import plain

TABLES = (".headers", ".extra_body")
"""Settings whose entries may be set one by one."""


@dataclass(frozen=True, slots=True)
class SourcedValue:
    """The value of a setting and where it comes from, in words."""

    value: Any
    origin: str


def validate(values: Mapping[str, SourcedValue], path: Path | None) -> Settings:
    """Return the settings of these values by dotted name. UsageError for the first that cannot be used."""
    values = _with_entries(values)
    nested: dict[str, Any] = {}
    for name, sourced in values.items():
        _check_name(name, sourced.origin)
        *tables, key = name.split(".")
        target = nested
        for table in tables:
            target = target.setdefault(table, {})
        target[key] = _finite(name, sourced)
    for stage in MODEL_STAGES:  # a table without a provider keeps the default one
        nested.setdefault(stage, {}).setdefault("provider", PROFILES[DEFAULT_PROFILE][f"{stage}.provider"])
    try:
        settings = Settings.model_validate(nested)
    except ValidationError as error:
        raise _error(error, values) from None
    settings.remember(path, {name: sourced.origin for name, sourced in values.items()})
    return settings


def _with_entries(values: Mapping[str, SourcedValue]) -> dict[str, SourcedValue]:
    """Return the values, those of a single entry (`llm.extra_body.temperature`) in their table."""
    names = known_settings()
    whole = {name: sourced for name, sourced in values.items() if _table_of(name, names) is None}
    for name, sourced in values.items():
        if (table := _table_of(name, names)) is None:
            continue
        try:
            before = read_table(whole[table].value) if table in whole else {}
        except ValueError:
            continue  # the table itself is no table: that is what is said
        if isinstance(before, dict):
            key = name.removeprefix(f"{table}.")
            value = sourced.value if table.endswith(SECRET) else read_value(sourced.value)
            whole[table] = SourcedValue({**before, key: value}, sourced.origin)
    return whole


def _table_of(name: str, names: Mapping[str, Any]) -> str | None:
    """Return the setting that is a table and has this entry, None for every other name."""

    def is_table(parent: str) -> bool:
        of_provider = parent.startswith("providers.") and parent.count(".") == 2
        return parent.endswith(TABLES) and (parent in names or of_provider)

    return None if name in names or is_table(name) else next(filter(is_table, parents(name)), None)


def change(settings: Settings, name: str, value: Any) -> None:
    """Change one setting while a session runs. UsageError for an unknown name or a value that is not allowed."""
    sourced = SourcedValue(value, "set")
    _check_name(name, sourced.origin)
    *tables, key = name.split(".")
    target: Any = settings
    for table in tables:
        target = getattr(target, table)
    try:
        setattr(target, key, _finite(name, sourced))
    except ValidationError as error:
        raise _error(error, {name: sourced}, tuple(tables)) from None
    settings.remember(settings.file, {name: "changed while running"})


def nearest(word: str, words: Iterable[str]) -> str:
    """Return `did you mean …?`, empty where no word is near."""
    near = get_close_matches(word, list(words), n=1)
    return f"did you mean {near[0]}?" if near else ""


def parents(name: str) -> Iterable[str]:
    """Yield `a.b.c`, `a.b`, `a`."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _finite(name: str, sourced: SourcedValue) -> Any:
    value = sourced.value
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{sourced.origin}: {name} = {value}: not a number to work with", _allowed(name))
    return value


def _check_name(name: str, origin: str) -> None:
    """Raise UsageError, with the nearest name, for what is no setting."""
    names, tables = known_settings(), known_tables()
    table, _, key = name.rpartition(".")
    if name in names:
        return
    if table.startswith("providers."):
        if key in NamedProvider.model_fields:
            return
        words = [*NamedProvider.model_fields]
        hint = nearest(key, words) or f"there are: {', '.join(words)}"
        raise UsageError(f"{origin}: [{plain(table, 80)}] has no {plain(key, 60)}", hint)
    if name in tables:
        raise UsageError(f"{origin}: {name} is a table of settings", f"write [{name}]")
    if table and table not in tables:
        hint = nearest(table, tables) or f"tables: {', '.join(tables)}"
        raise UsageError(f"{origin}: [{plain(table)}] is no table of settings", hint)
    siblings = [other.rpartition(".")[2] for other in names if other.rpartition(".")[0] == table]
    hint = nearest(key, [*siblings, *(() if table else tables)]) or nearest(key, names)
    hint = hint or f"{f'[{table}] has' if table else 'there are'}: {', '.join(siblings)}"
    raise UsageError(f"{origin}: {plain(name)} is no setting", hint)


def _error(
    error: ValidationError, values: Mapping[str, SourcedValue], tables: tuple[str, ...] = ()
) -> UsageError:
    """Return the first thing that is wrong, in words."""
    first = error.errors()[0]
    name = ".".join(map(str, (*tables, *first["loc"])))
    if name.startswith("mcp."):
        return _server_error(name, first, values)
    name = next((parent for parent in parents(name) if parent in values), name)
    sourced = values.get(name, SourcedValue(first["input"], "settings"))
    value = (
        "…"
        if set(SECRET) & set(name.split("."))
        else plain(repr(_without_login(name, sourced.value)), 80, one_line=True)
    )
    reason = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
    words = re.findall(r"'([^']*)'", first.get("ctx", {}).get("expected", ""))
    hint = nearest(str(sourced.value), words) if words else _allowed(name)
    hint = hint or f"allowed: {', '.join(words)}"
    return UsageError(f"{sourced.origin}: {name} = {value}: {plain(reason)}", hint)


def _server_error(name: str, first: Any, values: Mapping[str, SourcedValue]) -> UsageError:
    """Return what is wrong with an MCP server, without the value, which may be a secret."""
    origin = values["mcp"].origin if "mcp" in values else "settings"
    words = [*McpSettings.model_fields]
    server, _, word = name.removeprefix("mcp.").partition(".")
    if first["type"] == "extra_forbidden":
        hint = nearest(word, words) or f"there are: {', '.join(words)}"
        return UsageError(f"{origin}: [mcp.{plain(server, 60)}] has no {plain(word, 60)}", hint)
    reason = plain(first["msg"].removeprefix("Input "), 200, one_line=True)
    hint = 'write [mcp.NAME] with command = ["…"] or url = "…"'
    return UsageError(f"{origin}: {plain(name, 100)}: {reason}", hint)


def _without_login(name: str, value: Any) -> Any:
    """Return an address without what stands before its @, which may be a password; other values as they are."""
    address = name.endswith((".base_url", "room.url")) and isinstance(value, str)
    return value.rpartition("@")[2] if address else value


def _allowed(name: str) -> str:
    """Return the bounds of a setting, in words."""
    if name.endswith(".base_url"):
        return "write it like http://localhost:11434/v1"
    if name.endswith(".provider"):
        return 'write name/model, or several: ["openai/gpt-5-mini", "llama/smollm2-135m"]'
    info = known_settings().get(name)
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [
        f"{sign} {getattr(bound, key):g}"
        for bound in (info.metadata if info else ())
        for key, sign in signs.items()
        if getattr(bound, key, None) is not None
    ]
    return f"allowed: {' and '.join(bounds)}" if bounds else "see `workbench config show`"
