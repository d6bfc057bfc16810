"""Arguments checked by pydantic, and put right where it is plain what was meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, to_json

from workbench.tools.arguments import ArgumentsError
from workbench.tools.problems import ABSENT, Path, Problem, of_pydantic, place, sentences, with_change

ROUNDS = 4
"""How often arguments are put right and checked again; nested ones may need more than one."""
LARGE = 10_000
"""Bits of a whole number that Python still writes as text."""


def bound(
    adapter: TypeAdapter[dict[str, Any]], arguments: Mapping[str, Any], names: Sequence[str]
) -> dict[str, Any]:
    """The arguments, checked and converted. Raises `ArgumentsError`.

    Null for what has a default and takes no null is left out, so that the default is used: strict mode has no other
    way to say it. A name of an enum's member stands for the member, and a number for its text.
    """
    value: Any = dict(arguments)
    nulls: dict[Path, Problem] = {}
    enums: dict[str, type[Enum]] | None = None
    errors: list[Any] = []
    for _ in range(ROUNDS):
        try:
            return adapter.validator.validate_python(value)  # type: ignore[no-any-return] # a typed dict
        except ValidationError as error:
            errors = error.errors(include_url=False)
        if enums is None:
            enums = dict(_enums(adapter.core_schema)) if any(one["type"] == "enum" for one in errors) else {}
        repairs = dict(_repairs(errors, value, enums))
        if not repairs:
            break
        words = {text: choices(kind) for text, kind in enums.items()}
        for problem in of_pydantic(errors, value, names, words):
            if repairs.get(problem.path) is ABSENT:
                nulls[problem.path] = problem
        for path, meant in repairs.items():
            value = with_change(value, path, meant)
    found = _from_json(adapter, value)
    if found is not None:
        return found
    words = {text: choices(kind) for text, kind in (enums or {}).items()}
    problems = of_pydantic(errors, value, names, words)
    raise ArgumentsError(sentences(nulls.get(problem.path, problem) for problem in problems))


def _from_json(adapter: TypeAdapter[dict[str, Any]], value: object) -> dict[str, Any] | None:
    """The same by pydantic's rules for JSON: of a strict model, only these take a date or a tuple that JSON can say."""
    try:
        return adapter.validator.validate_json(to_json(value))  # type: ignore[no-any-return] # a typed dict
    except ValueError:  # wrong as well, or no JSON
        return None


def choices(kind: type[Enum]) -> list[Any]:
    """What a model may give for an enum: its values where JSON has them, else its names."""
    names, values = list(kind.__members__), [member.value for member in kind]
    if any(isinstance(value, int | float) for value in values):  # numbers tell nothing
        return values + names
    return values if all(isinstance(value, str | None) for value in values) else names


def _repairs(
    errors: Iterable[Any], value: object, enums: Mapping[str, type[Enum]]
) -> Iterator[tuple[Path, Any]]:
    for error in errors:
        given, path = error["input"], place(error, value)
        if given is None and path and isinstance(path[-1], str):
            yield path, ABSENT
        elif (
            error["type"] == "string_type" and isinstance(given, int | float) and not isinstance(given, bool)
        ):
            if not isinstance(given, int) or given.bit_length() < LARGE:
                yield path, str(given)
        elif error["type"] == "enum" and isinstance(given, str):
            kind = enums.get(error["ctx"]["expected"])
            member = _member(kind, given) if kind else None
            if member is not None:
                yield path, member


def _member(kind: type[Enum], name: str) -> Enum | None:
    if name in kind.__members__:
        return kind.__members__[name]
    near = {member for known, member in kind.__members__.items() if known.casefold() == name.casefold()}
    return near.pop() if len(near) == 1 else None


def _enums(core: object) -> Iterator[tuple[str, type[Enum]]]:
    """Each enum within a core schema, by pydantic's words for its choices."""
    waiting, seen = [core], set()
    while waiting:
        here = waiting.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        if isinstance(here, dict):
            if here.get("type") == "enum" and "cls" in here:
                try:
                    SchemaValidator(here).validate_python(ABSENT)
                except ValidationError as error:
                    for one in error.errors(include_url=False):
                        yield one.get("ctx", {}).get("expected", ""), here["cls"]
            waiting.extend(here.values())
        elif isinstance(here, list | tuple):
            waiting.extend(here)
