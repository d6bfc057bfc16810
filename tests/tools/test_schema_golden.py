"""Forty signatures: their schemas are what they were, are what strict mode accepts, and take what fits them.

`python -m tests.tools.test_schema_golden` writes the golden files anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.tools.signatures import FORTY
from tests.tools.strict_rules import strict_problems
from workbench.tools.docstring import description_of
from workbench.tools.parameters import parameters_of

GOLDEN = Path(__file__).parents[1] / "golden" / "schemas"
LOOSE = {"free_dict", "anything", "bare_list", "more_names", "odd_defaults"}
"""What strict mode cannot say: any names, any value."""


def golden_text(name: str) -> str:
    function, _ = FORTY[name]
    parameters = parameters_of(function)
    found = {
        "description": description_of(function),
        "schema": parameters.schema,
        "strict": parameters.strict_schema,
        "loose_because": parameters.loose_because,
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def test_there_are_forty_and_each_has_its_file() -> None:
    assert len(FORTY) == 40
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(FORTY)


@pytest.mark.parametrize("name", FORTY)
def test_a_schema_equals_its_golden_file(name: str) -> None:
    found, wanted = (
        json.loads(golden_text(name)),
        json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8")),
    )
    assert found == wanted
    assert list(found["schema"].get("properties", {})) == list(wanted["schema"].get("properties", {}))


@pytest.mark.parametrize("name", FORTY)
def test_a_schema_is_strict_or_says_why_not(name: str) -> None:
    parameters = parameters_of(FORTY[name][0])
    Draft202012Validator.check_schema(parameters.schema)
    if name in LOOSE:
        assert parameters.strict_schema is None
        assert parameters.loose_because
    else:
        assert parameters.strict_schema is not None
        assert strict_problems(parameters.strict_schema) == []
        assert parameters.loose_because == ""
        Draft202012Validator.check_schema(parameters.strict_schema)


@pytest.mark.parametrize("name", FORTY)
def test_fitting_arguments_bind_and_call_the_function(name: str) -> None:
    function, arguments = FORTY[name]
    bound = parameters_of(function).parse(json.dumps(arguments))
    made = function(**bound)
    if hasattr(made, "close"):
        made.close()  # a coroutine


def objects(schema: Any) -> Iterator[Mapping[str, Any]]:
    """All schemas of objects within one."""
    if isinstance(schema, Mapping):
        if "properties" in schema:
            yield schema
        for inner in schema.values():
            yield from objects(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from objects(inner)


@pytest.mark.parametrize("name", sorted(set(FORTY) - LOOSE))
def test_the_same_names_are_required_as_by_openais_sdk(name: str) -> None:
    from openai.lib._pydantic import _ensure_strict_json_schema

    parameters = parameters_of(FORTY[name][0])
    theirs: Any = json.loads(json.dumps(parameters.schema))
    theirs = _ensure_strict_json_schema(theirs, path=(), root=theirs)

    def required(schema: Any) -> set[tuple[str, ...]]:
        return {tuple(one["required"]) for one in objects(schema)}

    assert required(parameters.strict_schema) == required(theirs)
    assert all(one["additionalProperties"] is False for one in objects(parameters.strict_schema))


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name in FORTY:
        (GOLDEN / f"{name}.json").write_text(golden_text(name), encoding="utf-8")
