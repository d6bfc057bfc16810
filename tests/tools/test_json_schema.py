"""Raw JSON schemas: what they take, and what a schema of a stranger cannot do."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.tools.strict_rules import strict_problems
from workbench.model.errors import UsageError
from workbench.tools.arguments import ArgumentsError
from workbench.tools.parameters import parameters_from

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2},
        "days": {"type": "integer", "minimum": 1, "description": "How many."},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "exact": {"type": "boolean", "default": False},
        "stops": {"type": "array", "items": {"$ref": "#/$defs/stop"}},
        "share": {"type": ["number", "null"]},
    },
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"stop": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}
FOREVER = 20.0
"""Seconds that nothing here may take, on a machine with others at work; without bounds, these take hours."""


def refusal(schema: dict[str, Any], arguments: dict[str, Any]) -> str:
    with pytest.raises(ArgumentsError) as raised:
        parameters_from(schema).bind(arguments)
    return str(raised.value)


def test_a_json_schema_is_kept_as_it_was_given() -> None:
    assert parameters_from(WEATHER).schema == WEATHER


def test_the_strict_form_closes_objects_requires_all_and_explains_the_rest() -> None:
    parameters = parameters_from(WEATHER)
    strict = parameters.strict_schema
    assert strict is not None
    assert strict_problems(strict) == []
    assert strict["required"] == list(WEATHER["properties"])
    assert strict["properties"]["city"] == {"type": "string", "description": "At least 2 characters."}
    assert strict["properties"]["exact"]["description"] == "Null means false."
    assert strict["properties"]["days"]["description"] == "How many. Null leaves it out."
    assert strict["properties"]["share"] == {"type": ["number", "null"]}


@pytest.mark.parametrize(
    ("given", "bound"),
    [
        ({"city": "Rome"}, {"city": "Rome"}),
        (
            {"city": "Rome", "days": "3", "exact": "True", "share": "0.5"},
            {"city": "Rome", "days": 3, "exact": True, "share": 0.5},
        ),
        ({"city": "Rome", "days": None, "unit": None, "share": None}, {"city": "Rome", "share": None}),
        (
            {"city": "Rome", "stops": [{"city": "Pisa", "other": 1}]},
            {"city": "Rome", "stops": [{"city": "Pisa", "other": 1}]},
        ),
    ],
)
def test_arguments_that_are_plainly_meant_are_converted(given: dict[str, Any], bound: dict[str, Any]) -> None:
    assert parameters_from(WEATHER).bind(given) == bound


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "city: must be given."),
        ({"city": None}, "city: must be text, not null."),
        ({"city": "R"}, 'city: must be text of at least 2 characters, not "R".'),
        ({"city": "Rome", "days": "many"}, 'days: must be a whole number, not "many".'),
        ({"city": "Rome", "days": 0}, "days: must be at least 1, not 0."),
        (
            {"city": "Rome", "unit": "celsus"},
            'unit: must be one of "celsius", "fahrenheit", not "celsus"; did you mean "celsius"?',
        ),
        ({"city": "Rome", "dais": 1}, "dais: there is no such argument; did you mean days?"),
        (
            {"city": "Rome", "stops": [{}, 3]},
            "stops[0].city: must be given. stops[1]: must be an object, not 3.",
        ),
        ({"city": "Rome", "share": "x"}, 'share: must be a number or null, not "x".'),
    ],
)
def test_wrong_arguments_are_explained_in_sentences(given: dict[str, Any], says: str) -> None:
    assert refusal(WEATHER, given) == says


def test_a_value_of_a_union_is_explained_by_the_member_that_fits_best() -> None:
    card = {"type": "object", "properties": {"card": {"type": "string"}}, "required": ["card"]}
    schema = {"properties": {"by": {"anyOf": [{"type": "integer"}, card]}}}
    assert refusal(schema, {"by": "gold"}) == 'by: must be a whole number or an object, not "gold".'
    assert refusal(schema, {"by": {"card": []}}) == "by.card: must be text, not an empty list."


def answer(schema: dict[str, Any], arguments: dict[str, Any]) -> str:
    """What the model is told; empty if nothing is wrong."""
    parameters = parameters_from(schema)
    _ = parameters.strict_schema
    try:
        parameters.bind(arguments)
    except ArgumentsError as error:
        return str(error)
    return ""


def bomb(levels: int) -> dict[str, Any]:
    """Small, and twice the work on each level."""
    defs: dict[str, Any] = {
        f"a{level}": {"allOf": [{"$ref": f"#/$defs/a{level + 1}"}] * 2} for level in range(levels)
    }
    return {"properties": {"a": {"$ref": "#/$defs/a0"}}, "$defs": {**defs, f"a{levels}": {"type": "string"}}}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ("no schema", "a schema is an object, not str"),
        ({"type": "array"}, 'are an object, not "array"'),
        ({"type": "object", "properties": []}, "at the root, properties must be an object"),
        ({"properties": {"a": {"type": "text"}}}, 'at the root.properties, type cannot be "text"'),
        ({"properties": {"a": {"type": []}}}, "type cannot be"),
        ({"properties": {"a": 3}}, "is int, not a schema"),
        ({"properties": {"a": {"items": {"minItems": -1}}}}, "minItems cannot be -1"),
        ({"properties": {"a": {"anyOf": []}}}, "anyOf cannot be"),
        ({"required": [3]}, "required cannot be"),
        ({"properties": {"a": {"multipleOf": 0}}}, "multipleOf cannot be 0"),
        ({"properties": {"a": {"enum": {1}}}}, "the schema is not JSON"),
        (
            {"properties": {"a": {"$ref": "https://example.com/schema"}}},
            "points to https://example.com/schema, which is not fetched",
        ),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "which is not fetched"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "points to #/\\$defs/b, which is not there"),
        ({"properties": {"a": {"$ref": 3}}}, "points to 3"),
        (
            {"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"$ref": "#/$defs/b"}}},
            "comes back to itself",
        ),
        ({"allOf": [{"$ref": "#"}]}, "comes back to itself"),
        ({"properties": {"a": {"not": {"$ref": "#/properties/a"}}}}, "comes back to itself"),
        (nested(10_000), "nested more than 64 deep"),
        ({"properties": {"a": {"description": "x" * 1_000_001}}}, "1,000,0.. characters"),
    ],
    ids=range(20),
)
def test_an_unusable_schema_is_refused_with_the_reason(schema: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        parameters_from(schema)
    assert raised.value.hint


def test_a_recursive_schema_works() -> None:
    tree: dict[str, Any] = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
    }
    assert (
        refusal(tree, {"children": [{"children": [3]}]})
        == "children[0].children[0]: must be an object, not 3."
    )
    assert parameters_from(tree).strict_schema is not None


@pytest.mark.parametrize(
    ("schema", "arguments", "outcome"),
    [
        (bomb(60), {"a": "x"}, "checking by its schema takes too long"),
        (
            {"properties": {"a": {"pattern": "^(a+)+$"}}},
            {"a": "a" * 50_000 + "b"},
            "a: must be text that matches",
        ),
        (
            {"properties": {"a": {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}}},
            {"a": {"a" * 40 + "b": 1}},
            "",
        ),
        ({"properties": {"a": {"pattern": r"^(?=x)\p{L}\1"}}}, {"a": "x"}, ""),
        (
            {"properties": {"a": {"uniqueItems": True}}},
            {"a": [{} for _ in range(100_000)]},
            "without the same item twice",
        ),
        (
            {"properties": {"a": {"items": {"anyOf": [{"const": n} for n in range(1000)]}}}},
            {"a": [-1] * 10_000},
            "takes too long",
        ),
        ({"properties": {"a": {"multipleOf": 1e-300}}}, {"a": 10**400}, "The arguments could not be checked"),
        (
            {"$schema": "https://example.com/none", "$id": "https://example.com/", "properties": {}},
            {"a": 1},
            "",
        ),
    ],
    ids=[
        "bomb",
        "pattern",
        "patterns of names",
        "another dialect",
        "unique",
        "product",
        "overflow",
        "unknown dialect",
    ],
)
def test_a_hostile_schema_costs_bounded_time(
    schema: dict[str, Any], arguments: dict[str, Any], outcome: str
) -> None:
    began = time.monotonic()
    assert outcome in answer(schema, arguments) if outcome else answer(schema, arguments) == ""
    assert time.monotonic() - began < FOREVER


def test_a_large_schema_costs_bounded_time() -> None:
    began = time.monotonic()
    parameters = parameters_from(
        {"properties": {f"p{number}": {"type": "string"} for number in range(25_000)}}
    )
    assert parameters.strict_schema is None
    assert "too large" in parameters.loose_because
    assert parameters.bind({"p7": "x"}) == {"p7": "x"}
    assert time.monotonic() - began < FOREVER


@pytest.mark.parametrize(
    ("schema", "because"),
    [
        ({"type": "object"}, "the tool takes any names"),
        ({"properties": {"a": {"type": "object"}}}, "a takes any names"),
        (
            {
                "properties": {
                    "a": {
                        "type": "object",
                        "properties": {"b": {"type": "string"}},
                        "additionalProperties": True,
                    }
                }
            },
            "a takes other names",
        ),
        ({"properties": {"a": {}}}, "a may be anything"),
        ({"properties": {"a": True}}, "a may be anything"),
        ({"properties": {"a": {"type": "array"}}}, "a is a list of anything"),
        (
            {"properties": {"a": {"allOf": [{"type": "string"}, {"minLength": 1}]}}},
            "combines several schemas",
        ),
        (
            {"properties": {"a": {"$ref": "#/properties/b"}, "b": {"type": "string"}}},
            "a points to #/properties/b",
        ),
        ({"properties": {}, "required": ["a"]}, "the tool requires a without a schema for it"),
        (
            {"anyOf": [{"properties": {"a": {"type": "string"}}}], "properties": {"a": {"type": "object"}}},
            "a takes any names",
        ),
    ],
)
def test_a_schema_beyond_strict_mode_says_why(schema: dict[str, Any], because: str) -> None:
    parameters = parameters_from(schema)
    assert parameters.strict_schema is None
    assert because in parameters.loose_because


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {}},
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"a": {"type": "string"}},
            "properties": {"a": {"$ref": "#/definitions/a"}},
        },
        {
            "properties": {
                "a": {"type": ["object", "null"], "properties": {"b": {"const": 1}}, "description": "A."}
            }
        },
        {"properties": {"a": {"oneOf": [{"type": "string", "format": "uri"}, {"type": "integer"}]}}},
        {"properties": {"a": {"type": "string", "format": None}, "b": {"type": "string", "format": {}}}},
        {
            "properties": {"a": {"allOf": [{"$ref": "#/$defs/b"}], "description": "A."}},
            "$defs": {"b": {"enum": ["x", 1, None, True, 1.5]}},
        },
        {
            "properties": {
                "a": {
                    "type": "array",
                    "items": [{"type": "string"}, {"type": "integer"}],
                    "additionalItems": False,
                }
            }
        },
        {
            "properties": {
                "a": {
                    "type": "string",
                    "not": {"const": "x"},
                    "pattern": "^(?!x)",
                    "title": "A",
                    "examples": ["y"],
                }
            }
        },
        {
            "$ref": "#/$defs/root",
            "$defs": {"root": {"type": "object", "properties": {"a": {"type": "string"}}}},
        },
    ],
    ids=range(9),
)
def test_common_schemas_of_others_have_a_strict_form(schema: dict[str, Any]) -> None:
    parameters = parameters_from(schema)
    assert parameters.loose_because == ""
    assert parameters.strict_schema is not None
    assert strict_problems(parameters.strict_schema) == []
