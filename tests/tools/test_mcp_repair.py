"""Schemas as MCP servers list them, and what becomes of them."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.tools.mcp.repair import object_schema, repair_listing

TEXT = {"type": "string"}


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("listed", "repaired"),
    [
        (None, {"type": "object"}),
        ({}, {"type": "object"}),
        ({"type": ["object"], "properties": {}}, of()),
        ({"type": "object", "properties": None, "required": None}, {"type": "object"}),
        (of(q={"type": "string", "description": None, "enum": None}), of(q=TEXT)),
        (of(q={"type": "string", "default": None}), of(q={"type": "string", "default": None})),
        (of(q={"type": "string", "required": False}), of(q=TEXT)),
        (of(q={"type": "string", "required": True}), {**of(q=TEXT), "required": ["q"]}),
        (
            of(n={"type": "integer", "minimum": 0, "exclusiveMinimum": True}),
            of(n={"type": "integer", "exclusiveMinimum": 0}),
        ),
        (of(n={"type": "integer", "maximum": 9, "exclusiveMaximum": False}), of(n={"type": "integer", "maximum": 9})),
        (of(tags={"type": "array"}), of(tags={"type": "array", "items": {}})),
        (of(at={"type": "array", "items": [TEXT, None]}), of(at={"type": "array", "prefixItems": [TEXT]})),
        (of(a={"properties": {"b": None, "c": TEXT}}), of(a={"type": "object", "properties": {"c": TEXT}})),
        (of(a={"$ref": "#/definitions/A%20B"}), of(a={"$ref": "#/definitions/A B"})),
        (
            {"anyOf": [{**of(a=TEXT, b=TEXT), "required": ["a", "b"]}, {**of(a=TEXT), "required": ["a"]}]},
            {**of(a=TEXT, b=TEXT), "required": ["a"]},
        ),
        (
            {"oneOf": [of(a=TEXT), of(a={"type": "integer"})]},
            of(a={"anyOf": [TEXT, {"type": "integer"}]}),
        ),
        ({"allOf": [{**of(a=TEXT), "required": ["a"]}, of(b=TEXT)]}, {**of(a=TEXT, b=TEXT), "required": ["a"]}),
    ],
)  # fmt: skip
def test_what_is_plain_is_put_right(listed: Any, repaired: dict[str, Any]) -> None:
    assert object_schema(listed) == repaired
    assert object_schema(repaired) == repaired


def test_a_reference_at_the_root_is_followed() -> None:
    definitions = {"Args": {**of(a=TEXT), "required": ["a"]}}
    repaired = object_schema({"$ref": "#/$defs/Args", "$defs": definitions})
    assert (repaired["type"], repaired["properties"], repaired["required"]) == ("object", {"a": TEXT}, ["a"])


def test_one_odd_entry_costs_no_other() -> None:
    notices: list[str] = []
    result: dict[str, Any] = {
        "tools": [
            5,
            {"description": "no name"},
            {"name": "good", "inputSchema": of(a=TEXT)},
            {"name": "odd", "title": 3, "description": None, "annotations": "x", "outputSchema": 7},
        ]
    }
    repair_listing(result, notices.append)
    assert result["tools"] == [
        {"name": "good", "inputSchema": of(a=TEXT)},
        {"name": "odd", "inputSchema": {"type": "object"}},
    ]
    assert notices == ["lists something that is no tool"] * 2


KEYWORDS = "type properties items required anyOf allOf enum $ref minimum exclusiveMinimum a".split()  # noqa: SIM905


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{}], "properties": [1]},
        {"anyOf": [{"properties": [1]}]},
        {"properties": {"a": {"anyOf": 5}}, "anyOf": [{"properties": {"a": {}}}]},
        {"properties": {"a": {"required": True}}, "required": [{}]},
        {"properties": {"a": {"type": "array", "items": []}}},
    ],
)
def test_no_schema_costs_the_other_tools(schema: Any) -> None:
    result: dict[str, Any] = {
        "tools": [{"name": "odd", "inputSchema": schema}, {"name": "good", "inputSchema": of(a=TEXT)}]
    }
    repair_listing(result, lambda reason: None)
    assert result["tools"][-1]["name"] == "good"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(KEYWORDS),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_whatever_a_server_lists_a_repaired_schema_stays_as_it_is(listed: Any) -> None:
    repaired = object_schema(listed)
    assert isinstance(repaired, dict)
    assert object_schema(repaired) == repaired


VALUES = st.dictionaries(st.sampled_from("ab"), st.integers(-3, 3) | st.sampled_from(["x", "yy"]), max_size=2)
SCHEMAS = st.fixed_dictionaries(
    {"type": st.just("object")},
    optional={
        "properties": st.dictionaries(
            st.sampled_from("ab"), st.sampled_from([TEXT, {"type": "integer", "minimum": 0}, {}]), max_size=2
        ),
        "required": st.lists(st.sampled_from("ab"), max_size=2, unique=True),
        "additionalProperties": st.booleans(),
    },
)


@given(SCHEMAS, VALUES)
def test_a_valid_schema_accepts_what_it_did_before(schema: dict[str, Any], value: dict[str, Any]) -> None:
    def accepts(candidate: dict[str, Any]) -> bool:
        return bool(jsonschema.Draft202012Validator(candidate).is_valid(value))

    assert accepts(object_schema(schema)) == accepts(schema)
