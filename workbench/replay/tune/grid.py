"""The settings that are tried: every combination of a few values for some of those of the VAD and of endpointing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import ValidationError

from workbench.config import known_settings
from workbench.engine.settings import TurnSettings, VadSettings
from workbench.model.errors import UsageError
from workbench.model.text import plain

MOST = 20_000
"""Combinations that can be tried at once."""
NAMES = tuple(
    f"{table}.{name}"
    for table, model in (("vad", VadSettings), ("turn", TurnSettings))
    for name in model.model_fields
    if name not in ("preroll_ms", "max_utterance_s")
)
"""The settings that can be tried; the others change nothing here."""
SILENCE: dict[str, tuple[Any, ...]] = {
    "turn.silence_ms": (200, 250, 300, 350, 400, 500, 600, 800, 1000, 1300, 1600, 2000),
    "turn.adapt": (True, False),
    "vad.pause_ms": (60, 100, 200),
    "vad.threshold": (0.35, 0.5, 0.65),
}
"""Tried with a detector that goes by silence alone."""
COMBINED: dict[str, tuple[Any, ...]] = {
    "turn.silence_ms": (200, 350, 500, 800, 1200),
    "turn.complete_ms": (100, 200, 350),
    "turn.hold_ms": (200, 420, 650, 900),
    "turn.unfinished_ms": (1500, 2500),
    "turn.unfinished_probability": (0.1, 0.2, 0.4),
    "vad.threshold": (0.35, 0.5, 0.65),
}
"""Tried with every other."""


@dataclass(frozen=True, slots=True)
class Combination:
    """Settings that are tried; `changes` are those that differ from the ones in use."""

    vad: VadSettings
    turn: TurnSettings
    changes: Mapping[str, Any]


def parse_axis(text: str) -> tuple[str, tuple[Any, ...]]:
    """Return the setting and the values of `turn.silence_ms=200,350`. Raises UsageError."""
    name, equals, values = text.partition("=")
    name = name.strip()
    shown = plain(repr(text), 60, one_line=True)
    if not equals or not values.strip():
        raise UsageError(
            f"--grid {shown} names no values", "write it like --grid turn.silence_ms=200,350,500"
        )
    if name not in NAMES:
        known = f"there are {', '.join(NAMES)}"
        if name in known_settings():
            raise UsageError(f"--grid: {name} does not change when a turn ends", known)
        raise UsageError(f"--grid: there is no setting {plain(repr(name), 60, one_line=True)}", known)
    return name, tuple(_value(name, item.strip()) for item in values.split(","))


def _value(name: str, text: str) -> Any:
    """Return a value as the setting has it, checked against its bounds."""
    model = _model(name)
    key = name.partition(".")[2]
    try:
        value = getattr(model.model_validate({key: text}), key)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise UsageError(
            f"--grid {name}: {plain(repr(text), 40, one_line=True)}: {reason}", "see `workbench config init`"
        ) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"--grid {name}: {text} is no finite number", "write a number")
    return value


def _model(name: str) -> type[VadSettings] | type[TurnSettings]:
    return VadSettings if name.startswith("vad.") else TurnSettings


def combinations(
    axes: Mapping[str, Sequence[Any]], vad: VadSettings, turn: TurnSettings
) -> list[Combination]:
    """Return every combination of the values, the settings in use first, each once. Raises UsageError for too many."""
    count = math.prod(len(values) for values in axes.values())
    if count > MOST:
        raise UsageError(f"the grid has {count} combinations, {MOST} can be tried", "give fewer values")
    return [*_unique([{}, *_assignments(axes)], vad, turn)]


def _assignments(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _unique(
    assignments: Sequence[Mapping[str, Any]], vad: VadSettings, turn: TurnSettings
) -> Iterator[Combination]:
    used = {f"vad.{key}": value for key, value in vad} | {f"turn.{key}": value for key, value in turn}
    seen: set[tuple[tuple[str, Any], ...]] = set()
    for assignment in assignments:
        changes = {name: value for name, value in assignment.items() if used[name] != value}
        key = tuple(sorted(changes.items()))
        if key not in seen:
            seen.add(key)
            yield Combination(_changed(vad, "vad.", changes), _changed(turn, "turn.", changes), changes)


def _changed(settings: Any, prefix: str, changes: Mapping[str, Any]) -> Any:
    own = {name.removeprefix(prefix): value for name, value in changes.items() if name.startswith(prefix)}
    return settings.model_copy(update=own) if own else settings


def default_axes(turn: str) -> dict[str, tuple[Any, ...]]:
    """Return what is tried with a turn detector of that name when nothing else is asked for."""
    return dict(SILENCE if re.match(r"silence\b", turn) else COMBINED)
