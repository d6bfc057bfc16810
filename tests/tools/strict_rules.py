"""The rules of OpenAI's strict mode, from its documentation of structured outputs (supported schemas), as a check.

It is written apart from what makes strict schemas, so that a mistake in one is not a mistake in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
NUMBERS = {"integer", "number"}
KEPT = {
    "pattern": {"string"},
    "format": {"string"},
    "multipleOf": NUMBERS,
    "maximum": NUMBERS,
    "exclusiveMaximum": NUMBERS,
    "minimum": NUMBERS,
    "exclusiveMinimum": NUMBERS,
    "minItems": {"array"},
    "maxItems": {"array"},
}
"""Constraints that are known, with the types that they are about."""
STRUCTURE = {"object": {"properties", "required", "additionalProperties"}, "array": {"items"}}
ANYWHERE = {"type", "enum", "const", "description"}
TYPES = {"string", "number", "integer", "boolean", "null", "object", "array"}
LOOKS = re.compile(r"\(\?[=!<]|\\[1-9]")
"""Lookaround and backreferences, which its patterns do not have."""
MOST_PROPERTIES = 5000
MOST_LEVELS = 10
MOST_CHOICES = 1000
MOST_CHARACTERS = 120_000
"""Of the names of properties and definitions, and the values of enums and consts, together."""
LARGE_ENUM, LARGE_ENUM_CHARACTERS = 250, 15_000
"""An enum with more choices than this may have so many characters."""


def strict_problems(schema: Mapping[str, Any]) -> list[str]:
    """Why strict mode would refuse a schema; nothing if it would not."""
    check = _Check(schema)
    check.root()
    return check.problems


class _Check:
    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.problems: list[str] = []
        self._schema = schema
        self._defs: Mapping[str, Any] = schema.get("$defs", {})
        self._levels: dict[str, int] = {}
        self._properties = self._choices = self._characters = 0

    def root(self) -> None:
        if self._schema.get("type") != "object":
            self._wrong("the root", "must be an object")
        for name, inner in self._defs.items():
            self._characters += len(name)
            self._node(inner, name)
        self._node({key: value for key, value in self._schema.items() if key != "$defs"}, "the root")
        self._most("properties", self._properties, MOST_PROPERTIES)
        self._most("choices", self._choices, MOST_CHOICES)
        self._most("characters in names and choices", self._characters, MOST_CHARACTERS)
        self._most("levels", self._deep(self._schema, ()), MOST_LEVELS)

    def _wrong(self, place: str, what: str) -> None:
        self.problems.append(f"{place}: {what}")

    def _most(self, what: str, count: int, most: int) -> None:
        if count > most:
            self._wrong("the schema", f"has {count:,} {what}, more than {most:,}")

    def _node(self, schema: Any, place: str) -> None:
        if not isinstance(schema, Mapping):
            return self._wrong(place, "must be an object with a type")
        if "$ref" in schema:
            known = schema["$ref"] == "#" or str(schema["$ref"]).removeprefix("#/$defs/") in self._defs
            if not known:
                self._wrong(place, f"points to {schema['$ref']}, which is not there")
            if len(schema) > 1:
                self._wrong(place, "has keywords beside $ref")
            return None
        if "anyOf" in schema:
            self._keywords(schema, {"anyOf", "description"}, place)
            if not schema["anyOf"]:
                self._wrong(place, "has an empty anyOf")
            for inner in schema["anyOf"]:
                self._node(inner, place)
            return None
        return self._typed(schema, place)

    def _typed(self, schema: Mapping[str, Any], place: str) -> None:
        given = schema.get("type")
        kinds = {given} if isinstance(given, str) else set(given or ())
        if not kinds or not kinds <= TYPES:
            return self._wrong(place, "has no type")
        allowed = ANYWHERE | {keyword for keyword, of in KEPT.items() if of & kinds}
        for kind in kinds & set(STRUCTURE):
            allowed |= STRUCTURE[kind]
        self._keywords(schema, allowed, place)
        if schema.get("format", "date") not in FORMATS:
            self._wrong(place, f"has the unknown format {schema['format']}")
        if LOOKS.search(schema.get("pattern", "")):
            self._wrong(place, "has a pattern with lookaround or backreference")
        self._values(schema, place)
        if "object" in kinds:
            self._object(schema, place)
        if "array" in kinds:
            self._node(schema.get("items"), f"{place}[]")
        return None

    def _keywords(self, schema: Mapping[str, Any], allowed: set[str], place: str) -> None:
        for keyword in sorted(set(schema) - allowed):
            self._wrong(place, f"{keyword} is not permitted")

    def _values(self, schema: Mapping[str, Any], place: str) -> None:
        values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ())]
        length = sum(len(value) for value in values if isinstance(value, str))
        self._choices += len(schema.get("enum", ()))
        self._characters += length
        if len(values) > LARGE_ENUM and length > LARGE_ENUM_CHARACTERS:
            self._wrong(
                place,
                f"has {length:,} characters in {len(values)} choices, more than {LARGE_ENUM_CHARACTERS:,}",
            )

    def _object(self, schema: Mapping[str, Any], place: str) -> None:
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            self._wrong(place, "must have additionalProperties: false")
        if set(schema.get("required", ())) != set(properties):
            self._wrong(place, "must require every property")
        for name, inner in properties.items():
            self._properties += 1
            self._characters += len(name)
            self._node(inner, name if place == "the root" else f"{place}.{name}")

    def _deep(self, schema: Any, within: tuple[str, ...]) -> int:
        """Levels of objects and lists; a definition that comes back to itself counts once."""
        if not isinstance(schema, Mapping):
            return 0
        name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
        if "$ref" in schema:
            if name in within or name not in self._defs:
                return 0
            if name not in self._levels:
                self._levels[name] = self._deep(self._defs[name], (*within, name))
            return self._levels[name]
        inner = [*schema.get("properties", {}).values(), schema.get("items"), *schema.get("anyOf", ())]
        below = max((self._deep(one, within) for one in inner), default=0)
        return below + (0 if "anyOf" in schema else "properties" in schema or "items" in schema)
