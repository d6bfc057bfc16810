"""The settings of a recorded session, and what is changed of them in a rerun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from workbench.config import Settings, load_settings
from workbench.config.settings import MODEL_STAGES, SECRET, known_settings
from workbench.config.validation import change
from workbench.model.errors import UsageError
from workbench.trace.store import About

NOT_AGAIN = ("record", "mcp", "plugins", "serve", "room", "models_path", "prices")
"""Tables and settings of the session that are no part of a rerun: of this machine, or of who listened."""


def recorded_settings(about: About) -> Settings:
    """Return the settings of a session, without secrets, and without what this workbench does not know. UsageError for
    those that cannot be read."""
    known = {name.split(".")[0] for name in known_settings()} - set(NOT_AGAIN)
    values = {name: _readable(name, value) for name, value in about.settings.items() if name in known}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise UsageError(f"the settings of the recording cannot be read: {where}", "record again") from None


def _readable(name: str, value: Any) -> Any:
    """Return a table without what is secret, or unknown."""
    if not isinstance(value, dict) or name in ("script", "extra_body", "voices"):
        return value
    if name == "providers":
        return {item: _readable("", table) for item, table in value.items()}
    fields = {full.rpartition(".")[2] for full in known_settings()}
    return {
        key: _readable(key, item) for key, item in value.items() if key in fields and not key.endswith(SECRET)
    }


def with_changes(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Return a copy with some of them changed, by dotted name. UsageError for what cannot be."""
    changed = settings.model_copy(deep=True)
    for name, value in changes.items():
        change(changed, name, value)
    return changed


def with_swaps(settings: Settings, swap: Mapping[str, Any], *, live: bool, chains: bool) -> Settings:
    """Return a copy in which the stages that are swapped have their settings of today, and with `live` all have their
    keys; with `chains` they are chosen from the beginning on."""
    changed = settings.model_copy(deep=True)
    today = load_settings({f"{stage}.provider": choice for stage, choice in swap.items()})
    changed.providers = changed.providers | today.providers
    for stage in MODEL_STAGES:
        table, now = getattr(changed, stage), getattr(today, stage)
        if stage in swap:
            setattr(changed, stage, now if chains else now.model_copy(update={"provider": table.provider}))
        elif live:
            setattr(changed, stage, table.model_copy(update={"api_key": now.api_key, "headers": now.headers}))
    for name in ("vad", "turn"):
        if name in swap:
            change(changed, f"{name}.provider", swap[name])
    return changed
