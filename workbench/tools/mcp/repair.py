"""What MCP servers answer, brought into the form that the protocol and APIs ask for: one odd schema must not cost a
server, and one odd block no result.

What Go's nil, old drafts and hand-written schemas leave behind is put right where it is plain what was meant; a keyword
with a value that it cannot have is left out. The rest is judged later, tool by tool.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from workbench.tools.schema_check import TYPES, VALUES

JsonObject = dict[str, Any]

MAY_BE_NULL = ("const", "default", "examples", "example")
SCHEMA_MAPS = ("properties", "patternProperties", "$defs", "dependentSchemas")
"""Keywords whose values are schemas by name."""
SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
SCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
UNIONS = ("allOf", "anyOf", "oneOf")
TEXTS = ("title", "format", "$comment", "contentEncoding", "contentMediaType")
ADDRESSES = ("$id", "id", "$schema", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary")
"""What names a schema for others."""
OTHER_NAMES = {
    **{
        "str": "string",
        "text": "string",
        "date": "string",
        "datetime": "string",
        "char": "string",
        "uuid": "string",
    },
    **{"int": "integer", "long": "integer", "float": "number", "double": "number", "decimal": "number"},
    **{
        "bool": "boolean",
        "dict": "object",
        "map": "object",
        "struct": "object",
        "list": "array",
        "tuple": "array",
    },
    **{"none": "null", "nil": "null", "undefined": "null"},
}
"""Types as other languages call them."""
DEEPEST = 40
"""Levels of a schema that are read; a deeper one may be anything."""


def repair_result(result: JsonObject, notify: Callable[[str], None]) -> None:
    """Repair in place the result of `tools/list` or `tools/call`; what cannot be is left out, and named to `notify`."""
    if "tools" in result and "content" not in result:
        _repair_listing(result, notify)
    elif "content" in result:
        _repair_answer(result)


def _repair_listing(result: JsonObject, notify: Callable[[str], None]) -> None:
    listed = result["tools"]
    if isinstance(listed, dict):
        listed = [{"name": name, **tool} if isinstance(tool, dict) else tool for name, tool in listed.items()]
    entries: list[JsonObject] = []
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            try:
                entries.append(_repair_tool(entry))
            except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
                notify(f"lists a tool {entry['name']!r:.60} whose schema cannot be read")
        else:
            notify("lists something that is no tool")
    result["tools"] = entries
    if not isinstance(result.get("nextCursor"), str):
        result.pop("nextCursor", None)


def _repair_tool(tool: JsonObject) -> JsonObject:
    repaired = {key: value for key, value in tool.items() if value is not None}
    repaired["inputSchema"] = object_schema(repaired.get("inputSchema"))
    for key, kind in (("title", str), ("description", str), ("annotations", dict), ("_meta", dict)):
        if key in repaired and not isinstance(repaired[key], kind):
            del repaired[key]
    if annotations := repaired.get("annotations"):
        kinds = {"title": str}
        repaired["annotations"] = {
            key: value for key, value in annotations.items() if isinstance(value, kinds.get(key, bool))
        }
    for key in ("outputSchema", "icons", "execution"):  # nobody here looks at them
        repaired.pop(key, None)
    return repaired


def _repair_answer(result: JsonObject) -> None:
    """A block that the protocol does not know is given as its JSON."""
    from mcp_types import ContentBlock  # with the server

    content = result["content"]
    blocks = content if isinstance(content, list) else [] if content is None else [content]
    known: TypeAdapter[Any] = TypeAdapter(ContentBlock)
    for number, block in enumerate(blocks):
        try:
            known.validate_python(block)
        except ValidationError:
            text = block if isinstance(block, str) else json.dumps(block, ensure_ascii=False)
            blocks[number] = {"type": "text", "text": text}
    result["content"] = blocks
    structured = result.get("structuredContent")
    if structured is not None and not isinstance(structured, dict):
        result["structuredContent"] = {"result": structured}
    result["isError"] = result.get("isError") in (True, "true", 1)


# --- schemas ---------------------------------------------------------------------------------------------------------


def object_schema(schema: Any) -> JsonObject:
    """Return the schema of a tool's arguments as one of an object, which is what the protocol and APIs accept."""
    if not isinstance(schema, dict):
        return {"type": "object"}
    root = _Definitions(_json(schema, 0)).gathered()
    if not (_types(root) or "$ref" in root or any(keyword in root for keyword in UNIONS)):
        root["type"] = "object"
    root = repair_schema(root)
    root = _merged(_resolved(root, root), root, 0)
    for keyword in ("not", "enum", "const"):
        root.pop(keyword, None)
    if root.get("type") is None or "object" in _types(root):
        root["type"] = "object"
    return root


def repair_schema(schema: Any, depth: int = 0) -> Any:
    """Return a schema without nulls in the place of absent keywords, in today's words and with nothing impossible."""
    if isinstance(schema, bool):
        return schema
    if isinstance(schema, str):
        schema = {"type": schema}
    if not isinstance(schema, dict) or depth > DEEPEST:
        return {}
    repaired = {key: value for key, value in schema.items() if value is not None or key in MAY_BE_NULL}
    for key in [*repaired]:
        value = repaired[key]
        is_list = key not in (*SCHEMA_LISTS, "enum") or isinstance(value, list)
        is_empty = key in UNIONS and isinstance(value, list) and all(part is None for part in value)
        if key in ADDRESSES or not is_list or is_empty:
            del repaired[key]
    _repair_types(repaired)
    _modernize_bounds(repaired)
    _collect_required(repaired)
    _repair_parts(repaired, depth)
    for key in [*repaired]:
        is_text = key not in TEXTS or isinstance(repaired[key], str)
        if not (
            is_text and VALUES.get(key, lambda value: True)(repaired[key]) and _is_pattern(key, repaired[key])
        ):
            del repaired[key]
    return repaired


def _repair_parts(schema: JsonObject, depth: int) -> None:
    """Repair the schemas within a schema."""
    for key in SCHEMA_MAPS:
        if key in schema and not isinstance(schema[key], dict):
            del schema[key]
        elif key in schema:
            parts = {
                name: repair_schema(part, depth + 1) for name, part in schema[key].items() if part is not None
            }
            if key == "properties":
                parts = {
                    name: {} if part is True else part for name, part in parts.items() if part is not False
                }
            schema[key] = parts
    if isinstance(schema.get("items"), list):  # a tuple, in the words of older drafts
        schema["prefixItems"] = schema.pop("items")
    for key in SCHEMA_LISTS:
        if isinstance(schema.get(key), list):
            schema[key] = [repair_schema(part, depth + 1) for part in schema[key] if part is not None]
    if not schema.get("prefixItems", True):
        del schema["prefixItems"]
    for key in SCHEMAS:
        if isinstance(schema.get(key), dict):
            schema[key] = repair_schema(schema[key], depth + 1)
        elif key in schema and not isinstance(schema[key], bool):
            del schema[key]
    if "array" in _types(schema) and not isinstance(schema.get("items"), dict):
        first = [part for part in schema.get("prefixItems", []) if isinstance(part, dict)]
        unique = [part for number, part in enumerate(first) if part not in first[:number]]
        schema["items"] = {} if len(unique) != len({*map(str, first)}) or not unique else _union(unique)


def _union(schemas: list[Any]) -> Any:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _repair_types(schema: JsonObject) -> None:
    """Give the types their names, and those that a schema plainly has but does not say."""
    if isinstance(schema.get("enum"), list):
        values = {json.dumps(value, sort_keys=True): value for value in schema["enum"]}
        schema["enum"] = [*values.values()]
        if not values:
            del schema["enum"]
    kinds = [*dict.fromkeys(filter(None, map(_type_name, _types(schema))))]
    if kinds and "enum" in schema:
        kinds = [
            *dict.fromkeys(
                [
                    *kinds,
                    *(
                        kind
                        for value in schema["enum"]
                        if (kind := _kind_of(value)) not in kinds
                        and not (kind == "integer" and "number" in kinds)
                    ),
                ]
            )
        ]
    if "type" in schema:
        schema["type"] = kinds[0] if len(kinds) == 1 else kinds
    if not kinds and schema.get("nullable") is not True:
        schema.pop("type", None)
        if "$ref" not in schema and not any(key in schema for key in (*UNIONS, "enum", "const")):
            if isinstance(schema.get("properties"), dict):
                schema["type"] = "object"
            elif isinstance(schema.get("items"), dict | list) or isinstance(schema.get("prefixItems"), list):
                schema["type"] = "array"
    if schema.pop("nullable", None) is True and kinds and "null" not in kinds:
        schema["type"] = [*kinds, "null"]


def _types(schema: Mapping[str, Any]) -> list[Any]:
    kind = schema.get("type")
    return kind if isinstance(kind, list) else [] if kind is None else [kind]


def _type_name(kind: Any) -> str:
    """Return JSON schema's name of a type; empty if it has none."""
    name = kind.lower() if isinstance(kind, str) else ""
    return name if name in TYPES else OTHER_NAMES.get(name, "")


def _kind_of(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return "integer"
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def _is_pattern(key: str, value: Any) -> bool:
    if key != "pattern":
        return True
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _modernize_bounds(schema: JsonObject) -> None:
    """Draft 4 says by a boolean that a bound itself is excluded; some write bounds as text, or whole ones as floats."""
    for key in [*schema]:
        value = schema[key]
        if key.startswith(("min", "max")) and isinstance(value, str | float):
            try:
                number = float(value)
                schema[key] = int(number) if number == int(number) else number
            except (ValueError, OverflowError):
                del schema[key]
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if schema.get(exclusive) is True and inclusive in schema:
            schema[exclusive] = schema.pop(inclusive)
        elif isinstance(schema.get(exclusive), bool):
            del schema[exclusive]


def _collect_required(schema: JsonObject) -> None:
    """`required: true` in a property, as draft 3 has it, belongs into the list of the object."""
    properties = schema.get("properties")
    parts = properties if isinstance(properties, dict) else {}
    own = [name for name, part in parts.items() if isinstance(part, dict) and part.get("required") is True]
    if own or isinstance(schema.get("required"), list):
        schema["required"] = [*dict.fromkeys([*_required(schema), *own])]


class _Definitions:
    """Gathers what a schema points to under `$defs`, where every API looks for it."""

    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._definitions: JsonObject = {}
        self._names: dict[str, str] = {}
        """The name of the definition for a pointer."""

    def gathered(self) -> JsonObject:
        """Return the schema with its references to `#` and `#/$defs/…` alone; what leads nowhere may be anything."""
        root = self._follow(
            {key: value for key, value in self._root.items() if key not in ("$defs", "definitions")}
        )
        return {**root, "$defs": self._definitions} if self._definitions else dict(root)

    def _follow(self, schema: Any, *, values: bool = False) -> Any:
        if isinstance(schema, list):
            return [self._follow(part) for part in schema]
        if not isinstance(schema, dict):
            return schema
        followed = {
            key: value
            if key in (*MAY_BE_NULL, "enum") and not values
            else self._follow(value, values=not values and _has_names(key))
            for key, value in schema.items()
            if values or key not in ("$defs", "definitions")
        }
        if values:
            return followed
        reference = next(
            (schema[key] for key in ("$ref", "$recursiveRef", "$dynamicRef") if key in schema), None
        )
        for key in ("$ref", "$recursiveRef", "$dynamicRef"):
            followed.pop(key, None)
        pointer = unquote(reference) if isinstance(reference, str) else ""
        if pointer == "#":
            followed["$ref"] = "#"
        elif name := self._name(pointer):
            followed["$ref"] = f"#/$defs/{name}"
        return followed

    def _name(self, pointer: str) -> str:
        """Return the name under which the target of a pointer is defined; empty if there is none."""
        if pointer in self._names:
            return self._names[pointer]
        target: Any = self._root
        for step in pointer.removeprefix("#").split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and key.isdecimal():
                target = target[int(key)] if int(key) < len(target) else None
            else:
                target = target.get(key) if isinstance(target, dict) else None
        if not pointer.startswith("#/") or not isinstance(target, dict):
            return ""
        base = re.sub(r"[^A-Za-z0-9_.-]+", "_", pointer.rpartition("/")[2])[:60] or "part"
        taken = set(self._names.values())
        self._names[pointer] = name = next(
            name for name in (base, *(f"{base}_{number}" for number in range(2, 10_000))) if name not in taken
        )
        self._definitions[name] = {}  # while it is looked at
        self._definitions[name] = self._follow(target)
        return name


def _has_names(key: str) -> bool:
    return key in ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")


def _resolved(schema: JsonObject, root: JsonObject) -> JsonObject:
    """Return the schema that a reference leads to, with what stands beside it."""
    for _ in range(DEEPEST):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {}), **beside}
    return {key: value for key, value in schema.items() if key != "$ref"}


def _merged(schema: JsonObject, root: JsonObject, depth: int) -> JsonObject:
    """Return a schema whose union (or `allOf`) of objects is one object: each may give, all must require."""
    for keyword in UNIONS:
        members = schema.get(keyword)
        if not isinstance(members, list):
            continue
        rest = {key: value for key, value in schema.items() if key != keyword}
        parts = [part if isinstance(part, dict) else {} for part in members if depth < DEEPEST // 4]
        parts = [_merged(_resolved(part, root), root, depth + 1) for part in parts]
        objects = [part for part in parts if "object" in (_types(part) or ["object"])]
        if not objects and "type" not in rest and depth == 0 and parts:
            rest["type"] = _types(parts[0])[0]  # no object at all: it is refused as what it is
        properties = dict(_properties(schema))
        for part in objects:
            for name, property_schema in _properties(part).items():
                properties[name] = _either(properties.get(name), property_schema)
        sets = [_required(part) for part in objects]
        join = set[str].union if keyword == "allOf" else set[str].intersection
        common = join(*map(set, sets)) if sets else set[str]()
        names = dict.fromkeys(
            [*_required(schema), *(name for part in sets for name in part if name in common)]
        )
        schema = (
            rest
            | ({"properties": properties} if properties else {})
            | ({"required": [*names]} if names else {})
        )
        if objects:
            schema.setdefault("type", "object")
    return schema


def _either(first: Any, second: Any) -> Any:
    if first is None or first == second:
        return second
    is_union = isinstance(first, dict) and isinstance(first.get("anyOf"), list) and len(first) == 1
    alternatives = first["anyOf"] if is_union else [first]
    return {"anyOf": alternatives if second in alternatives else [*alternatives, second]}


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _required(schema: Mapping[str, Any]) -> Iterable[str]:
    required = schema.get("required")
    return [name for name in required if isinstance(name, str)] if isinstance(required, list) else []


def _json(value: Any, depth: int) -> Any:
    """Return a copy that can be sent on: no half characters, no infinite numbers, no endless depth."""
    if depth > 2 * DEEPEST:
        return {}
    if isinstance(value, dict):
        return {_json(str(key), depth): _json(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list):
        return [_json(part, depth + 1) for part in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return None if isinstance(value, float) and not math.isfinite(value) else value
