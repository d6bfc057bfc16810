"""Schemas as MCP servers list them, and what becomes of them."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mcp_types import CallToolResult, ListToolsResult

from tests.tools.strict_rules import strict_problems
from workbench.model.errors import UsageError
from workbench.tools.context import ToolError
from workbench.tools.mcp.content import text_of
from workbench.tools.mcp.repair import object_schema, repair_result
from workbench.tools.parameters import parameters_from

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
        (of(at={"type": "array", "items": [TEXT, None]}),
         of(at={"type": "array", "prefixItems": [TEXT], "items": TEXT})),
        (of(a={"properties": {"b": None, "c": TEXT}}), of(a={"type": "object", "properties": {"c": TEXT}})),
        ({**of(a={"$ref": "#/definitions/A%20B"}), "definitions": {"A B": TEXT}},
         {**of(a={"$ref": "#/$defs/A_B"}), "$defs": {"A_B": TEXT}}),
        ({**of(a={"$ref": "#/properties/b/items"}, b={"type": "array", "items": TEXT})},
         {**of(a={"$ref": "#/$defs/items"}, b={"type": "array", "items": TEXT}), "$defs": {"items": TEXT}}),
        (of(a={"$ref": "http://x/y.json", "description": "It"}), of(a={"description": "It"})),
        (of(a={"$ref": "#/nowhere"}, b={"$ref": "#"}), of(a={}, b={"$ref": "#"})),
        (of(a="string", b=True, c=False, d=7), of(a=TEXT, b={}, d={})),
        (of(a={"type": "STRING"}, b={"type": "float"}, c={"type": "any"}, d={"type": ["str", "None", "?"]}),
         of(a=TEXT, b={"type": "number"}, c={}, d={"type": ["string", "null"]})),
        (of(a={"type": "string", "nullable": True}), of(a={"type": ["string", "null"]})),
        (of(a={"type": "string", "enum": ["x", 1, None, "x"]}),
         of(a={"type": ["string", "integer", "null"], "enum": ["x", 1, None]})),
        (of(a={"type": "string", "enum": [], "description": 5, "minLength": "3", "pattern": "("}),
         of(a={"type": "string", "minLength": 3})),
        (of(a={"type": "string", "maxLength": 5.0, "minLength": -1, "format": None, "title": []}),
         of(a={"type": "string", "maxLength": 5})),
        (of(a={"type": ["array", "null"]}, b={"items": TEXT}),
         of(a={"type": ["array", "null"], "items": {}}, b={"type": "array", "items": TEXT})),
        (of(a={"type": "object", "properties": [], "required": "x"}), of(a={"type": "object"})),
        (of(a={"type": "object", "additionalProperties": "no"}), of(a={"type": "object"})),
        ({"type": "object", "properties": {"$ref": TEXT, "type": TEXT}}, of(**{"$ref": TEXT, "type": TEXT})),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "id": "x", **of(a=TEXT)}, of(a=TEXT)),
        ({**of(a=TEXT, b=TEXT), "anyOf": [{"required": ["a"]}, {"required": ["b"]}], "not": {}}, of(a=TEXT, b=TEXT)),
        ({"oneOf": [of(a=TEXT), {"anyOf": [of(b=TEXT), of(c=TEXT)]}, {"type": "string"}, True]},
         of(a=TEXT, b=TEXT, c=TEXT)),
        (True, {"type": "object"}),
        ([], {"type": "object"}),
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
    repair_result(result, notices.append)
    assert result["tools"] == [
        {"name": "good", "inputSchema": of(a=TEXT)},
        {"name": "odd", "inputSchema": {"type": "object"}},
    ]
    assert notices == ["lists something that is no tool"] * 2


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
    repair_result(result, lambda reason: None)
    assert result["tools"][-1]["name"] == "good"


KEYWORDS = [
    *[
        "type",
        "properties",
        "items",
        "required",
        "anyOf",
        "oneOf",
        "allOf",
        "not",
        "enum",
        "const",
        "default",
        "$ref",
        "$defs",
    ],
    *[
        "definitions",
        "minimum",
        "exclusiveMinimum",
        "minLength",
        "pattern",
        "format",
        "description",
        "prefixItems",
        "nullable",
    ],
    *["additionalProperties", "patternProperties", "if", "$id", "$schema", "a", "b"],
]
SCALARS = st.sampled_from(
    [None, True, False, 0, -1, 2.0, 1.5, math.inf, "", "string", "object", "array", "any", "#", "#/$defs/a",
     "#/properties/a%62", "#/definitions/b/items", "(", "\ud800", "x"]
)  # fmt: skip
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=5),
    max_leaves=25,
)


def api_problems(schema: Any) -> list[str]:
    """What OpenAI's API has against the parameters of a function, as its messages of error say."""
    problems = []
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return ["the root is no object"]
    problems += [
        f"{keyword} at the top level"
        for keyword in ("anyOf", "oneOf", "allOf", "enum", "not")
        if keyword in schema
    ]
    json.dumps(schema, allow_nan=False, ensure_ascii=False).encode()
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        problems.append(error.message)
    waiting: list[Any] = [schema]
    while waiting and not problems:
        node = waiting.pop()
        if isinstance(node, bool):
            continue
        if (
            "array" in ([node["type"]] if isinstance(node.get("type"), str) else node.get("type", []))
            and "items" not in node
        ):
            problems.append("array schema missing items")
        if (
            "$ref" in node
            and node["$ref"] != "#"
            and node["$ref"].removeprefix("#/$defs/") not in schema["$defs"]
        ):
            problems.append(f"reference {node['$ref']}")
        for keyword in ("properties", "patternProperties", "$defs", "dependentSchemas"):
            waiting += node.get(keyword, {}).values()
        for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
            waiting += node.get(keyword, [])
        waiting += [
            node[key] for key in ("items", "additionalProperties", "not", "if", "then", "else") if key in node
        ]
    return problems


@pytest.mark.parametrize(
    "schema",
    [
        of(a={"type": "array"}),
        {"type": "object", "anyOf": []},
        {},
        of(a={"type": "any"}),
        of(a={"$ref": "#/$defs/x"}),
    ],
)
def test_the_oracle_knows_what_is_refused(schema: dict[str, Any]) -> None:
    with contextlib.suppress(KeyError):
        assert api_problems(schema)


@settings(max_examples=1_500, deadline=None)
@example({"items": {"type": None, "anyOf": [], "items": [True]}})
@given(JSON)
def test_whatever_a_server_lists_is_accepted_or_left_out(listed: Any) -> None:
    repaired = object_schema(listed)
    assert repaired["type"] != "object" or object_schema(repaired) == repaired
    try:
        parameters = parameters_from(repaired)
    except UsageError:  # it is left out, with that reason
        return
    assert api_problems(parameters.schema) == []
    if parameters.strict_schema is not None:
        assert strict_problems(parameters.strict_schema) == []


@given(
    st.dictionaries(
        st.sampled_from(["name", "inputSchema", "description", "annotations", "title", "_meta", "x"]), JSON
    )
)
def test_no_entry_costs_the_listing(entry: dict[str, Any]) -> None:
    result: dict[str, Any] = {"tools": [entry, {"name": "good"}], "nextCursor": entry.get("x")}
    repair_result(result, lambda reason: None)
    assert [tool.name for tool in ListToolsResult.model_validate(result).tools][-1] == "good"


@pytest.mark.parametrize("tools", [None, {}, "x", 5])
def test_a_listing_of_nothing_has_no_tools(tools: Any) -> None:
    result = {"tools": tools, "nextCursor": None}
    repair_result(result, lambda reason: None)
    assert ListToolsResult.model_validate(result).tools == []


@given(JSON, JSON, JSON)
def test_an_answer_of_any_shape_is_text(content: Any, structured: Any, is_error: Any) -> None:
    result = {"content": content, "structuredContent": structured, "isError": is_error}
    repair_result(result, lambda reason: None)
    with contextlib.suppress(ToolError):
        assert isinstance(text_of(CallToolResult.model_validate(result)), str)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("sunny", "sunny"),
        ({"type": "text", "text": "sunny"}, "sunny"),
        (["sunny", {"type": "video", "url": "x"}], 'sunny\n{"type": "video", "url": "x"}'),
        ([{"type": "text", "text": None}], '{"type": "text", "text": null}'),
        (None, "done"),
    ],
)
def test_blocks_that_nobody_knows_are_their_json(content: Any, text: str) -> None:
    result = {"content": content}
    repair_result(result, lambda reason: None)
    assert text_of(CallToolResult.model_validate(result)) == text


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
