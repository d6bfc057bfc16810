"""A JSON schema that nobody vouches for, looked through once before anything is checked by it.

It may be no schema, point to what is not there or elsewhere, or go round in circles.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.tools.arguments import LARGEST, depth

DEEPEST = 64
SUBSCHEMAS = {
    "additionalItems", "additionalProperties", "allOf", "anyOf", "contains", "contentSchema", "else", "if", "items",
    "not", "oneOf", "prefixItems", "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
}  # fmt: skip
MAPS = {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
COUNTS = (
    "maxContains", "maxItems", "maxLength", "maxProperties", "minContains", "minItems", "minLength", "minProperties",
)  # fmt: skip
IN_PLACE = {"allOf", "anyOf", "oneOf", "not", "if", "then", "else"}
"""Keywords whose schemas look at the same value: a reference that comes back through these alone never ends."""
TYPES = {"array", "boolean", "integer", "null", "number", "object", "string"}


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _types(value: object) -> bool:
    kinds = value if isinstance(value, list) else [value]
    return bool(kinds) and all(isinstance(kind, str) and kind in TYPES for kind in kinds)


def _some(value: object) -> bool:
    return isinstance(value, list) and bool(value)


WANTED: dict[str, Callable[[object], bool]] = {
    "type": _types,
    "required": _texts,
    "enum": lambda value: isinstance(value, list),
    "pattern": lambda value: isinstance(value, str),
    "uniqueItems": lambda value: isinstance(value, bool),
    "description": lambda value: isinstance(value, str),
    "multipleOf": lambda value: _number(value) and value > 0,  # type: ignore[operator] # it is a number
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _number),
    **dict.fromkeys(COUNTS, _count),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _some),
}
"""What the value of a keyword must be. (Draft 4 has exclusiveMinimum: true; nobody writes it for tools.)"""


def looked_through(schema: object) -> dict[str, Any]:
    """A copy of the schema, if it can be used."""
    if not isinstance(schema, Mapping):
        raise UsageError(
            f"a schema is an object, not {type(schema).__name__}", "give the JSON schema of the arguments"
        )
    if depth(schema, DEEPEST) > DEEPEST:
        raise UsageError(f"the schema is nested more than {DEEPEST} deep", "make it flatter")
    try:
        text = json.dumps(schema)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"the schema is not JSON: {error}", "use objects, lists, text, numbers, true, false, null"
        ) from error
    if len(text) > LARGEST:
        raise UsageError(f"the schema has {len(text):,} characters, more than {LARGEST:,}", "make it smaller")
    found: dict[str, Any] = json.loads(text)
    if found.setdefault("type", "object") != "object":
        kind = plain(str(found["type"]), 40, one_line=True)
        raise UsageError(
            f'the arguments of a tool are an object, not "{kind}"', 'give a schema of type "object"'
        )
    for place, schema in _all_schemas(found):
        _check_keywords(place, schema)
    _check_references(found)
    return found


def _all_schemas(root: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every schema within one, itself included, with its place."""
    waiting: list[tuple[str, Any]] = [("the root", root)]
    while waiting:
        place, schema = waiting.pop()
        yield place, schema
        if isinstance(schema, Mapping):
            waiting.extend((f"{place}.{keyword}", inner) for keyword, inner in _subschemas(schema))


def _check_keywords(place: str, schema: Any) -> None:
    """Raises `UsageError` for a keyword with a value that it cannot have.

    By hand: checked by its metaschema, a schema takes 0.6 ms for each property, and a hostile one 20 s.
    """
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        _invalid(place, f"is {type(schema).__name__}, not a schema")
    for keyword, value in schema.items():
        if keyword in MAPS and not isinstance(value, Mapping):
            _invalid(place, f"{keyword} must be an object with schemas")
        if keyword in WANTED and not WANTED[keyword](value):
            _invalid(place, f"{keyword} cannot be {plain(json.dumps(value), 60, one_line=True)}")


def _invalid(place: str, why: str) -> NoReturn:
    place = plain(place, 100, one_line=True)
    raise UsageError(f"the schema is not valid: at {place}, {why}", "see json-schema.org for what it may say")


def _subschemas(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas directly within one, with the keyword that they are in."""
    for keyword, value in schema.items():
        if keyword in MAPS and isinstance(value, Mapping):
            inner = list(value.values())
        elif keyword in SUBSCHEMAS:
            inner = value if isinstance(value, list) else [value]
        else:
            continue
        yield from ((keyword, one) for one in inner)


def _check_references(root: Mapping[str, Any]) -> None:
    """Raises `UsageError` for a reference that leads outside, to nothing, or round in a circle."""
    waiting: list[Mapping[str, Any]] = [root]
    onwards: dict[int, list[Mapping[str, Any]]] = {}
    while waiting:
        schema = waiting.pop()
        if id(schema) in onwards:
            continue
        here = onwards[id(schema)] = []
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            if keyword in schema:
                target = _resolved(root, schema[keyword])
                here.append(target)
                waiting.append(target)
        for keyword, inner in _subschemas(schema):
            if not isinstance(inner, Mapping):  # true or false
                continue
            waiting.append(inner)
            if keyword in IN_PLACE:
                here.append(inner)
    _check_circles(onwards)


def _resolved(root: Mapping[str, Any], ref: object) -> Mapping[str, Any]:
    shown = plain(str(ref), 80, one_line=True)
    if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
        raise UsageError(
            f"the schema points to {shown}, which is not fetched",
            "put it under $defs, and point to #/$defs/…",
        )
    target: Any = root
    for step in ref.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and name.isdecimal() and int(name) < len(target):
            target = target[int(name)]
        else:
            target = target.get(name) if isinstance(target, Mapping) else None
    if not isinstance(target, Mapping):
        raise UsageError(f"the schema points to {shown}, which is not there", "put it under $defs")
    return target


def _check_circles(onwards: Mapping[int, list[Mapping[str, Any]]]) -> None:
    done: set[int] = set()
    for start in onwards:
        within, stack = {start}, [(start, iter(onwards[start]))]
        while stack:
            here, others = stack[-1]
            other = next(others, None)
            if other is None:
                stack.pop()
                within.discard(here)
                done.add(here)
            elif id(other) in within:
                raise UsageError(
                    "a reference in the schema comes back to itself", "let it go through a property or a list"
                )
            elif id(other) not in done:
                within.add(id(other))
                stack.append((id(other), iter(onwards.get(id(other), ()))))


def checkable(schema: Any) -> Any:
    """A copy without keywords that run a pattern of the schema's on an engine that may take for ever."""
    if isinstance(schema, list):
        return [checkable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: value for key, value in schema.items() if key not in {"$id", "id", "$schema", "$anchor"}}
    if "patternProperties" in found:
        for keyword in ("patternProperties", "additionalProperties", "unevaluatedProperties"):
            found.pop(keyword, None)
    for keyword, value in found.items():
        if keyword in MAPS and isinstance(value, dict):
            found[keyword] = {name: checkable(one) for name, one in value.items()}
        elif keyword in SUBSCHEMAS:
            found[keyword] = checkable(value)
    return found
