"""JSON schemas as OpenAI's strict mode wants them: all objects closed, everything required, and only some keywords.

What strict mode cannot check (a shortest text, a pattern with lookahead) goes into the description; arguments are
checked in full when they come back. What it cannot say at all (any names, any value) makes a schema loose.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.model.text import plain
from workbench.tools.rules import FORMATS, KEPT, LOOKS, strict_problems

__all__ = ["strict_problems", "strictly"]

ABSENT = object()
NODES = 20_000
"""Schemas within a schema; a reference with a description is written out, so that a small one may become large."""
LEVELS = 64
UNSAID_FORMATS = {"path", "file-path", "directory-path", "binary", "json-string"}
"""What tells a model nothing."""


def strictly(schema: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The strict schema and nothing, or None and the reason."""
    try:
        made = _Strict(schema).made()
    except LooseError as error:
        return None, str(error)
    problems = strict_problems(made)
    return (None, problems[0]) if problems else (made, "")


class LooseError(Exception):
    """Strict mode has no words for it."""


class _Strict:
    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self._known = {**schema.get("definitions", {}), **schema.get("$defs", {})}
        self._wanted: list[str] = []
        self._nodes = 0

    def made(self) -> dict[str, Any]:
        root = {key: value for key, value in self._root.items() if key not in {"$defs", "definitions"}}
        while isinstance(root.get("$ref"), str) and self._nodes < LEVELS:
            self._nodes += 1
            root = {**self._target(root["$ref"], ""), **{k: v for k, v in root.items() if k != "$ref"}}
        made = self._node({"type": "object", **root}, "", 0)
        if made.get("type") != "object":
            raise LooseError("the arguments are one of several objects")
        defs: dict[str, Any] = {}
        while self._wanted:
            name = self._wanted.pop(0)
            if name not in defs:
                defs[name] = self._node(self._known[name], name, 0)
        return {**made, "$defs": defs} if defs else made

    def _node(self, schema: Any, place: str, level: int) -> dict[str, Any]:
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
            outer = {key: value for key, value in schema.items() if key != "allOf"}
            return self._node({**schema["allOf"][0], **outer}, place, level + 1)
        kind = schema.get("type") or _implied(schema)
        several = schema.get("anyOf") or schema.get("oneOf")
        if several and not kind:
            members = [self._node(member, place, level + 1) for member in several]
            return _described({"anyOf": _unnested(members)}, schema)
        if isinstance(kind, list) and {"object", "array"} & set(kind):
            inner = {key: value for key, value in schema.items() if key != "description"}
            return self._node(
                _described({"anyOf": [{**inner, "type": one} for one in kind]}, schema), place, level + 1
            )
        if kind == "object":
            return self._object(schema, place, level)
        if kind == "array":
            return self._array(schema, place, level)
        if not kind:
            raise LooseError(f"{place} may be anything")
        return _described(
            {"type": kind, **{key: schema[key] for key in ("enum", "const") if key in schema}}, schema
        )

    def _reference(self, schema: Mapping[str, Any], place: str, level: int) -> dict[str, Any]:
        ref = schema["$ref"]
        if ref == "#":
            made = {"$ref": "#"}
        else:
            target = self._target(ref, place)
            name = ref.rpartition("/")[2]
            beside = {key: value for key, value in schema.items() if key not in {"$ref", "default"}}
            if beside and not self._recursive(name):
                return self._node({**target, **beside}, place, level + 1)
            self._wanted.append(name)
            made = {"$ref": f"#/$defs/{name}"}
        return _described({"anyOf": [made]}, schema) if schema.get("description") else made

    def _target(self, ref: object, place: str) -> Mapping[str, Any]:
        folder, _, name = ref.rpartition("/") if isinstance(ref, str) else ("", "", "")
        target = self._known.get(name) if folder in {"#/$defs", "#/definitions"} else None
        if not isinstance(target, Mapping):
            raise LooseError(
                f"{place or 'the schema'} points to {plain(str(ref), 60)}, which strict mode does not know"
            )
        return target

    def _recursive(self, name: str) -> bool:
        """Whether a definition comes back to itself."""
        waiting, seen = [name], set[str]()
        while waiting:
            for inner in _references(self._known.get(waiting.pop())):
                if inner == name:
                    return True
                if inner not in seen:
                    seen.add(inner)
                    waiting.append(inner)
        return False

    def _object(self, schema: Mapping[str, Any], place: str, level: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        others = schema.get(
            "additionalProperties", not properties and not ("properties" in schema and not place)
        )
        if others is not False or "patternProperties" in schema:
            raise LooseError(f"{place or 'the tool'} takes {'other' if properties else 'any'} names")
        required = schema.get("required", ())
        if unknown := set(required) - set(properties):
            raise LooseError(f"{place or 'the tool'} requires {sorted(unknown)[0]} without a schema for it")
        made = {}
        for name, inner in properties.items():
            made[name] = self._node(inner, f"{place}.{name}".lstrip("."), level + 1)
            if name not in required:
                made[name] = _or_null(made[name], inner.get("default", ABSENT))
        found = {"type": "object", "properties": made, "required": list(made), "additionalProperties": False}
        return _described(found, schema)

    def _array(self, schema: Mapping[str, Any], place: str, level: int) -> dict[str, Any]:
        items, first = schema.get("items"), schema.get("prefixItems")
        if isinstance(items, list):  # a tuple, as it was said before 2020
            items, first = schema.get("additionalItems"), items
        kinds = [*(first or ()), *([items] if isinstance(items, Mapping) else ())]
        if not kinds:
            raise LooseError(f"{place} is a list of anything")
        members = _unnested([self._node(kind, f"{place}[]", level + 1) for kind in kinds])
        made = {"type": "array", "items": members[0] if len(members) == 1 else {"anyOf": members}}
        return _described(made, schema)


def _described(made: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """With the keywords that strict mode knows, and the others in words."""
    kind = made.get("type")
    for keyword, kinds in KEPT.items():
        if keyword in schema and kinds & ({kind} if isinstance(kind, str) else set(kind or ())):
            made[keyword] = schema[keyword]
    words = []
    if (
        made.get("format") not in FORMATS
        and (form := made.pop("format", None))
        and form not in UNSAID_FORMATS
    ):
        words.append(f"Format: {form}.")
    if LOOKS.search(str(made.get("pattern", ""))):
        words.append(f"It matches the pattern {made.pop('pattern')}")
    if schema.get("minLength") == 1:
        words.append("It is not empty.")
    elif schema.get("minLength"):
        words.append(f"At least {schema['minLength']} characters.")
    if "maxLength" in schema:
        words.append(f"At most {schema['maxLength']} characters.")
    if "prefixItems" in schema and len(made.get("items", {}).get("anyOf", ())) > 1:
        words.append(f"In this order: {', '.join(map(_kind, schema['prefixItems']))}.")
    return _with_words(made, str(schema.get("description", "")), *words)


def _with_words(made: dict[str, Any], *words: str) -> dict[str, Any]:
    said = [word.strip() for word in words if word.strip()]
    text = " ".join(word if word.endswith((".", "!", "?", ":")) else f"{word}." for word in said[:-1])
    text = f"{text} {said[-1]}".strip() if said else ""
    return {**made, "description": text} if text else made


def _kind(schema: Mapping[str, Any]) -> str:
    return str(schema.get("description") or schema.get("type") or "the other")


def _or_null(made: dict[str, Any], default: object) -> dict[str, Any]:
    """What may be left out, as strict mode has it: null."""
    inner = dict(made)
    text = inner.pop("description", "")
    members = inner["anyOf"] if set(inner) == {"anyOf"} else [inner]
    if any("null" in _types(member) for member in members):
        return made
    if default is ABSENT or default is None:
        words = "" if default is None else "Null leaves it out."
    else:
        words = f"Null means {json.dumps(default, ensure_ascii=False)}."
    return _with_words({"anyOf": [*members, {"type": "null"}]}, text, words)


def _types(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type", [])
    return [kind] if isinstance(kind, str) else list(kind)


def _unnested(members: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each once, and none that is only a choice of others."""
    found: list[dict[str, Any]] = []
    for member in members:
        for one in member["anyOf"] if set(member) == {"anyOf"} else [member]:
            if one not in found:
                found.append(one)
    return found


def _implied(schema: Mapping[str, Any]) -> str | list[str]:
    """The type that a schema means without saying so; empty if it means none."""
    if "properties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else []
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    kinds = list(dict.fromkeys(names.get(type(value), "") for value in values))
    if "" in kinds:
        return ""
    return kinds[0] if len(kinds) == 1 else kinds


def _references(schema: Any) -> Iterator[str]:
    """The names of the definitions that a schema speaks of."""
    waiting = [schema]
    while waiting:
        here = waiting.pop()
        if isinstance(here, Mapping):
            if isinstance(here.get("$ref"), str):
                yield here["$ref"].rpartition("/")[2]
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)
