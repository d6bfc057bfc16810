"""The check of an untrusted JSON schema, before anything is validated by it.

It may be no schema, point to what is not there or elsewhere, or go round in circles.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_types(value: object) -> bool:
    kinds = value if isinstance(value, list) else [value]
    return bool(kinds) and all(isinstance(kind, str) and kind in TYPES for kind in kinds)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_filled_list(value: object) -> bool:
    return isinstance(value, list) and bool(value)


VALUES: dict[str, Callable[[Any], bool]] = {
    "type": _are_types,
    "required": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "enum": lambda value: isinstance(value, list),
    "uniqueItems": lambda value: isinstance(value, bool),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    **dict.fromkeys(("pattern", "description"), _is_text),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(COUNTS, lambda value: type(value) is int and value >= 0),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _is_filled_list),
}
"""Whether a keyword can have a value. (Draft 4 has exclusiveMinimum: true; nobody writes it for tools.)"""


def checked_schema(schema: object) -> dict[str, Any]:
    """Return a copy of the schema. Raises `UsageError` if it cannot be used."""
    if not isinstance(schema, Mapping):
        reason = f"a schema is an object, not {type(schema).__name__}"
        raise UsageError(reason, "give the JSON schema of the arguments")
    if depth(schema, DEEPEST) > DEEPEST:
        raise UsageError(f"the schema is nested more than {DEEPEST} deep", "make it flatter")
    try:
        text = json.dumps(schema)
    except (TypeError, ValueError) as error:
        hint = "use objects, lists, text, numbers, true, false, null"
        raise UsageError(f"the schema is not JSON: {error}", hint) from error
    if len(text) > LARGEST:
        raise UsageError(f"the schema has {len(text):,} characters, more than {LARGEST:,}", "make it smaller")
    copy: dict[str, Any] = json.loads(text)
    if copy.setdefault("type", "object") != "object":
        kind = plain(str(copy["type"]), 40, one_line=True)
        reason = f'the arguments of a tool are an object, not "{kind}"'
        raise UsageError(reason, 'give a schema of type "object"')
    _check(copy)
    return copy


def _check(root: dict[str, Any]) -> None:
    """Raise `UsageError` for a keyword with a value that it cannot have, and for a reference that leads outside, to
    nothing, or round in a circle.

    By hand: checked by its metaschema, a schema takes 0.6 ms for each property, and a hostile one 20 s.
    """
    waiting: list[tuple[str, Any]] = [("the root", root)]
    same_value: dict[int, list[int]] = {}
    """For each schema those that look at the same value."""
    while waiting:
        place, schema = waiting.pop()
        if id(schema) in same_value or isinstance(schema, bool):
            continue
        _check_keywords(place, schema)
        onwards = same_value[id(schema)] = []
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            if keyword in schema:
                target = _resolve(root, schema[keyword])
                onwards.append(id(target))
                waiting.append((place, target))
        for keyword, inner in _subschemas(schema):
            waiting.append((f"{place}.{keyword}", inner))
            if keyword in IN_PLACE:
                onwards.append(id(inner))
    try:
        TopologicalSorter(same_value).prepare()
    except CycleError:
        reason = "a reference in the schema comes back to itself"
        raise UsageError(reason, "let it go through a property or a list") from None


def _check_keywords(place: str, schema: Any) -> None:
    if not isinstance(schema, Mapping):
        _invalid(place, f"is {type(schema).__name__}, not a schema")
    for keyword, value in schema.items():
        if keyword in MAPS and not isinstance(value, Mapping):
            _invalid(place, f"{keyword} must be an object with schemas")
        if keyword in VALUES and not VALUES[keyword](value):
            _invalid(place, f"{keyword} cannot be {plain(json.dumps(value), 60, one_line=True)}")


def _invalid(place: str, reason: str) -> NoReturn:
    place = plain(place, 100, one_line=True)
    raise UsageError(
        f"the schema is not valid: at {place}, {reason}", "see json-schema.org for what it may say"
    )


def _subschemas(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Iterate over the schemas directly within one, with the keyword that they are in."""
    for keyword, value in schema.items():
        if keyword in MAPS:
            yield from ((keyword, inner) for inner in value.values())
        elif keyword in SUBSCHEMAS:
            yield from ((keyword, inner) for inner in (value if isinstance(value, list) else [value]))


def _resolve(root: Mapping[str, Any], reference: object) -> Mapping[str, Any]:
    text = plain(str(reference), 80, one_line=True)
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        reason = f"the schema points to {text}, which is not fetched"
        raise UsageError(reason, "put it under $defs, and point to #/$defs/…")
    target: Any = root
    for step in reference.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and name.isdecimal() and int(name) < len(target):
            target = target[int(name)]
        else:
            target = target.get(name) if isinstance(target, Mapping) else None
    if not isinstance(target, Mapping):
        raise UsageError(f"the schema points to {text}, which is not there", "put it under $defs")
    return target
