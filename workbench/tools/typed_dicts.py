"""`typing.TypedDict` before Python 3.12, in which pydantic takes only that of `typing_extensions`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache, partial
from typing import Any, get_args
from weakref import WeakSet

import typing_extensions
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema

HOOK = "__get_pydantic_core_schema__"
COPIED = (
    *("__module__", "__qualname__", "__doc__", "__total__"),
    *("__required_keys__", "__optional_keys__", "__pydantic_config__"),
)

_admitted: WeakSet[type] = WeakSet()


def admit_typed_dicts(annotation: Any, names: Mapping[str, Any]) -> None:
    """Have pydantic take the typed dicts within a type, wherever they are: those of `typing` get its hook for that.

    Generic ones are not taken: there pydantic asks no hook, and says what to use. `names` are those that annotations
    use and their modules do not know.
    """
    if sys.version_info >= (3, 12):
        return
    if isinstance(annotation, type):
        if annotation.__module__ == "builtins" or annotation in _admitted:
            return
        _admitted.add(annotation)
        if typing_extensions.is_typeddict(annotation) and type(annotation).__module__ == "typing":
            setattr(annotation, HOOK, partial(_schema, annotation))
        for inner in _fields(annotation, names):
            admit_typed_dicts(inner, names)
    for inner in get_args(annotation):
        admit_typed_dicts(inner, names)


def _fields(kind: Any, names: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the types of the fields of a class; none where they cannot be evaluated: pydantic will say why."""
    has_fields = typing_extensions.is_typeddict(kind) or is_dataclass(kind) or hasattr(kind, "_fields")
    if has_fields:
        try:
            yield from typing_extensions.get_type_hints(
                kind, localns=dict(names), include_extras=True
            ).values()
        except (NameError, TypeError, SyntaxError, AttributeError):
            return


def _schema(kind: Any, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    return handler.generate_schema(_equivalent(kind))


@cache
def _equivalent(kind: Any) -> Any:
    """Return the typed dict of `typing_extensions` with the same fields, unevaluated."""
    make: Any = typing_extensions.TypedDict
    equivalent = make(kind.__name__, dict(kind.__annotations__))
    for name in COPIED:
        if hasattr(kind, name):
            setattr(equivalent, name, getattr(kind, name))
    return equivalent
