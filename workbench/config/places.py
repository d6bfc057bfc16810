"""Where settings come from: the places in their order, and the file among them.

flag > environment (WORKBENCH_VAD__THRESHOLD) > workbench.toml > agent file > profile > default
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.agent import Agent
from workbench.config.check import Given, nearest, parents, validated
from workbench.config.room import from_livekit
from workbench.config.settings import (
    DEFAULT_PROFILE,
    MODEL_STAGES,
    PROFILES,
    Settings,
    known_settings,
    known_tables,
)
from workbench.model.errors import UsageError
from workbench.model.text import plain

FILE_NAME = "workbench.toml"
PREFIX = "WORKBENCH_"


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A workbench.toml: its values by dotted name, and its profiles."""

    path: Path | None = None
    values: dict[str, Given] = field(default_factory=dict)
    profiles: dict[str, dict[str, Given]] = field(default_factory=dict)


def load_settings(
    flags: Mapping[str, Any] | None = None,
    *,
    agent: Agent | None = None,
    config_path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """The settings from all places. `flags` by dotted name (`stt.provider`), None where a flag was not given.

    Raises UsageError that names the place, the setting, what is allowed, and the nearest name for an unknown one.
    """
    file = read_file(find_file(config_path, environ))
    given = {**_from_agent(agent), **file.values, **_from_environ(environ), **_from_flags(flags or {})}
    profile = given.get("profile", Given(DEFAULT_PROFILE, "default"))
    given = {**_from_profile(profile, file), **given}
    livekit = {name: Given(value, variable) for name, value, variable in from_livekit(environ)}
    return validated({**livekit, **_for_openai(given, environ), **given}, file.path)


def find_file(config_path: Path | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The workbench.toml to read: the named one (UsageError if it is absent), else of this folder, else the user's."""
    if config_path is not None:
        if not config_path.is_file():
            raise UsageError(
                f"there is no settings file {config_path}", "write one with `workbench config init`"
            )
        return config_path
    home = Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = (Path(FILE_NAME), home / "workbench" / FILE_NAME)
    return next((place for place in places if place.is_file()), None)


def read_file(path: Path | None) -> SettingsFile:
    """Read a workbench.toml, and check its names. Raises UsageError that names file, line and key."""
    if path is None:
        return SettingsFile()
    text, table = _toml(path)
    lines = _lines(text)

    def place(name: str) -> str:
        line = next((lines[key] for key in parents(name) if key in lines), 0)
        return f"{path}:{line}" if line else str(path)

    profiles = table.pop("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(own, dict) for own in profiles.values()):
        raise UsageError(f"{place('profiles')}: profiles are tables", "write [profiles.NAME]")
    return SettingsFile(
        path,
        {name: Given(_beside(path, name, value), place(name)) for name, value in _flat(table)},
        {
            own: {
                name: Given(_beside(path, name, value), place(f"profiles.{own}.{name}"))
                for name, value in _flat(values)
            }
            for own, values in profiles.items()
        },
    )


def _beside(path: Path, name: str, value: Any) -> Any:
    """Plugins are looked for from where the file is, not from where it is read."""
    if name != "plugins" or not isinstance(value, list):
        return value
    return [str(path.parent / Path(one).expanduser()) if isinstance(one, str) else one for one in value]


def _toml(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", "save it as UTF-8") from None
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"^(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
        line = (found and found[2]) or len(text.splitlines())
        place, reason = f"{path}:{line}", found[1] if found else str(error)
        raise UsageError(f"{place}: not TOML: {plain(reason)}", "correct that line") from None


def _lines(text: str) -> dict[str, int]:
    """Line of each table and key by dotted name: as good as can be had without a second parser."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([\w.\"' -]+?)\s*\]", line):
            table = re.sub(r"[\"' ]", "", header[1]) + "."
            lines.setdefault(table[:-1], number)
        elif key := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            lines.setdefault(table + re.sub(r"[\"']", "", key[1]), number)
    return lines


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Values by dotted name; a setting that is a table itself (`script`) stays whole."""
    for key, value in table.items():
        name = prefix + key
        if not isinstance(value, dict) or name in known_settings() or not (value or name in known_tables()):
            yield name, value
        else:
            yield from _flat(value, f"{name}.")


def _from_flags(flags: Mapping[str, Any]) -> dict[str, Given]:
    return {name: Given(value, "flag") for name, value in flags.items() if value is not None}


def _from_agent(agent: Agent | None) -> dict[str, Given]:
    chosen = {f"{stage}.provider": getattr(agent, stage, None) for stage in MODEL_STAGES}
    return {name: Given(value, "agent file") for name, value in chosen.items() if value is not None}


def _from_environ(environ: Mapping[str, str]) -> dict[str, Given]:
    """`WORKBENCH_VAD__THRESHOLD` is vad.threshold. A name without `__` that is no setting is somebody else's."""
    known = known_settings()
    given: dict[str, Given] = {}
    for variable, text in environ.items():
        name = variable.removeprefix(PREFIX).lower().replace("__", ".")
        if variable.startswith(PREFIX) and (name in known or "." in name):
            given[name] = Given(_from_json(text, variable) if name == "script" else text, variable)
    return given


def _from_json(text: str, variable: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"{variable}: not JSON: {error}", 'for example {"user": ["Hello."]}') from None


def _from_profile(profile: Given, file: SettingsFile) -> dict[str, Given]:
    """The values of a profile, over those of the one that it extends."""
    seen: list[str] = []
    values: dict[str, Given] = {}
    chosen: Given | None = profile
    while chosen:
        name = chosen.value
        there = [*PROFILES, *file.profiles]
        if name not in there:
            near = nearest(str(name), there)
            hint = f"{near and f'{near} – '}there are: {', '.join(there)}"
            raise UsageError(f"{chosen.origin}: no profile is called {plain(repr(name), 80)}", hint)
        if name in seen:
            raise UsageError(f"{chosen.origin}: profiles extend each other: {' → '.join([*seen, name])}")
        seen.append(name)
        builtin = {key: Given(value, f"profile {name}") for key, value in PROFILES.get(name, {}).items()}
        values = {**builtin, **file.profiles.get(name, {}), **values}
        chosen = values.pop("extends", None)
    return values


def _for_openai(given: Mapping[str, Given], environ: Mapping[str, str]) -> dict[str, Given]:
    """OPENAI_API_KEY and OPENAI_BASE_URL, for the stages that chose `openai` and no others."""
    found: dict[str, Given] = {}
    for stage in MODEL_STAGES:
        chosen = given.get(f"{stage}.provider")
        if chosen and str(chosen.value).partition("/")[0] == "openai":
            for key, variable in (("api_key", "OPENAI_API_KEY"), ("base_url", "OPENAI_BASE_URL")):
                if environ.get(variable):
                    found[f"{stage}.{key}"] = Given(environ[variable], variable)
    return found
