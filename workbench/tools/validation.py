"""Validation of arguments by pydantic: repairs where it is plain what was meant, and its errors in our sentences."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, to_json

from workbench.model.text import plain
from workbench.tools.problems import (
    ABSENT,
    Path,
    Problem,
    expect,
    from_json_text,
    missing,
    not_a_choice,
    of_union,
    put_right,
    sentences,
    unknown,
)

LARGE = 10_000
"""Bits of a whole number that Python still writes as text."""
LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
"""Where pydantic puts the limit that a value breaks."""
CHOICE = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s,]+""")


def validate(
    adapter: TypeAdapter[dict[str, Any]], arguments: Mapping[str, Any], names: Sequence[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the arguments, converted, and what is wrong with them.

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
        if not enums and any(error["type"] == "enum" for error in errors):
            enums.update(_enums(adapter.core_schema))
        choices = {expected: _choices(kind) for expected, kind in enums.items()}
        return _problems_of(errors, value, names, choices), dict(_repairs(errors, value, enums))

    value, problems = put_right(dict(arguments), check)
    if problems:
        try:  # pydantic's rules for JSON: of a strict model, only these take a date or a tuple that JSON can say
            return adapter.validator.validate_json(to_json(value)), ()
        except ValueError:  # wrong as well, or no JSON
            pass
    return valid, sentences(problems)


def _choices(kind: type[Enum]) -> list[Any]:
    """Return what a model may give for an enum: its values where JSON has them, else its names."""
    names, values = list(kind.__members__), [member.value for member in kind]
    if any(isinstance(value, int | float) for value in values):  # numbers tell nothing
        return values + names
    return values if all(isinstance(value, str | None) for value in values) else names


JSON_TYPES: dict[str, type[list[Any] | dict[str, Any]]] = {
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), list),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type", "dataclass_type"), dict),
}
"""Pydantic's errors for what is no list or no object, with what JSON text may be meant for."""


def _repairs(
    errors: Iterable[Any], value: object, enums: Mapping[str, type[Enum]]
) -> Iterator[tuple[Path, Any]]:
    for error in errors:
        wrong, path = error["input"], _path_of(error, value)
        if wrong is None and path and isinstance(path[-1], str):
            yield path, ABSENT
        elif (
            error["type"] == "string_type" and isinstance(wrong, int | float) and not isinstance(wrong, bool)
        ):
            if not isinstance(wrong, int) or wrong.bit_length() < LARGE:
                yield path, str(wrong)
        elif error["type"] in JSON_TYPES and isinstance(wrong, str):
            meant = from_json_text(wrong)
            if isinstance(meant, JSON_TYPES[error["type"]]):
                yield path, meant
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


# --- problems ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ErrorPlace:
    """One of pydantic's errors: its place, and the members of unions that led there, each with its depth."""

    path: Path
    branches: tuple[tuple[int, str], ...]
    error: Mapping[str, Any]


def _problems_of(
    errors: Iterable[Mapping[str, Any]],
    value: object,
    names: Sequence[str],
    enums: Mapping[str, Sequence[Any]],
) -> list[Problem]:
    """Return the problems of a value. `names` are the arguments; `enums` the choices by pydantic's words for them."""
    return list(_by_union([_located(error, value) for error in errors], names, enums))


def _path_of(error: Mapping[str, Any], value: object) -> Path:
    """Return where in the value an error of pydantic's is."""
    return _located(error, value).path


def _located(error: Mapping[str, Any], value: Any) -> _ErrorPlace:
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
    return _ErrorPlace(tuple(path), tuple(branches), error)


def _by_union(
    places: Sequence[_ErrorPlace], names: Sequence[str], enums: Mapping[str, Sequence[Any]]
) -> Iterator[Problem]:
    unions: dict[Path, dict[str, list[_ErrorPlace]]] = {}
    for place in places:
        if not place.branches:
            yield _problem(place.path, place.error, names, enums)
            continue
        (depth, branch), *inner = place.branches
        members = unions.setdefault(place.path[:depth], {})
        members.setdefault(branch, []).append(_ErrorPlace(place.path, tuple(inner), place.error))
    for path, members in unions.items():
        yield from of_union(path, (list(_by_union(inner, names, enums)) for inner in members.values()))


def _problem(
    path: Path, error: Mapping[str, Any], names: Sequence[str], enums: Mapping[str, Sequence[Any]]
) -> Problem:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind.startswith("missing"):
        return missing(path)
    if kind.startswith(("extra", "unexpected")):
        return unknown(path, names if len(path) == 1 else ())
    if kind in {"literal_error", "enum"}:
        choices = enums.get(context["expected"]) or list(_parsed_choices(context["expected"]))
        return not_a_choice(path, choices, value)
    if kind == "union_tag_invalid":
        tag = _literal(context["discriminator"])
        return not_a_choice((*path, tag), list(_parsed_choices(context["expected_tags"])), context["tag"])
    if kind == "union_tag_not_found" and isinstance(value, Mapping):
        return missing((*path, _literal(context["discriminator"])))
    if kind in {"value_error", "assertion_error"}:
        return Problem(path, sentence=_sentence(str(context.get("error") or error["msg"])))
    limit = next((context[name] for name in LIMITS if name in context), "")
    if expected := expect(kind, limit):
        return Problem(path, expected, value)
    return Problem(path, sentence=_sentence(error["msg"]))


def _parsed_choices(expected: str) -> Iterator[Any]:
    """Parse pydantic's list of choices: `'a', 'b' or 3`."""
    return map(_literal, CHOICE.findall(expected.replace(" or ", ", ")))


def _literal(word: str) -> Any:
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return word


def _sentence(message: str) -> str:
    """Return a message of pydantic's or of a validator, to follow a place."""
    text = plain(message, 200, one_line=True).strip().removesuffix(".")
    return text.replace("Input should be", "must be", 1) or "is not right"
