"""Arguments checked by pydantic, and put right where it is plain what was meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, to_json

from workbench.tools.arguments import ArgumentsError
from workbench.tools.problems import ABSENT, Path, Problem, of_pydantic, path_of, put_right, sentences

LARGE = 10_000
"""Bits of a whole number that Python still writes as text."""


def validate(
    adapter: TypeAdapter[dict[str, Any]], arguments: Mapping[str, Any], names: Sequence[str]
) -> dict[str, Any]:
    """Return the arguments, checked and converted. Raises `ArgumentsError`.

    Null for what has a default and takes no null is left out, so that the default is used: strict mode has no other
    way to say it. A name of an enum's member stands for the member, and a number for its text.
    """
    valid: dict[str, Any] = {}
    enums: dict[str, type[Enum]] = {}

    def check(value: Any) -> tuple[list[Problem], Mapping[Path, Any]]:
        try:
            valid.update(adapter.validator.validate_python(value))
        except ValidationError as error:
            errors = error.errors(include_url=False)
        else:
            return [], {}
        if not enums and any(one["type"] == "enum" for one in errors):
            enums.update(_enums(adapter.core_schema))
        choices = {expected: _choices(kind) for expected, kind in enums.items()}
        return of_pydantic(errors, value, names, choices), dict(_repairs(errors, value, enums))

    value, problems = put_right(dict(arguments), check)
    if not problems:
        return valid
    try:  # pydantic's rules for JSON: of a strict model, only these take a date or a tuple that JSON can say
        return adapter.validator.validate_json(to_json(value))  # type: ignore[no-any-return] # a typed dict
    except ValueError:  # wrong as well, or no JSON
        raise ArgumentsError(sentences(problems)) from None


def _choices(kind: type[Enum]) -> list[Any]:
    """Return what a model may give for an enum: its values where JSON has them, else its names."""
    names, values = list(kind.__members__), [member.value for member in kind]
    if any(isinstance(value, int | float) for value in values):  # numbers tell nothing
        return values + names
    return values if all(isinstance(value, str | None) for value in values) else names


def _repairs(
    errors: Iterable[Any], value: object, enums: Mapping[str, type[Enum]]
) -> Iterator[tuple[Path, Any]]:
    for error in errors:
        wrong, path = error["input"], path_of(error, value)
        if wrong is None and path and isinstance(path[-1], str):
            yield path, ABSENT
        elif (
            error["type"] == "string_type" and isinstance(wrong, int | float) and not isinstance(wrong, bool)
        ):
            if not isinstance(wrong, int) or wrong.bit_length() < LARGE:
                yield path, str(wrong)
        elif error["type"] == "enum" and isinstance(wrong, str):
            kind = enums.get(error["ctx"]["expected"])
            member = _member(kind, wrong) if kind else None
            if member is not None:
                yield path, member


def _member(kind: type[Enum], name: str) -> Enum | None:
    if name in kind.__members__:
        return kind.__members__[name]
    near = {member for other, member in kind.__members__.items() if other.casefold() == name.casefold()}
    return near.pop() if len(near) == 1 else None


def _enums(core: object) -> Iterator[tuple[str, type[Enum]]]:
    """Find each enum within a core schema, by pydantic's words for its choices."""
    waiting, seen = [core], set()
    while waiting:
        schema = waiting.pop()
        if id(schema) in seen:
            continue
        seen.add(id(schema))
        if isinstance(schema, dict):
            if schema.get("type") == "enum" and "cls" in schema:
                try:
                    SchemaValidator(schema).validate_python(ABSENT)
                except ValidationError as error:
                    yield error.errors(include_url=False)[0].get("ctx", {}).get("expected", ""), schema["cls"]
            waiting.extend(schema.values())
        elif isinstance(schema, list | tuple):
            waiting.extend(schema)
