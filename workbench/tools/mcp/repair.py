"""Tools as servers list them, brought into the form that the protocol asks for: one odd schema must not cost a server.

What Go's nil, draft 4 and hand-written schemas leave behind is put right where it is plain what was meant; the rest is
judged later, tool by tool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

JsonObject = dict[str, Any]

MAY_BE_NULL = ("const", "default", "examples", "example")
SCHEMA_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords whose values are schemas by name."""
SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
SCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
MOST_ALTERNATIVES = 100
"""Alternatives at the root of a schema that are merged."""
DEEPEST = 40
"""Levels that are looked at; deeper ones are refused later."""


def repair_listing(result: JsonObject, notify: Callable[[str], None]) -> None:
    """Repair the tools of a `tools/list` result in place; an entry that is none is left out, and named to `notify`."""
    entries: list[JsonObject] = []
    for entry in result["tools"]:
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            try:
                entries.append(_repair_tool(entry))
            except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
                notify(f"lists a tool {entry['name']!r:.60} whose schema cannot be read")
        else:
            notify("lists something that is no tool")
    result["tools"] = entries


def _repair_tool(tool: JsonObject) -> JsonObject:
    repaired = {key: value for key, value in tool.items() if value is not None}
    repaired["inputSchema"] = object_schema(repaired.get("inputSchema"))
    for key, kind in (("title", str), ("description", str), ("annotations", dict), ("_meta", dict)):
        if key in repaired and not isinstance(repaired[key], kind):
            del repaired[key]
    for key in ("outputSchema", "icons", "execution"):  # nobody here looks at them
        repaired.pop(key, None)
    return repaired


def object_schema(schema: Any) -> JsonObject:
    """Return the schema of a tool's arguments as one of an object, which is what the protocol and APIs accept."""
    if not isinstance(schema, dict):
        return {"type": "object"}
    repaired = repair_schema(schema)
    repaired = _resolved(repaired)
    for keyword in ("allOf", "anyOf", "oneOf"):
        if isinstance(repaired.get(keyword), list):
            repaired = _merged(repaired, keyword)
    if repaired.get("type") in (None, ["object"], ["object", "null"], ["null", "object"]):
        repaired["type"] = "object"
    return repaired


def repair_schema(schema: Any, depth: int = 0) -> Any:
    """Return a schema without nulls in the place of absent keywords, and with draft 4's booleans in today's words."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return schema
    repaired = {key: value for key, value in schema.items() if value is not None or key in MAY_BE_NULL}
    _modernize_bounds(repaired)
    _collect_required(repaired)
    for key in SCHEMA_MAPS:
        if isinstance(repaired.get(key), dict):
            repaired[key] = {
                name: repair_schema(part, depth + 1)
                for name, part in repaired[key].items()
                if part is not None
            }
    for key in SCHEMA_LISTS:
        if isinstance(repaired.get(key), list):
            repaired[key] = [repair_schema(part, depth + 1) for part in repaired[key] if part is not None]
    for key in SCHEMAS:
        if isinstance(repaired.get(key), dict):
            repaired[key] = repair_schema(repaired[key], depth + 1)
    if isinstance(repaired.get("items"), list):  # a tuple, in the words of older drafts
        items = [part for part in repaired.pop("items") if part is not None]
        if items:
            repaired["prefixItems"] = [repair_schema(part, depth + 1) for part in items]
    if repaired.get("type") == "array" and "items" not in repaired and "prefixItems" not in repaired:
        repaired["items"] = {}
    if isinstance(repaired.get("$ref"), str) and repaired["$ref"].startswith("#"):
        repaired["$ref"] = unquote(repaired["$ref"])
    return repaired


def _modernize_bounds(schema: JsonObject) -> None:
    """Draft 4 says by a boolean that `minimum` or `maximum` itself is excluded."""
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if schema.get(exclusive) is True and inclusive in schema:
            schema[exclusive] = schema.pop(inclusive)
        elif isinstance(schema.get(exclusive), bool):
            del schema[exclusive]


def _collect_required(schema: JsonObject) -> None:
    """`required: true` in a property, as draft 3 has it, belongs into the list of the object."""
    if isinstance(schema.get("required"), bool):
        del schema["required"]
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return
    if "type" not in schema and not any(key in schema for key in ("$ref", *SCHEMA_LISTS)):
        schema["type"] = "object"
    own = [
        name for name, part in properties.items() if isinstance(part, dict) and part.get("required") is True
    ]
    if own and isinstance(schema.get("required", []), list):
        schema["required"] = list(dict.fromkeys([*_required(schema), *own]))


def _resolved(schema: JsonObject) -> JsonObject:
    """Return the schema that a reference at the root leads to, with what stands beside it."""
    for _ in range(DEEPEST):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        target: Any = schema
        for part in reference[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            target = target.get(key) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            return schema
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def _merged(schema: JsonObject, keyword: str) -> JsonObject:
    """Return a union (or `allOf`) of objects at the root as one object: each may give, all must require."""
    parts = [
        _resolved({**_definitions(schema), **part}) for part in schema[keyword] if isinstance(part, dict)
    ]
    objects = [part for part in parts if part.get("type", "object") == "object"]
    if not objects or len(objects) != len(schema[keyword]) or len(objects) > MOST_ALTERNATIVES:
        return schema
    properties = dict(_properties(schema))
    for part in objects:
        for name, property_schema in _properties(part).items():
            properties[name] = _either(properties.get(name), property_schema)
    required = _required(schema)
    sets = [_required(part) for part in objects]
    common = set.union(*map(set, sets)) if keyword == "allOf" else set.intersection(*map(set, sets))
    rest = {key: value for key, value in schema.items() if key != keyword}
    names = list(dict.fromkeys([*required, *(name for part in sets for name in part if name in common)]))
    return {**rest, "type": "object", "properties": properties, **({"required": names} if names else {})}


def _either(first: Any, second: Any) -> Any:
    if first is None or first == second:
        return second
    is_union = isinstance(first, dict) and isinstance(first.get("anyOf"), list) and len(first) == 1
    alternatives = first["anyOf"] if is_union else [first]
    return {"anyOf": [*alternatives, second]}


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _definitions(schema: Mapping[str, Any]) -> JsonObject:
    return {key: schema[key] for key in ("$defs", "definitions") if key in schema}


def _required(schema: Mapping[str, Any]) -> Sequence[str]:
    required = schema.get("required")
    return [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
