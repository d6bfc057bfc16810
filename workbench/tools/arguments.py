"""Reading the JSON arguments that a model writes for a tool, and refusing what is no sound JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from workbench.model.text import plain

LARGEST = 1_000_000
"""Characters of JSON that a model may send."""
DEEPEST = 64
"""Levels of objects and lists in arguments: what copies, prints or encodes them later may use recursion."""
SHOWN = 60
"""Characters of a value that a message repeats."""


class ArgumentsError(Exception):
    """Arguments that a tool cannot be called with; each of `problems` is a sentence that a model can act on."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return " ".join(self.problems)


def summary_of(value: object) -> str:
    """Return a value as a message repeats it: JSON of at most 60 characters; a list or an object by what is in it."""
    if isinstance(value, Mapping):
        names = ", ".join(plain(str(name), 20, one_line=True) for name in list(value)[:3])
        return f"an object with {names}{', …' * (len(value) > 3)}" if value else "an empty object"
    if isinstance(value, list | tuple | set | frozenset):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, str):
        return quote(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 200:  # Python writes no more than 4,300 digits
        return "a very large whole number"
    return plain(str(value), SHOWN, one_line=True)


def quote(text: str) -> str:
    """Return a text in double quotes, on one line, shortened."""
    return f'"{plain(text[: 4 * SHOWN], SHOWN, one_line=True)}"'


def depth(value: object, limit: int) -> int:
    """Count the levels of objects and lists in a JSON value, up to one more than `limit`."""
    level = 0
    here: list[Any] = [value] if isinstance(value, Mapping | list | tuple) else []
    while here and level <= limit:
        level += 1
        here = [
            inner
            for outer in here
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
            if isinstance(inner, Mapping | list | tuple)
        ]
    return level


def check_shape(arguments: object) -> None:
    """Raise `ArgumentsError` for what is no object or is nested too deeply."""
    if not isinstance(arguments, Mapping):
        _refuse(f"The arguments must be a JSON object with their names, not {summary_of(arguments)}.")
    if depth(arguments, DEEPEST) > DEEPEST:
        _refuse(f"The arguments are nested too deeply: {DEEPEST} levels at most.")


def read(text: str) -> Mapping[str, Any]:
    """Return the object in the model's text; no text is an empty one. Raises `ArgumentsError`."""
    if len(text) > LARGEST:
        _refuse(f"The arguments are too long: {len(text):,} characters, {LARGEST:,} at most.")
    if not text.strip():
        return {}
    try:
        value: Any = text
        for _ in range(2):  # some servers write the text of an object as a text again
            if isinstance(value, str):
                value = json.loads(
                    value, object_pairs_hook=_unique, parse_constant=_reject, parse_float=_finite
                )
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 15) : error.pos + 15]
        where = f"line {error.lineno}, column {error.colno}, near {quote(near)}"
        _refuse(f"The arguments are not valid JSON: {error.msg.removesuffix(' at')} at {where}.")
    except ValueError:  # Python reads no whole number of more than 4,300 digits
        _refuse("The arguments contain a number with too many digits.")
    except RecursionError:
        _refuse(f"The arguments are nested too deeply: {DEEPEST} levels at most.")
    check_shape(value)
    if not text.isascii() or "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            _refuse(
                "The arguments contain half of a surrogate pair (\\ud800 to \\udfff) without its other half."
            )
    return value  # type: ignore[no-any-return] # a mapping, or `check_shape` raises


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        _refuse(f"{quote(twice)} is given twice; give each argument once.")
    return value


def _reject(name: str) -> NoReturn:
    _refuse(f"{name} is not JSON; numbers must be finite.")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        _refuse(f"{plain(text, SHOWN)} is too large for a number.")
    return number


def _refuse(problem: str) -> NoReturn:
    raise ArgumentsError((problem,)) from None
