"""What is wrong with arguments, in sentences that a model can act on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from workbench.model.text import plain
from workbench.tools.arguments import quoted, shown

Path = tuple[str | int, ...]
ABSENT = object()
"""In place of a value: it is not there."""
CHOICES = 20
"""How many choices a message lists."""
PROBLEMS = 10
"""How many problems one answer to the model has."""
CHOICE = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s,]+""")
KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "decimal": "a number",
    "none": "null",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen": "a list",
    "iterable": "a list",
    "dict": "an object",
    "mapping": "an object",
    "model": "an object",
    "dataclass": "an object",
    "arguments": "an object",
    "named": "an object",
    "date": 'a date like "2026-01-31"',
    "time": 'a time like "14:30"',
    "datetime": 'a date with time, like "2026-01-31T14:30:00Z"',
    "timedelta": 'a duration like "PT1H30M"',
    "uuid": "a UUID",
    "url": 'a URL like "https://example.com/"',
    "path": "a path",
    "bytes": "text",
    "finite": "a finite number",
    "multiple": "a multiple of {multiple_of}",
}
"""What is wanted, by the first word of pydantic's name for an error."""
WANTED = {
    "time_delta_type": KINDS["timedelta"],
    "time_delta_parsing": KINDS["timedelta"],
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text that matches the pattern {pattern}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length} long",
    "too_long": "at most {max_length} long",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a place; `wanted` follows "must be", or `says` is the whole sentence after the place."""

    path: Path
    wanted: str = ""
    given: Any = None
    says: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = spelled(self.path) or "the arguments"
        says = self.says or f"must be {self.wanted}, not {shown(self.given)}"
        text = f"{place}: {says}; {self.hint}" if self.hint else f"{place}: {says}"
        return text if text.endswith("?") else f"{text}."


def spelled(path: Path) -> str:
    """`stops[2].city`."""
    text = "".join(
        f"[{step}]" if isinstance(step, int) else f".{plain(step, 40, one_line=True)}" for step in path
    )
    text = text.removeprefix(".")
    return text if len(text) <= 100 else f"{text[:50]}…{text[-49:]}"


def sentences(problems: Iterable[Problem]) -> tuple[str, ...]:
    """Each problem once; of many, the first ten and how many more."""
    found = list(dict.fromkeys(str(problem) for problem in problems))
    if len(found) > PROBLEMS:
        return (*found[:PROBLEMS], f"And more problems: {len(found) - PROBLEMS}.")
    return tuple(found)


def one_of(choices: Sequence[Any], given: Any) -> tuple[str, str]:
    """The choices in words, and which of them was perhaps meant."""
    named = [shown(choice) for choice in choices]
    more = f" or one of {len(named) - CHOICES} more" if len(named) > CHOICES else ""
    listed = ", ".join(named[:CHOICES]) + more
    near = near_to(given, choices)
    return f"one of {listed}" if len(named) > 1 else listed, f"did you mean {quoted(near)}?" if near else ""


def near_to(given: Any, choices: Iterable[Any]) -> str:
    """The choice that is spelled nearly so; empty if none is."""
    if not isinstance(given, str) or len(given) > 100:
        return ""
    known = {choice.casefold(): choice for choice in choices if isinstance(choice, str)}
    near = get_close_matches(given.casefold(), known, n=1)
    return known[near[0]] if near else ""


def unknown(path: Path, names: Iterable[str]) -> Problem:
    """An argument that is not there to be given."""
    names = list(names)
    near = near_to(path[-1], names)
    listed = ", ".join(names[:CHOICES]) + (", …" if len(names) > CHOICES else "")
    there = f"did you mean {near}?" if near else f"there are: {listed}" if names else "there are none"
    return Problem(path, says="there is no such argument", hint=there)


def missing(path: Path) -> Problem:
    """An argument that was not given."""
    return Problem(path, says="must be given")


def place_of(error: Any) -> Path:
    """Where in the arguments an error of `jsonschema` is."""
    return tuple(error.absolute_path)


def with_change(value: Any, path: Path, meant: Any) -> Any:
    """A copy of a JSON value with something else at a place, or nothing (`ABSENT`)."""
    step, *rest = path
    if isinstance(value, Mapping):
        if step not in value:
            return value
        if not rest and meant is ABSENT:
            return {name: one for name, one in value.items() if name != step}
        return {**value, step: with_change(value[step], tuple(rest), meant) if rest else meant}
    copy = list(value)
    copy[int(step)] = with_change(copy[int(step)], tuple(rest), meant) if rest else meant
    return copy


@dataclass(frozen=True, slots=True)
class _Found:
    """One of pydantic's errors: its place, and which members of unions it came by, each with its place."""

    path: Path
    branches: tuple[tuple[int, str], ...]
    error: Mapping[str, Any]


def of_pydantic(
    errors: Iterable[Mapping[str, Any]],
    value: object,
    names: Sequence[str],
    enums: Mapping[str, Sequence[Any]],
) -> list[Problem]:
    """Problems of a value. `names` are the arguments; `enums` the choices by pydantic's words for them."""
    return list(_settled([_placed(error, value) for error in errors], names, enums))


def place(error: Mapping[str, Any], value: object) -> Path:
    """Where in the value an error of pydantic's is."""
    return _placed(error, value).path


def _placed(error: Mapping[str, Any], value: Any) -> _Found:
    path: list[str | int] = []
    branches: list[tuple[int, str]] = []
    last = len(error["loc"]) - 1
    for position, step in enumerate(error["loc"]):
        inside = isinstance(value, Mapping) and step in value
        if inside or (isinstance(step, int) and isinstance(value, list | tuple) and step < len(value)):
            path.append(step)
            value = value[step]
        elif position == last and error["type"].startswith(("missing", "extra", "unexpected")):
            path.append(step)
        elif step != "[key]":
            branches.append((len(path), str(step)))
    return _Found(tuple(path), tuple(branches), error)


def _settled(
    found: Sequence[_Found], names: Sequence[str], enums: Mapping[str, Sequence[Any]]
) -> Iterator[Problem]:
    """The problems; of a union, those of the member that fits best, or what any member would have wanted."""
    unions: dict[Path, dict[str, list[_Found]]] = {}
    for one in found:
        if not one.branches:
            yield _problem(one, names, enums)
            continue
        (length, branch), *inner = one.branches
        members = unions.setdefault(one.path[:length], {})
        members.setdefault(branch, []).append(_Found(one.path, tuple(inner), one.error))
    for path, members in unions.items():
        settled = [list(_settled(errors, names, enums)) for errors in members.values()]
        deeper = [
            problems for problems in settled if all(len(problem.path) > len(path) for problem in problems)
        ]
        yield from (
            min(deeper, key=len) if deeper else _either(path, [one for each in settled for one in each])
        )


def _either(path: Path, problems: Sequence[Problem]) -> Iterator[Problem]:
    wanted = list(dict.fromkeys(problem.wanted for problem in problems if problem.wanted))
    if not wanted:
        yield from problems[:1]
        return
    here = next(problem for problem in problems if problem.wanted)
    hint = next((problem.hint for problem in problems if problem.hint), "")
    yield Problem(here.path, " or ".join(wanted), here.given, hint=hint)


def _problem(found: _Found, names: Sequence[str], enums: Mapping[str, Sequence[Any]]) -> Problem:
    error, path = found.error, found.path
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    if kind.startswith("missing"):
        return missing(path)
    if kind.startswith(("extra", "unexpected")):
        return unknown(path, names if len(path) == 1 else ())
    if kind in {"literal_error", "enum"}:
        choices = enums.get(context["expected"]) or list(_choices(context["expected"]))
        wanted, hint = one_of(choices, given)
        return Problem(path, wanted, given, hint=hint)
    if kind == "union_tag_invalid":
        tag = _unquoted(context["discriminator"])
        wanted, hint = one_of(list(_choices(context["expected_tags"])), context["tag"])
        return Problem((*path, tag), wanted, context["tag"], hint=hint)
    if kind == "union_tag_not_found" and isinstance(given, Mapping):
        return missing((*path, _unquoted(context["discriminator"])))
    if kind in {"value_error", "assertion_error"}:
        return Problem(path, says=_sentence(str(context.get("error") or error["msg"])))
    wanted = WANTED.get(kind) or KINDS.get(kind.partition("_")[0], "")
    if not wanted:
        return Problem(path, says=_sentence(error["msg"]))
    limits = {name: plain(str(value), 60, one_line=True) for name, value in context.items()}
    return Problem(path, wanted.format_map(limits) if "{" in wanted else wanted, given)


def _choices(expected: str) -> Iterator[Any]:
    """The values in pydantic's list of them: `'a', 'b' or 3`."""
    for word in CHOICE.findall(expected.replace(" or ", ", ")):
        yield _unquoted(word)


def _unquoted(word: str) -> Any:
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return word


def _sentence(message: str) -> str:
    """A message of pydantic's or of a validator, to follow a place."""
    text = plain(message, 200, one_line=True).strip().removesuffix(".")
    return text.replace("Input should be", "must be", 1) or "is not right"
