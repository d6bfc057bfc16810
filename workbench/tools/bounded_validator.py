"""A `jsonschema` validator for untrusted schemas: the work that they can make it do is bounded.

Nothing is fetched, patterns run on an engine without backtracking, and the work of one check is counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any

from jsonschema import ValidationError, validators
from pydantic_core import SchemaError, SchemaValidator, core_schema
from referencing import Registry

from workbench.model.errors import StageError
from workbench.tools.schema_check import MAPS, SUBSCHEMAS

STEPS = 50_000
"""Keywords looked at for one check: about a second."""
DIALECT = {"$id", "id", "$schema", "$anchor"}
BY_PATTERN = {"patternProperties", "additionalProperties", "unevaluatedProperties"}
"""Where some names are patterns, `jsonschema` matches them with an engine that may take for ever."""
_steps: ContextVar[int] = ContextVar("steps of a check", default=0)


class BoundedValidator:
    """Finds what is wrong with values by a schema that `schema_check` has passed."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        kind = _counting_validator(validators.validator_for(schema, default=validators.Draft202012Validator))
        self._validator = kind(_safe_copy(schema), registry=Registry())

    def errors(self, value: object) -> list[Any]:
        """Return the errors of `jsonschema`. Raises `StageError` where that would take too long."""
        before = _steps.set(0)
        try:
            return list(self._validator.iter_errors(value))
        finally:
            _steps.reset(before)


def _safe_copy(schema: Any) -> Any:
    """Copy a schema without keywords that run a pattern of its own on an engine that may take for ever."""
    if isinstance(schema, list):
        return [_safe_copy(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    left_out = DIALECT | BY_PATTERN if "patternProperties" in schema else DIALECT
    copy = {keyword: value for keyword, value in schema.items() if keyword not in left_out}
    for keyword, value in copy.items():
        if keyword in MAPS:
            copy[keyword] = {name: _safe_copy(inner) for name, inner in value.items()}
        elif keyword in SUBSCHEMAS:
            copy[keyword] = _safe_copy(value)
    return copy


@cache
def _counting_validator(kind: Any) -> Any:
    """Return a class of validators whose work is counted."""
    keywords = {**kind.VALIDATORS, "pattern": _check_pattern, "uniqueItems": _check_unique}
    return validators.extend(kind, {name: _counted(check) for name, check in keywords.items()})


def _counted(check: Callable[..., Any]) -> Callable[..., Any]:
    def counting(*arguments: Any) -> Any:
        steps = _steps.get() + 1
        _steps.set(steps)
        if steps > STEPS:
            raise StageError("checking by its schema takes too long")
        return check(*arguments)

    return counting


@cache
def _compiled(pattern: str) -> Any:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern))
    except SchemaError:  # lookaround, or another dialect: whoever runs the tool will look at it
        return None


def _check_pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    check = _compiled(pattern) if isinstance(value, str) else None
    if check is not None and not check.isinstance_python(value):
        yield ValidationError("does not match")


def _check_unique(validator: Any, unique: bool, value: Any, schema: Any) -> Iterator[Any]:
    if unique and isinstance(value, list):
        texts = [json.dumps(item, sort_keys=True) for item in value]
        if len(set(texts)) < len(texts):
            yield ValidationError("has the same item twice")
