"""Tools that bring a JSON schema instead of a signature: one of ours, or one of a server that nobody vouches for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from workbench.model.errors import StageError, foreign
from workbench.model.text import plain
from workbench.tools.arguments import ArgumentsError, sane
from workbench.tools.bounded import BoundedValidator
from workbench.tools.problems import (
    ABSENT,
    KINDS,
    Path,
    Problem,
    missing,
    one_of,
    place_of,
    sentences,
    unknown,
    with_change,
)
from workbench.tools.strict import strictly
from workbench.tools.untrusted import checkable, looked_through

ROUNDS = 4
"""How often arguments are put right and checked again."""
NAMES = {
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "none",
    "array": "list",
    "object": "dict",
}


class JsonSchemaParameters:
    """What a model may give by a JSON schema. Raises `UsageError` for one that cannot be used."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = looked_through(schema)

    @property
    def schema(self) -> Mapping[str, Any]:
        """The schema as it was given; it is an object's."""
        return self._schema

    @cached_property
    def _strict(self) -> tuple[Mapping[str, Any] | None, str]:
        return strictly(self._schema)

    @property
    def strict_schema(self) -> Mapping[str, Any] | None:
        """The schema for OpenAI's strict mode; None if there is none."""
        return self._strict[0]

    @property
    def loose_because(self) -> str:
        """Why there is no strict schema."""
        return self._strict[1]

    @cached_property
    def _validator(self) -> BoundedValidator:
        return BoundedValidator(self._schema, checkable(self._schema))

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, checked, with numbers and truth values that came as text. Raises `ArgumentsError`."""
        sane(arguments)
        refused: tuple[str, ...] = ()
        value: Any = dict(arguments)
        try:
            with foreign("the tool's schema", "tools"):
                value, refused = self._checked(value)
        except StageError as error:
            refused = (f"The arguments could not be checked: {plain(error.reason, 200, one_line=True)}.",)
        if refused:
            raise ArgumentsError(refused)
        return dict(value)

    def _checked(self, value: Any) -> tuple[Any, tuple[str, ...]]:
        """The value put right, and what is still wrong with it."""
        first: dict[Path, Problem] = {}
        problems: list[Problem] = []
        for _ in range(ROUNDS):
            errors = self._validator.errors(value)
            problems = [problem for error in errors for problem in _problems(error)]
            repairs = dict(repair for error in errors for repair in _repairs(error))
            if not repairs:
                break
            for path, meant in repairs.items():
                if meant is ABSENT:
                    first.update({problem.path: problem for problem in problems if problem.path == path})
                value = with_change(value, path, meant)
        return value, sentences(first.get(problem.path, problem) for problem in problems)


def _problems(error: Any) -> Iterator[Problem]:
    path, given, limit = place_of(error), error.instance, error.validator_value
    match error.validator:
        case "required":
            yield from (missing((*path, name)) for name in limit if name not in given)
        case "additionalProperties" | "unevaluatedProperties":
            names = list(error.schema.get("properties", {}))
            yield from (unknown((*path, name), names) for name in given if name not in names)
        case "type":
            kinds = [limit] if isinstance(limit, str) else limit
            words = [KINDS.get(NAMES.get(kind, kind), kind) for kind in kinds]
            yield Problem(path, " or ".join(words), given)
        case "enum" | "const":
            wanted, hint = one_of(limit if error.validator == "enum" else [limit], given)
            yield Problem(path, wanted, given, hint=hint)
        case "anyOf" | "oneOf":
            yield from _of_union(path, error)
        case _:
            yield Problem(path, _limit(error.validator, limit), given)


def _limit(keyword: str, limit: Any) -> str:
    text = plain(str(limit), 60, one_line=True)
    words = {
        "minimum": f"at least {text}",
        "maximum": f"at most {text}",
        "exclusiveMinimum": f"more than {text}",
        "exclusiveMaximum": f"less than {text}",
        "multipleOf": f"a multiple of {text}",
        "minLength": f"text of at least {text} characters",
        "maxLength": f"text of at most {text} characters",
        "pattern": f"text that matches the pattern {text}",
        "minItems": f"at least {text} long",
        "maxItems": f"at most {text} long",
        "uniqueItems": "a list without the same item twice",
    }
    return words.get(keyword, f"something that its schema allows ({plain(keyword, 40)})")


def _of_union(path: Path, error: Any) -> Iterator[Problem]:
    """Of the member that fits best, what is wrong; or what any of them would have wanted."""
    members: dict[Any, list[Problem]] = {}
    for inner in error.context:
        found = members.setdefault(inner.schema_path[0], [])
        found.extend(_problems(inner))
    deeper = [found for found in members.values() if all(len(problem.path) > len(path) for problem in found)]
    if deeper:
        yield from min(deeper, key=len)
        return
    wanted = [problem.wanted for found in members.values() for problem in found if problem.wanted]
    wanted = list(dict.fromkeys(wanted)) or ["one of what its schema offers, and only one"]
    yield Problem(path, " or ".join(wanted), error.instance)


def _repairs(error: Any) -> Iterator[tuple[Path, Any]]:
    """What was meant by text for a number or a truth value, and by null for what may be left out."""
    path, given = place_of(error), error.instance
    for inner in error.context or ():
        yield from _repairs(inner)
    if (
        given is None
        and path
        and isinstance(path[-1], str)
        and error.validator in {"type", "enum", "anyOf", "oneOf"}
    ):
        yield path, ABSENT
    if error.validator != "type" or not isinstance(given, str) or len(given) > 40:
        return
    kinds = [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
    if "boolean" in kinds and given.strip().lower() in {"true", "false"}:
        yield path, given.strip().lower() == "true"
    elif {"integer", "number"} & set(kinds):
        try:
            number = float(given) if "number" in kinds else int(given)
            yield path, int(number) if number == int(number) else number
        except (ValueError, OverflowError):
            return
