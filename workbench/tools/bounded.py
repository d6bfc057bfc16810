"""`jsonschema` for schemas that nobody vouches for: what they make it do is bounded.

Nothing is fetched, patterns run on an engine without backtracking, and the work of one check is counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any

from workbench.model.errors import StageError

STEPS = 50_000
"""Keywords looked at for one check: about a second."""
_steps: ContextVar[int] = ContextVar("steps of a check", default=0)


class BoundedValidator:
    """Finds what is wrong with values by a schema that was looked through."""

    def __init__(self, schema: Mapping[str, Any], checkable: Mapping[str, Any]) -> None:
        from jsonschema import validators
        from referencing import Registry

        kind = _guarded(validators.validator_for(schema, default=validators.Draft202012Validator))
        self._validator = kind(checkable, registry=Registry())

    def errors(self, value: object) -> list[Any]:
        """The errors of `jsonschema`. Raises `StageError` where that would take too long."""
        kept = _steps.set(0)
        try:
            return list(self._validator.iter_errors(value))
        finally:
            _steps.reset(kept)


@cache
def _guarded(kind: Any) -> Any:
    """A class of validators whose work is counted."""
    from jsonschema import validators

    keywords = {**kind.VALIDATORS, "pattern": _pattern, "uniqueItems": _unique}
    counted = {name: _counted(check) for name, check in keywords.items()}
    return validators.extend(kind, counted)


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
    from pydantic_core import SchemaError, SchemaValidator, core_schema

    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern))
    except SchemaError:  # lookaround, or another dialect: whoever runs the tool will look at it
        return None


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if (
        isinstance(value, str)
        and (check := _compiled(pattern)) is not None
        and not check.isinstance_python(value)
    ):
        yield ValidationError("does not match")


def _unique(validator: Any, wanted: bool, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if wanted and isinstance(value, list):
        texts = [json.dumps(item, sort_keys=True) for item in value]
        if len(set(texts)) < len(texts):
            yield ValidationError("has the same item twice")
