"""The result of a tool as text for the model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from workbench.model.text import plain

MOST = 100_000
"""Items that are taken of what gives one after the other, as it may never end."""


class UnencodableError(Exception):
    """A tool gave back what has no text."""


def encoded(result: Any) -> str:
    """Return a result as text: `None` as "done", what is no text as JSON (dicts, lists, dataclasses, models, dates…).

    UnencodableError names the type that has none. Runs where the tool runs: a large result, or one that is made while
    it is read, costs the conversation nothing.
    """
    if isinstance(result, str):
        return result.encode("utf-8", "replace").decode()  # halves of characters are in no JSON
    if result is None:
        return "done"
    if isinstance(result, Iterator):
        kind, result = type(result).__name__, list(islice(result, MOST + 1))
        if len(result) > MOST:
            raise UnencodableError(f"it gave back a {kind} of more than {MOST:,} items; give back a list")
    from pydantic_core import PydanticSerializationError, to_json

    try:
        return to_json(result, inf_nan_mode="null", bytes_mode="utf8").decode()
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        reason = plain(str(error).rpartition("Error serializing to JSON: ")[2], limit=200, one_line=True)
        kind = type(result).__name__
        hint = "give back text, numbers, lists, dicts, dataclasses or pydantic models"
        raise UnencodableError(
            f"it gave back a {kind} that cannot be written as JSON ({reason}); {hint}"
        ) from None


def shortened(text: str, most: int) -> str:
    """Return at most `most` characters of a result, and a notice for the model where something was left out."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[These are the first {most:,} of {len(text):,} characters. Ask for less to see the rest.]"
