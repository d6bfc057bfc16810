"""Problems of arguments, in sentences that a model can act on, and the repair of what was plainly meant."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from workbench.model.text import plain
from workbench.tools.arguments import quote, summary_of

Path = tuple[str | int, ...]
ABSENT = object()
"""In place of a value: it is not there."""
ROUNDS = 4
"""How often arguments are put right and checked again; nested ones may need more than one."""
CHOICES = 20
"""How many choices a message lists."""
PROBLEMS = 10
"""How many problems one answer to the model has."""
NUMBER, TEXT, LIST, OBJECT = "a number", "text", "a list", "an object"
DURATION = 'a duration like "PT1H30M"'
EXPECTED = {
    "int": "a whole number", "integer": "a whole number", "float": NUMBER, "decimal": NUMBER, "number": NUMBER,
    "finite": "a finite number", "bool": "true or false", "boolean": "true or false", "none": "null",
    "null": "null", "string": TEXT, "bytes": TEXT,
    "list": LIST, "tuple": LIST, "set": LIST, "frozen": LIST, "iterable": LIST, "array": LIST,
    "dict": OBJECT, "mapping": OBJECT, "model": OBJECT, "dataclass": OBJECT, "arguments": OBJECT, "named": OBJECT,
    "object": OBJECT,
    "date": 'a date like "2026-01-31"', "time": 'a time like "14:30"', "timedelta": DURATION,
    "datetime": 'a date with time, like "2026-01-31T14:30:00Z"',
    "time_delta_type": DURATION, "time_delta_parsing": DURATION,
    "uuid": "a UUID", "url": 'a URL like "https://example.com/"', "path": "a path",
    "greater_than": "more than {}", "exclusiveMinimum": "more than {}",
    "greater_than_equal": "at least {}", "minimum": "at least {}",
    "less_than": "less than {}", "exclusiveMaximum": "less than {}",
    "less_than_equal": "at most {}", "maximum": "at most {}",
    "multiple": "a multiple of {}", "multipleOf": "a multiple of {}",
    "string_too_short": "text of at least {} characters", "minLength": "text of at least {} characters",
    "string_too_long": "text of at most {} characters", "maxLength": "text of at most {} characters",
    "string_pattern_mismatch": "text that matches the pattern {}", "pattern": "text that matches the pattern {}",
    "too_short": "at least {} long", "minItems": "at least {} long",
    "too_long": "at most {} long", "maxItems": "at most {} long",
    "uniqueItems": "a list without the same item twice",
}  # fmt: skip
"""What follows "must be", by pydantic's name of an error or its first word, or by a keyword or type of JSON schema."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a place; `expected` follows "must be", or `sentence` is all that is said of the place."""

    path: Path
    expected: str = ""
    value: Any = None
    sentence: str = ""
    hint: str = ""

    def __str__(self) -> str:
        sentence = self.sentence or f"must be {self.expected}, not {summary_of(self.value)}"
        text = f"{spell(self.path) or 'the arguments'}: {sentence}{f'; {self.hint}' if self.hint else ''}"
        return text if text.endswith("?") else f"{text}."


def spell(path: Path) -> str:
    """Return a place as `stops[2].city`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{plain(step, 40, one_line=True)}" for step in path)
    text = "".join(steps).removeprefix(".")
    return text if len(text) <= 100 else f"{text[:50]}…{text[-49:]}"


def sentences(problems: Iterable[Problem]) -> tuple[str, ...]:
    """Return each problem once; of many, the first ten and how many more."""
    texts = list(dict.fromkeys(map(str, problems)))
    if len(texts) > PROBLEMS:
        return (*texts[:PROBLEMS], f"And more problems: {len(texts) - PROBLEMS}.")
    return tuple(texts)


def expect(kind: str, limit: Any = "") -> str:
    """Return what an error of that kind expects; empty if the table has no words for it."""
    text = EXPECTED.get(kind) or EXPECTED.get(kind.partition("_")[0], "")
    return text.format(plain(str(limit), 60, one_line=True)) if "{}" in text else text


def not_a_choice(path: Path, choices: Sequence[Any], value: Any) -> Problem:
    """Return the problem of a value that is none of the choices, with the one that was perhaps meant."""
    named = [summary_of(choice) for choice in choices]
    more = f" or one of {len(named) - CHOICES} more" if len(named) > CHOICES else ""
    listed = ", ".join(named[:CHOICES]) + more
    near = _nearest(value, choices)
    hint = f"did you mean {quote(near)}?" if near else ""
    return Problem(path, f"one of {listed}" if len(named) > 1 else listed, value, hint=hint)


def unknown(path: Path, names: Iterable[str]) -> Problem:
    """Return the problem of an argument that does not exist."""
    names = list(names)
    near = _nearest(path[-1], names)
    listed = ", ".join(names[:CHOICES]) + (", …" if len(names) > CHOICES else "")
    hint = f"did you mean {near}?" if near else f"there are: {listed}" if names else "there are none"
    return Problem(path, sentence="there is no such argument", hint=hint)


def missing(path: Path) -> Problem:
    """Return the problem of an argument that was not given."""
    return Problem(path, sentence="must be given")


def from_json_text(text: str) -> list[Any] | dict[str, Any] | None:
    """Return the list or object that a text is the JSON of, None if it is of neither."""
    if text.strip()[:1] not in ("[", "{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list | dict) else None


def _nearest(value: Any, choices: Iterable[Any]) -> str:
    """Return the choice that is spelled nearly so; empty if none is."""
    if not isinstance(value, str) or len(value) > 100:
        return ""
    folded = {choice.casefold(): choice for choice in choices if isinstance(choice, str)}
    near = get_close_matches(value.casefold(), folded, n=1)
    return folded[near[0]] if near else ""


def of_union(path: Path, members: Iterable[list[Problem]]) -> list[Problem]:
    """Return the problems of the member of a union that fits best, or what any of them would have expected."""
    members = list(members)
    deeper = [problems for problems in members if all(len(problem.path) > len(path) for problem in problems)]
    if deeper:
        return min(deeper, key=len)
    every = [problem for problems in members for problem in problems]
    expected = list(dict.fromkeys(problem.expected for problem in every if problem.expected))
    if not expected:
        return every[:1]
    here = (problem for problem in every if problem.expected and problem.path == path)
    first = next(here, next(problem for problem in every if problem.expected))
    hint = next((problem.hint for problem in every if problem.expected and problem.hint), "")
    return [Problem(first.path, " or ".join(expected), first.value, hint=hint)]


# --- putting right what is plainly meant -----------------------------------------------------------------------------


def put_right(
    value: Any, check: Callable[[Any], tuple[list[Problem], Mapping[Path, Any]]]
) -> tuple[Any, list[Problem]]:
    """Return the value with its repairs made, and what is still wrong with it.

    `check` gives the problems of a value and what was plainly meant at some places. A null that was left out stays a
    null in the problem.
    """
    nulls: dict[Path, Problem] = {}
    problems: list[Problem] = []
    for _ in range(ROUNDS):
        problems, repairs = check(value)
        if not repairs:
            break
        nulls |= {problem.path: problem for problem in problems if repairs.get(problem.path) is ABSENT}
        for path, repair in repairs.items():
            value = _with_change(value, path, repair)
    return value, [nulls.get(problem.path, problem) for problem in problems]


def _with_change(value: Any, path: Path, new: Any) -> Any:
    """Return a copy of a JSON value with something else at a place, or nothing (`ABSENT`)."""
    step, *rest = path
    if isinstance(value, Mapping):
        if step not in value:
            return value
        if not rest and new is ABSENT:
            return {name: inner for name, inner in value.items() if name != step}
        return {**value, step: _with_change(value[step], tuple(rest), new) if rest else new}
    copy = list(value)
    copy[int(step)] = _with_change(copy[int(step)], tuple(rest), new) if rest else new
    return copy
