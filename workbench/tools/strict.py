"""JSON schemas as OpenAI's strict mode wants them: all objects closed, everything required, and only some keywords.

What strict mode cannot check (a shortest text, a pattern with lookahead) goes into the description; arguments are
checked in full when they come back. What it cannot say at all (any names, any value) makes a schema loose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from workbench.model.text import plain

Schema = dict[str, Any]
ABSENT = object()
NODES = 20_000
"""Schemas within a schema; a reference with a description is written out, so that a small one may become large."""
LEVELS = 64
"""Levels of a schema that is read; the strict one may have `STRICT_LEVELS`."""
FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
UNSAID_FORMATS = {"path", "file-path", "directory-path", "binary", "json-string"}
"""Formats whose names help no model."""
KEYWORDS = {
    "string": ("pattern", "format"),
    "integer": ("multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
    "number": ("multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
    "array": ("minItems", "maxItems"),
    "boolean": (),
    "null": (),
    "object": (),
}
"""Constraints that strict mode knows, by type."""
LOOKAROUND = re.compile(r"\(\?[=!<]|\\[1-9]")
"""Lookaround and backreferences, which its patterns do not have."""
PROPERTIES, STRICT_LEVELS, CHOICES, CHARACTERS = 5000, 10, 1000, 120_000
"""The most that strict mode takes; characters are those of names and choices together."""
LARGE_ENUM, LARGE_ENUM_CHARACTERS = 250, 15_000
"""An enum with more choices than this may have so many characters."""


def strict_form(schema: Mapping[str, Any]) -> tuple[Schema | None, str]:
    """Return the strict schema and nothing, or None and the reason why there is none."""
    try:
        strict = _Strict(schema).root()
        _check_limits(strict)
    except LooseError as error:
        return None, str(error)
    return strict, ""


class LooseError(Exception):
    """Strict mode has no words for it."""


class _Strict:
    """The strict form of one schema, built from the root down; definitions when something points to them."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self._definitions = {**schema.get("definitions", {}), **schema.get("$defs", {})}
        self._references: list[str] = []
        self._nodes = 0

    def root(self) -> Schema:
        root = {key: value for key, value in self._root.items() if key not in {"$defs", "definitions"}}
        while isinstance(root.get("$ref"), str) and self._nodes < LEVELS:
            self._nodes += 1
            root = {**self._target(root["$ref"], ""), **{k: v for k, v in root.items() if k != "$ref"}}
        strict = self._node({"type": "object", **root}, "", 0)
        if strict.get("type") != "object":
            raise LooseError("the arguments are one of several objects")
        definitions: Schema = {}
        while self._references:
            name = self._references.pop(0)
            if name not in definitions:
                definitions[name] = self._node(self._definitions[name], name, 0)
        return {**strict, "$defs": definitions} if definitions else strict

    def _node(self, schema: Any, place: str, level: int) -> Schema:
        self._nodes += 1
        if self._nodes > NODES or level > LEVELS:
            raise LooseError(f"{place or 'the schema'} is too large for strict mode")
        if not isinstance(schema, Mapping):
            raise LooseError(f"{place} may be anything")
        if "$ref" in schema:
            return self._reference(schema, place, level)
        if "allOf" in schema:
            if len(schema["allOf"]) != 1 or not isinstance(schema["allOf"][0], Mapping):
                raise LooseError(f"{place or 'the schema'} combines several schemas (allOf)")
            return self._node({**schema["allOf"][0], **_without(schema, "allOf")}, place, level + 1)
        kind = schema.get("type") or _implied_type(schema)
        members = schema.get("anyOf") or schema.get("oneOf")
        if members and not kind:
            union = _flat([self._node(member, place, level + 1) for member in members])
            return _described({"anyOf": union}, schema)
        if isinstance(kind, list) and {"object", "array"} & set(kind):
            bare = _without(schema, "description")
            union = [{**bare, "type": name} for name in kind]
            return self._node(_described({"anyOf": union}, schema), place, level + 1)
        if kind == "object":
            return self._object(schema, place, level)
        if kind == "array":
            return self._array(schema, place, level)
        if not kind or not set(_types({"type": kind})) <= set(KEYWORDS):
            raise LooseError(f"{place} may be anything")
        values = {key: schema[key] for key in ("enum", "const") if key in schema}
        return _described({"type": kind, **values}, schema)

    def _reference(self, schema: Mapping[str, Any], place: str, level: int) -> Schema:
        reference = schema["$ref"]
        if reference == "#":
            strict = {"$ref": "#"}
        else:
            target = self._target(reference, place)
            name = reference.rpartition("/")[2]
            beside = _without(schema, "$ref", "default")
            if beside and not self._is_recursive(name):
                return self._node({**target, **beside}, place, level + 1)
            self._references.append(name)
            strict = {"$ref": f"#/$defs/{name}"}
        return _described({"anyOf": [strict]}, schema) if schema.get("description") else strict

    def _target(self, reference: object, place: str) -> Mapping[str, Any]:
        folder, _, name = reference.rpartition("/") if isinstance(reference, str) else ("", "", "")
        target = self._definitions.get(name) if folder in {"#/$defs", "#/definitions"} else None
        if not isinstance(target, Mapping):
            text = plain(str(reference), 60)
            raise LooseError(f"{place or 'the schema'} points to {text}, which strict mode does not know")
        return target

    def _is_recursive(self, name: str) -> bool:
        """Decide whether a definition comes back to itself."""
        waiting, reachable = [name], set[str]()
        while waiting:
            new = _references(self._definitions.get(waiting.pop())) - reachable
            reachable |= new
            waiting += new
        return name in reachable

    def _object(self, schema: Mapping[str, Any], place: str, level: int) -> Schema:
        properties, required = schema.get("properties", {}), schema.get("required", ())
        open_by_default = not properties and (bool(place) or "properties" not in schema)
        if schema.get("additionalProperties", open_by_default) is not False or "patternProperties" in schema:
            raise LooseError(f"{place or 'the tool'} takes {'other' if properties else 'any'} names")
        if undescribed := set(required) - set(properties):
            raise LooseError(f"{place or 'the tool'} requires {min(undescribed)} without a schema for it")
        strict = {}
        for name, inner in properties.items():
            strict[name] = self._node(inner, f"{place}.{name}".lstrip("."), level + 1)
            if name not in required:
                strict[name] = _or_null(strict[name], inner.get("default", ABSENT))
        return _described(
            {"type": "object", "properties": strict, "required": [*strict], "additionalProperties": False},
            schema,
        )

    def _array(self, schema: Mapping[str, Any], place: str, level: int) -> Schema:
        items, first = schema.get("items"), schema.get("prefixItems")
        if isinstance(items, list):  # a tuple, as it was said before 2020
            items, first = schema.get("additionalItems"), items
        kinds = [*(first or ()), *([items] if isinstance(items, Mapping) else ())]
        if not kinds:
            raise LooseError(f"{place} is a list of anything")
        members = _flat([self._node(kind, f"{place}[]", level + 1) for kind in kinds])
        return _described(
            {"type": "array", "items": members[0] if len(members) == 1 else {"anyOf": members}}, schema
        )


def _described(strict: Schema, schema: Mapping[str, Any]) -> Schema:
    """Return it with the constraints that strict mode knows, and the others in words."""
    for kind in _types(strict):
        strict |= {keyword: schema[keyword] for keyword in KEYWORDS[kind] if keyword in schema}
    words = []
    form = strict.get("format")
    if not isinstance(form, str) or form not in FORMATS:
        strict.pop("format", None)
        words += [f"Format: {form}."] if isinstance(form, str) and form not in UNSAID_FORMATS else []
    if LOOKAROUND.search(str(strict.get("pattern", ""))):
        words.append(f"It matches the pattern {strict.pop('pattern')}")
    if shortest := schema.get("minLength"):
        words.append("It is not empty." if shortest == 1 else f"At least {shortest} characters.")
    if "maxLength" in schema:
        words.append(f"At most {schema['maxLength']} characters.")
    if "prefixItems" in schema and len(strict.get("items", {}).get("anyOf", ())) > 1:
        kinds = (
            str(item.get("description") or item.get("type") or "the other") for item in schema["prefixItems"]
        )
        words.append(f"In this order: {', '.join(kinds)}.")
    return _with_words(strict, str(schema.get("description", "")), *words)


def _with_words(strict: Schema, *words: str) -> Schema:
    sentences = [word.strip() for word in words if word.strip()]
    for index, sentence in enumerate(sentences[:-1]):
        sentences[index] += "" if sentence.endswith((".", "!", "?", ":")) else "."
    return {**strict, "description": " ".join(sentences)} if sentences else strict


def _or_null(strict: Schema, default: object) -> Schema:
    """Return what may be left out as strict mode has it: it may be null."""
    bare = _without(strict, "description")
    members = bare["anyOf"] if set(bare) == {"anyOf"} else [bare]
    if any("null" in _types(member) for member in members):
        return strict
    if default is ABSENT or default is None:
        words = "" if default is None else "Null leaves it out."
    else:
        words = f"Null means {json.dumps(default, ensure_ascii=False)}."
    return _with_words({"anyOf": [*members, {"type": "null"}]}, strict.get("description", ""), words)


def _without(schema: Mapping[str, Any], *keywords: str) -> Schema:
    return {key: value for key, value in schema.items() if key not in keywords}


def _types(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type", [])
    return [kind] if isinstance(kind, str) else list(kind)


def _flat(members: list[Schema]) -> list[Schema]:
    """Return the members of a union without repetition, and with those of unions within it."""
    unique: list[Schema] = []
    for member in members:
        choices = member["anyOf"] if set(member) == {"anyOf"} else [member]
        unique += [choice for choice in choices if choice not in unique]
    return unique


def _implied_type(schema: Mapping[str, Any]) -> str | list[str]:
    """Return the type that a schema means without saying so; empty if it means none."""
    if "properties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else []
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    kinds = list(dict.fromkeys(names.get(type(value), "") for value in values))
    return "" if "" in kinds else kinds[0] if len(kinds) == 1 else kinds


def _references(schema: Any) -> set[str]:
    """Return the names of the definitions that a schema points to."""
    if isinstance(schema, list):
        return set[str]().union(*map(_references, schema))
    if not isinstance(schema, Mapping):
        return set()
    reference = schema.get("$ref")
    own = {reference.rpartition("/")[2]} if isinstance(reference, str) else set[str]()
    return own.union(*map(_references, schema.values()))


# --- limits ----------------------------------------------------------------------------------------------------------


def _check_limits(schema: Schema) -> None:
    """Raise `LooseError` for a strict schema that is larger than strict mode takes."""
    properties = choices = characters = 0
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        names = [*node.get("properties", ()), *node.get("$defs", ())]
        values = [*node.get("enum", ()), *([node["const"]] if "const" in node else ())]
        length = sum(len(value) for value in values if isinstance(value, str))
        if len(values) > LARGE_ENUM and length > LARGE_ENUM_CHARACTERS:
            _check_most(f"characters in {len(values)} choices", length, LARGE_ENUM_CHARACTERS)
        properties += len(node.get("properties", ()))
        choices += len(node.get("enum", ()))
        characters += length + sum(map(len, names))
        waiting += [*_children(node), *node.get("$defs", {}).values()]
    _check_most("properties", properties, PROPERTIES)
    _check_most("choices", choices, CHOICES)
    _check_most("characters in names and choices", characters, CHARACTERS)
    _check_most("levels", _levels(schema, schema.get("$defs", {}), {}), STRICT_LEVELS)


def _check_most(unit: str, count: int, most: int) -> None:
    if count > most:
        raise LooseError(f"the schema: has {count:,} {unit}, more than {most:,}")


def _children(node: Schema) -> list[Schema]:
    items = [node["items"]] if "items" in node else []
    return [*node.get("properties", {}).values(), *items, *node.get("anyOf", ())]


def _levels(node: Schema, definitions: Schema, memo: dict[str, int]) -> int:
    """Count the levels of objects and lists; a definition that comes back to itself counts once."""
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/$defs/")
        if name not in memo and name in definitions:
            memo[name] = 0  # while it is looked at
            memo[name] = _levels(definitions[name], definitions, memo)
        return memo.get(name, 0)
    below = max((_levels(inner, definitions, memo) for inner in _children(node)), default=0)
    return below + ("properties" in node or "items" in node)
