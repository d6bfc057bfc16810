"""The rules of strict mode, each broken once; and what is said in words instead."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from tests.tools.strict_rules import strict_problems
from workbench.tools.parameters import parameters_of
from workbench.tools.strict import strict_form

TEXT = {"type": "string"}


def tool(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def levels(count: int) -> dict[str, Any]:
    schema: dict[str, Any] = TEXT
    for _ in range(count):
        schema = tool(a=schema)
    return schema


RECURSIVE = {
    **tool(a={"$ref": "#/$defs/b"}),
    "$defs": {"b": tool(c={"anyOf": [{"$ref": "#/$defs/b"}, {"type": "null"}]})},
}


@pytest.mark.parametrize(
    "schema",
    [
        tool(),
        tool(a=TEXT, b={"type": ["string", "null"], "enum": ["x", None]}, c={"type": "integer", "const": 1}),
        tool(
            a={"type": "string", "format": "date"},
            b={"type": "array", "items": TEXT, "minItems": 1, "maxItems": 2},
        ),
        tool(
            a={"type": "number", "minimum": 0, "exclusiveMaximum": 1, "multipleOf": 0.1},
            b={"type": "string", "pattern": "^a$"},
        ),
        tool(a={"anyOf": [TEXT, {"type": "null"}], "description": "A."}),
        RECURSIVE,
        {**tool(a={"$ref": "#"})},
        levels(10),
    ],
    ids=range(8),
)
def test_the_oracle_accepts_what_openai_documents(schema: dict[str, Any]) -> None:
    assert strict_problems(schema) == []


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (TEXT, "the root: must be an object"),
        ({"anyOf": [tool()]}, "the root: must be an object"),
        ({**tool(a=TEXT), "additionalProperties": True}, "the root: must have additionalProperties: false"),
        ({**tool(a=TEXT), "required": []}, "the root: must require every property"),
        (tool(a={**tool(b=TEXT), "required": []}), "a: must require every property"),
        (tool(a={"type": "object"}), "a: must have additionalProperties: false"),
        (tool(a={}), "a: has no type"),
        (tool(a=True), "a: must be an object with a type"),
        (tool(a={"type": "text"}), "a: has no type"),
        (tool(a={"enum": ["x"]}), "a: has no type"),
        (tool(a={"type": "array"}), "a[]: must be an object with a type"),
        (tool(a={"type": "array", "items": {}}), "a[]: has no type"),
        (tool(a={**TEXT, "default": "x"}), "a: default is not permitted"),
        (tool(a={**TEXT, "minLength": 1}), "a: minLength is not permitted"),
        (tool(a={"type": "array", "items": TEXT, "uniqueItems": True}), "a: uniqueItems is not permitted"),
        (tool(a={"oneOf": [TEXT]}), "a: has no type"),
        (tool(a={"allOf": [TEXT]}), "a: has no type"),
        (tool(a={"anyOf": []}), "a: has an empty anyOf"),
        (tool(a={"anyOf": [TEXT, {}]}), "a: has no type"),
        (tool(a={"anyOf": [TEXT], "type": "string"}), "a: type is not permitted"),
        (tool(a={**TEXT, "format": "uri"}), "a: has the unknown format uri"),
        (tool(a={**TEXT, "pattern": "^(?!x)"}), "a: has a pattern with lookaround or backreference"),
        (tool(a={**TEXT, "minimum": 1}), "a: minimum is not permitted"),
        (tool(a={"$ref": "#/$defs/b"}), "a: points to #/$defs/b, which is not there"),
        (
            {**RECURSIVE, "properties": {"a": {"$ref": "#/$defs/b", "description": "A."}}},
            "a: has keywords beside $ref",
        ),
        (levels(11), "the schema: has 11 levels, more than 10"),
        (tool(**{f"p{n}": TEXT for n in range(5001)}), "the schema: has 5,001 properties, more than 5,000"),
        (
            tool(a={"type": "integer", "enum": list(range(1001))}),
            "the schema: has 1,001 choices, more than 1,000",
        ),
        (
            tool(a={**TEXT, "enum": [f"{n:0100}" for n in range(251)]}),
            "a: has 25,100 characters in 251 choices, more than 15,000",
        ),
        (
            tool(**{"x" * 120_001: TEXT}),
            "the schema: has 120,001 characters in names and choices, more than 120,000",
        ),
    ],
    ids=range(30),
)
def test_the_oracle_checks_each_rule(schema: dict[str, Any], says: str) -> None:
    assert says in strict_problems(schema)


def test_a_tool_beyond_the_limits_is_not_strict_and_says_why() -> None:
    make: Any = enum.Enum
    many = make("Many", [(f"N{number}", f"choice {number}") for number in range(1001)])

    def choose(one: str) -> None: ...

    choose.__annotations__["one"] = many
    parameters = parameters_of(choose)
    assert parameters.strict_schema is None
    assert parameters.loose_because == "the schema: has 1,001 choices, more than 1,000"


def test_a_described_reference_is_inlined_unless_it_is_recursive() -> None:
    plain = {
        "$defs": {"b": tool(c=TEXT)},
        "properties": {"a": {"$ref": "#/$defs/b", "description": "A."}},
        "required": ["a"],
    }
    made, _ = strict_form(plain)
    assert made == tool(a={**tool(c=TEXT), "description": "A."})
    again = {**RECURSIVE, "properties": {"a": {"$ref": "#/$defs/b", "description": "A."}}}
    made, _ = strict_form(again)
    assert made is not None
    assert made["properties"]["a"] == {"anyOf": [{"$ref": "#/$defs/b"}], "description": "A."}


def test_inlining_of_references_is_bounded() -> None:
    """Each speaks of the next twice, with a description: 2⁴⁰ schemas."""
    defs: dict[str, Any] = {
        f"d{n}": {
            **tool(),
            "properties": {side: {"$ref": f"#/$defs/d{n + 1}", "description": side} for side in "ab"},
        }
        for n in range(40)
    }
    made, because = strict_form(
        {"properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": {**defs, "d40": tool(c=TEXT)}}
    )
    assert made is None
    assert "too large" in because
