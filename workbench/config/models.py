"""What is known of models by their server: prices and when they end (`models.toml`, and the user's own file)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from workbench.model.errors import UsageError
from workbench.model.price import UNKNOWN, Price
from workbench.model.text import plain

OPENAI_HOST = "api.openai.com"
TABLE = Path(__file__).with_name("models.toml")
PRICES = tuple(field.name for field in fields(Price))
DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model at a server: what it costs, the date of its end and what to use then, and where that is written."""

    server: str
    model: str
    price: Price = UNKNOWN
    shutdown: date | None = None
    successor: str = ""
    source: str = ""


def server_of(base_url: str | None) -> str:
    """Return the host of an address, OpenAI's without one."""
    return (urlsplit(base_url).hostname if base_url else None) or OPENAI_HOST


def find_model(server: str, model: str, own: Path | None = None) -> ModelFacts | None:
    """Return what is known of a model at a server, in the user's `own` table first. UsageError for a bad table."""
    entries = [*(read_models(own) if own else ()), *_known()]
    for name in (model, DATED.sub("", model)):
        for entry in entries:
            if fnmatchcase(server, entry.server) and fnmatchcase(name, entry.model):
                return entry
    return None


@cache
def _known() -> tuple[ModelFacts, ...]:
    return read_models(TABLE)


def read_models(path: Path) -> tuple[ModelFacts, ...]:
    """Return the models of a table. UsageError where it cannot be read, or says what nobody can use."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"prices: {path} cannot be read: {error.strerror}", "look at the path") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise UsageError(f"prices: {path}: {plain(str(error), 200)}", "correct that line") from None
    entries = table.get("model", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"prices: {path}: no list of models", "write [[model]]")
    return tuple(_facts(f"prices: {path}: model {number}", entry) for number, entry in enumerate(entries, 1))


def _facts(place: str, entry: dict[str, Any]) -> ModelFacts:
    words = {"server", "model", "shutdown", "successor", "source", "date", *PRICES}
    if unknown := sorted(entry.keys() - words):
        raise UsageError(f"{place} has {plain(unknown[0], 60)}", f"there are: {', '.join(sorted(words))}")
    prices = {word: entry[word] for word in PRICES if word in entry}
    for word, value in prices.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            raise UsageError(f"{place}: {word} is no price in USD", "write it like 0.15")
    shutdown = entry.get("shutdown")
    if shutdown is not None and type(shutdown) is not date:
        raise UsageError(f"{place}: shutdown is no date", "write it like 2027-01-14")
    texts = {word: entry.get(word, "") for word in ("server", "model", "successor", "source")}
    _check_texts(place, texts)
    price = Price(**{word: float(value) for word, value in prices.items()})
    return ModelFacts(price=price, shutdown=shutdown, **texts)


def _check_texts(place: str, texts: dict[str, Any]) -> None:
    required: Iterable[str] = ("server", "model")
    for word, value in texts.items():
        if not isinstance(value, str) or (not value and word in required):
            raise UsageError(f"{place}: {word} must be a text", 'write it like server = "api.openai.com"')
