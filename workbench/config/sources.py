"""The sources of settings, in their order, and the file among them.

flag > environment (WORKBENCH_VAD__THRESHOLD) > workbench.toml > agent file > profile > default
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from workbench.agent import Agent
from workbench.config.room import from_livekit
from workbench.config.settings import (
    DEFAULT_PROFILE,
    MODEL_STAGES,
    OPENAI,
    PROFILES,
    Settings,
    chain_of,
    known_settings,
    known_tables,
)
from workbench.config.toml import read_toml
from workbench.config.validation import SourcedValue, nearest, parents, validate
from workbench.model.errors import UsageError
from workbench.model.text import plain

FILE_NAME = "workbench.toml"
PREFIX = "WORKBENCH_"


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A workbench.toml: its values by dotted name, and its profiles."""

    path: Path | None = None
    values: dict[str, SourcedValue] = field(default_factory=dict)
    profiles: dict[str, dict[str, SourcedValue]] = field(default_factory=dict)


def load_settings(
    flags: Mapping[str, Any] | None = None,
    *,
    agent: Agent | None = None,
    config_path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings from all sources. `flags` by dotted name (`stt.provider`), None where a flag is absent.

    UsageError names the place, the setting, what is allowed, and the nearest name for an unknown one.
    """
    file = read_file(find_file(config_path, environ))
    values = {**_from_agent(agent), **file.values, **_from_environ(environ), **_from_flags(flags or {})}
    profile = values.get("profile", SourcedValue(DEFAULT_PROFILE, "default"))
    values = _without_strays({**_from_profile(profile, file), **values})
    livekit = {name: SourcedValue(value, variable) for name, value, variable in from_livekit(environ)}
    return validate({**livekit, **_for_openai(values, environ), **values}, file.path)


def find_file(config_path: Path | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the workbench.toml to read: the named one (UsageError if absent), else this folder's, else the user's."""
    if config_path is not None:
        if not config_path.is_file():
            hint = "write one with `workbench config init`"
            raise UsageError(f"there is no settings file {config_path}", hint)
        return config_path
    home = Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = (Path(FILE_NAME), home / "workbench" / FILE_NAME)
    return next((place for place in places if place.is_file()), None)


def read_file(path: Path | None) -> SettingsFile:
    """Read a workbench.toml. UsageError names file, line and key."""
    if path is None:
        return SettingsFile()
    text, table = read_toml(path)
    lines = _lines(text)

    def place(name: str) -> str:
        line = next((lines[key] for key in parents(name) if key in lines), 0)
        return f"{path}:{line}" if line else str(path)

    profiles = table.pop("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(own, dict) for own in profiles.values()):
        raise UsageError(f"{place('profiles')}: profiles are tables", "write [profiles.NAME]")

    def sourced(table: Mapping[str, Any], prefix: str = "") -> dict[str, SourcedValue]:
        return {
            name: SourcedValue(_resolved(path, name, value), place(prefix + name))
            for name, value in _flat(table)
        }

    own = {profile: sourced(values, f"profiles.{profile}.") for profile, values in profiles.items()}
    return SettingsFile(path, sourced(table), own)


def _resolved(path: Path, name: str, value: Any) -> Any:
    """Return the value; paths of plugins and prices are relative to the file, not to where it is read."""
    if name == "prices" and isinstance(value, str):
        return str(path.parent / Path(value).expanduser())
    if name != "plugins" or not isinstance(value, list):
        return value
    return [str(path.parent / Path(item).expanduser()) if isinstance(item, str) else item for item in value]


def _lines(text: str) -> dict[str, int]:
    """Return the line of each table and key by dotted name: as good as can be had without a second parser."""
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
    """Yield values by dotted name; a setting that is a table itself (`script`) stays whole."""
    for key, value in table.items():
        name = prefix + key
        if name in MODEL_STAGES and not isinstance(value, dict):
            yield f"{name}.provider", value
        elif (
            name == "providers"
            and isinstance(value, dict)
            and all(isinstance(it, dict) for it in value.values())
        ):
            for provider, own in value.items():
                yield from ((f"{name}.{_name(provider)}.{word}", setting) for word, setting in own.items())
        elif not isinstance(value, dict) or name in known_settings() or not (value or name in known_tables()):
            yield name, value
        else:
            yield from _flat(value, f"{name}.")


def _name(provider: str) -> str:
    """Return the name of a table of [providers]. UsageError for one that no setting could be called by."""
    if not re.fullmatch(r"[\w/:-]+", provider):
        hint = "write letters, digits, -, _, / and :, like [providers.local]"
        raise UsageError(f"[providers.{plain(repr(provider), 80)}]: no provider can be called that", hint)
    return provider


def _from_flags(flags: Mapping[str, Any]) -> dict[str, SourcedValue]:
    return {_full(name): SourcedValue(value, "flag") for name, value in flags.items() if value is not None}


def _full(name: str) -> str:
    """Return the name of a setting: a stage alone is its provider."""
    return f"{name}.provider" if name in MODEL_STAGES else name


def _from_agent(agent: Agent | None) -> dict[str, SourcedValue]:
    chosen = {f"{stage}.provider": getattr(agent, stage, None) for stage in MODEL_STAGES}
    return {name: SourcedValue(value, "agent file") for name, value in chosen.items() if value is not None}


def _from_environ(environ: Mapping[str, str]) -> dict[str, SourcedValue]:
    """Return settings from variables like `WORKBENCH_VAD__THRESHOLD`.

    A variable without `__` that is no setting belongs to another program.
    """
    names = known_settings()
    values: dict[str, SourcedValue] = {}
    for variable, text in environ.items():
        name = _full(variable.removeprefix(PREFIX).lower().replace("__", "."))
        if variable.startswith(PREFIX) and (name in names or "." in name):
            values[name] = SourcedValue(text, variable)
    return values


def _from_profile(profile: SourcedValue, file: SettingsFile) -> dict[str, SourcedValue]:
    """Return the values of a profile, over those of the one that it extends."""
    chain: list[str] = []
    values: dict[str, SourcedValue] = {}
    current: SourcedValue | None = profile
    while current:
        name = current.value
        names = [*PROFILES, *file.profiles]
        if name not in names:
            near = nearest(str(name), names)
            hint = f"{near and f'{near} – '}there are: {', '.join(names)}"
            raise UsageError(f"{current.origin}: no profile is called {plain(repr(name), 80)}", hint)
        if name in chain:
            raise UsageError(f"{current.origin}: profiles extend each other: {' → '.join([*chain, name])}")
        chain.append(name)
        builtin = {
            key: SourcedValue(value, f"profile {name}") for key, value in PROFILES.get(name, {}).items()
        }
        values = {**builtin, **file.profiles.get(name, {}), **values}
        current = values.pop("extends", None)
    return values


def _without_strays(values: dict[str, SourcedValue]) -> dict[str, SourcedValue]:
    """Return the values without what a built-in profile sets for its own provider, where another was chosen."""

    def stray(name: str, origin: str) -> bool:
        provider = values.get(f"{name.partition('.')[0]}.provider")
        return origin.startswith("profile ") and provider is not None and provider.origin != origin

    return {name: sourced for name, sourced in values.items() if not stray(name, sourced.origin)}


def _for_openai(values: Mapping[str, SourcedValue], environ: Mapping[str, str]) -> dict[str, SourcedValue]:
    """Return OPENAI_API_KEY and OPENAI_BASE_URL for the stages and the providers with a table that are `openai` and
    name no server of their own; for no others."""
    given = {name: values[name].value for name in values}
    tables = {name.split(".")[1] for name in given if name.startswith("providers.")}
    takers = [
        f"providers.{name}" for name in tables if _is_openai(given.get(f"providers.{name}.provider", name))
    ]
    takers += [
        stage
        for stage in MODEL_STAGES
        if any(
            _is_openai(item) for item in chain_of(given.get(f"{stage}.provider", "")) if item not in tables
        )
    ]
    return {
        f"{taker}.{key}": SourcedValue(environ[variable], variable)
        for taker in takers
        if _has_key_of(environ, given.get(f"{taker}.base_url"))
        for key, variable in (("api_key", "OPENAI_API_KEY"), ("base_url", "OPENAI_BASE_URL"))
        if environ.get(variable)
    }


def _has_key_of(environ: Mapping[str, str], base_url: Any) -> bool:
    """Whether a server is the one that the environment's key was made for: OPENAI_BASE_URL, else OpenAI's."""
    if base_url is None:
        return True
    try:
        server, own = urlsplit(str(base_url)), urlsplit(environ.get("OPENAI_BASE_URL", ""))
        same = (server.scheme, server.hostname, server.port) == (own.scheme, own.hostname, own.port)
    except ValueError:  # no address: that is told elsewhere
        return False
    openais = server.scheme == "https" and f".{server.hostname}".endswith(".openai.com")
    return same if own.hostname else openais


def _is_openai(choice: Any) -> bool:
    return str(choice).partition("/")[0] == OPENAI
