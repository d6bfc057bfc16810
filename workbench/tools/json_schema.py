"""Validation of arguments by a JSON schema, of `raw_tool` or of an MCP server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

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
from workbench.tools.schema_check import checked_schema

if TYPE_CHECKING:
    from workbench.tools.bounded_validator import BoundedValidator


class JsonSchemaModel:
    """What a model may give by a JSON schema. Raises `UsageError` for one that cannot be used."""

    title = "the tool's schema"

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = checked_schema(schema)

    def json_schema(self) -> dict[str, Any]:
        """Return the schema as it was given."""
        return self._schema

    @cached_property
    def _validator(self) -> BoundedValidator:
        from workbench.tools.bounded_validator import BoundedValidator  # jsonschema, 60 ms

        return BoundedValidator(self._schema)

    def validate(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the arguments, with numbers and truth values that came as text, and what is wrong with them."""
        values, problems = put_right(dict(arguments), self._check)
        return values, sentences(problems)

    def _check(self, value: Any) -> tuple[list[Problem], Mapping[Path, Any]]:
        errors = self._validator.errors(value)
        problems = [problem for error in errors for problem in _problems(error)]
        return problems, dict(repair for error in errors for repair in _repairs(error))


def _problems(error: Any) -> Iterator[Problem]:
    """Translate an error of `jsonschema`."""
    path, value, limit = tuple(error.absolute_path), error.instance, error.validator_value
    match error.validator:
        case "required":
            yield from (missing((*path, name)) for name in limit if name not in value)
        case "additionalProperties" | "unevaluatedProperties":
            names = list(error.schema.get("properties", {}))
            yield from (unknown((*path, name), names) for name in value if name not in names)
        case "type":
            kinds = [limit] if isinstance(limit, str) else limit
            yield Problem(path, " or ".join(map(expect, kinds)), value)
        case "enum" | "const":
            yield not_a_choice(path, limit if error.validator == "enum" else [limit], value)
        case "anyOf" | "oneOf":
            members: dict[Any, list[Problem]] = {}
            for inner in error.context:
                members.setdefault(inner.schema_path[0], []).extend(_problems(inner))
            yield from of_union(path, members.values()) or [
                Problem(path, "one of what its schema offers, and only one", value)
            ]
        case keyword:
            expected = expect(keyword, limit)
            expected = expected or f"something that its schema allows ({plain(keyword, 40)})"
            yield Problem(path, expected, value)


def _repairs(error: Any) -> Iterator[tuple[Path, Any]]:
    """Yield what was meant by text for a number or a truth value, and by null for what may be left out."""
    path, value, keyword = tuple(error.absolute_path), error.instance, error.validator
    for inner in error.context or ():
        yield from _repairs(inner)
    if value is None and path and isinstance(path[-1], str) and keyword in {"type", "enum", "anyOf", "oneOf"}:
        yield path, ABSENT
    if keyword != "type" or not isinstance(value, str):
        return
    kinds = [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
    wanted = {list: "array" in kinds, dict: "object" in kinds}
    if "string" not in kinds and (meant := from_json_text(value)) is not None and wanted[type(meant)]:
        yield path, meant
    if len(value) > 40:
        return
    if "boolean" in kinds and value.strip().lower() in {"true", "false"}:
        yield path, value.strip().lower() == "true"
    elif {"integer", "number"} & set(kinds):
        try:
            number = float(value) if "number" in kinds else int(value)
            yield path, int(number) if number == int(number) else number
        except (ValueError, OverflowError):
            return
