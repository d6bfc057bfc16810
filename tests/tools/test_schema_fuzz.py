"""Whatever a model sends, arguments bind or are refused in words; what strict mode lets through binds."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools.signatures import FORTY
from tests.tools.strict_rules import strict_problems
from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.tools.arguments import ArgumentsError
from workbench.tools.parameters import ToolParameters, parameters_from, parameters_of

KNOWN = {name: parameters_of(function) for name, (function, _) in FORTY.items()}
TYPICAL = [
    "Rome",
    "3",
    "many",
    "true",
    "celsius",
    "LOW",
    "2026-01-31",
    "PT1H",
    "12:00",
    "card",
    "cash",
    "\ud800",
    "\x00",
    "9" * 400,
]
WORDS = st.text(max_size=8) | st.sampled_from(TYPICAL)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([10**400, -(10**4000), 1e300, 2**63])
    | WORDS
)
NAMES = sorted({name for parameters in KNOWN.values() for name in parameters.schema.get("properties", {})})
KEYS = WORDS | st.sampled_from(
    [*NAMES, "city", "nights", "kind", "number", "amount", "value", "children", "latitude"]
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def problems_of(parameters: ToolParameters, arguments: Any) -> tuple[str, ...]:
    """What the model is told; nothing if they bind."""
    try:
        parameters.bind(arguments)
    except ArgumentsError as error:
        return error.problems or ("",)
    return ()


def binds_or_says(parameters: ToolParameters, arguments: Any) -> None:
    for problem in problems_of(parameters, arguments):
        assert problem.endswith((".", "?"))
        assert len(problem) < 1200
        assert plain(problem, one_line=True) == problem
        assert "pydantic" not in problem
        assert "Traceback" not in problem


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(list(FORTY)), data=st.data())
def test_any_value_binds_or_is_refused_in_words(name: str, data: st.DataObject) -> None:
    parameters = KNOWN[name]
    own = dict.fromkeys(parameters.schema.get("properties", {}), VALUES)
    arguments = data.draw(
        st.fixed_dictionaries({}, optional=own) | st.dictionaries(KEYS, VALUES, max_size=4) | VALUES
    )
    binds_or_says(parameters, arguments)


@settings(max_examples=300, deadline=None)
@given(
    text=st.text() | VALUES.map(lambda value: json.dumps(value) if fits(value) else "x"),
    cut=st.integers(0, 40),
)
def test_any_text_parses_or_is_refused_in_words(text: str, cut: int) -> None:
    for written in (text, text[:cut], text[cut:]):
        try:
            KNOWN["dataclasses"].parse(written)
        except ArgumentsError as error:
            problems = error.problems
        else:
            problems = ()
        assert all(problem.endswith((".", "?")) for problem in problems)


def fits(value: Any) -> bool:
    """Whether Python writes it as JSON at all: no whole number of more than 4,300 digits."""
    try:
        json.dumps(value)
    except ValueError:
        return False
    return True


def fitting(schema: Any, defs: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that conform to a strict schema."""
    if "$ref" in schema:
        return st.deferred(lambda: fitting(defs[schema["$ref"].removeprefix("#/$defs/")], defs, depth + 1))
    if "anyOf" in schema:
        members = [member for member in schema["anyOf"] if depth < 3 or member.get("type") == "null"]
        return st.one_of([fitting(member, defs, depth) for member in members or schema["anyOf"]])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of([of_type(kind, schema, defs, depth) for kind in kinds])


FORMATS: dict[str, st.SearchStrategy[str]] = {
    "date": st.dates().map(lambda day: day.isoformat()),
    "date-time": st.datetimes().map(lambda at: at.isoformat() + "Z"),
    "time": st.times().map(lambda at: at.isoformat() + "Z"),
    "duration": st.sampled_from(["PT1H30M", "P1D", "P2W", "PT0S", "P3DT4H"]),
    "uuid": st.uuids().map(str),
}


def of_type(kind: str, schema: Any, defs: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum"), schema.get("maximum")
    match kind:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            times = schema.get("multipleOf", 1)
            return st.integers(low if low is not None else -(10**9), high if high is not None else 10**9).map(
                lambda number: number // times * times
            )
        case "number":
            least, most = schema.get("exclusiveMinimum", -1e9), schema.get("exclusiveMaximum", 1e9)
            return st.floats(least, most, exclude_min=True, exclude_max=True)
        case "string" if "pattern" in schema:
            return st.from_regex(schema["pattern"].replace("$", r"\Z").replace("+", "{2,10}"))
        case "string":
            return FORMATS.get(schema.get("format", ""), st.text(st.characters(codec="utf-8"), min_size=1))
        case "array":
            size = {"min_size": schema.get("minItems", 0), "max_size": schema.get("maxItems", 3)}
            return st.lists(fitting(schema["items"], defs, depth + 1), **size)
        case _:
            inner = {name: fitting(one, defs, depth + 1) for name, one in schema["properties"].items()}
            return st.fixed_dictionaries(inner)


STRICT = [name for name in FORTY if KNOWN[name].strict_schema and name != "tuples"]


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(STRICT), data=st.data())
def test_arguments_that_strict_mode_allows_bind(name: str, data: st.DataObject) -> None:
    """Not for a tuple of different types: strict mode knows its items, but not their order."""
    schema: Any = KNOWN[name].strict_schema
    arguments = data.draw(fitting(schema, schema.get("$defs", {})))
    KNOWN[name].bind(arguments)


KEYWORDS = ["type", "properties", "items", "anyOf", "allOf", "enum", "$ref", "required", "additionalProperties", "pattern", "minimum", "$defs", "not", "const", "prefixItems", "description", "default"]  # fmt: skip # noqa: E501
SCHEMAS = st.recursive(
    LEAVES | st.sampled_from(["object", "array", "string", "#", "#/$defs/a", "#/properties/a"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYWORDS, "a"]), inner, max_size=4)
    ),
    max_leaves=15,
)


@settings(max_examples=200, deadline=None)
@given(
    schema=st.dictionaries(st.sampled_from(KEYWORDS), SCHEMAS, max_size=4),
    arguments=st.dictionaries(KEYS, VALUES, max_size=3),
)
def test_any_schema_works_or_is_refused_in_words(schema: dict[str, Any], arguments: dict[str, Any]) -> None:
    try:
        parameters = parameters_from(schema)
    except UsageError:
        return
    strict = parameters.strict_schema
    assert bool(parameters.loose_because) == (strict is None)
    assert strict is None or strict_problems(strict) == []
    binds_or_says(parameters, arguments)
