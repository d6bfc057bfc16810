"""Lists and objects that a model gives as JSON within a text are read, where a list or an object is due."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from workbench import raw_tool, tool
from workbench.testing import call_tool


class Address(BaseModel):
    city: str


@tool
def order(
    items: list[str], to: Address | None = None, tags: dict[str, int] | None = None, note: str = ""
) -> str:
    """Order things."""
    return f"{items} {to.city if to else '-'} {tags or {}} {note}"


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "items": {"type": "array", "items": {"type": "string"}},
        "to": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "tags": {"type": "object", "additionalProperties": {"type": "integer"}},
        "note": {"type": "string"},
    },
    "required": ["items"],
}


def take(items: list[str], to: Any = None, tags: Any = None, note: str = "") -> str:
    return f"{items} {to['city'] if to else '-'} {tags or {}} {note}"


TOOLS = {"signature": order, "schema": raw_tool("order", "Order things.", SCHEMA, take)}


@pytest.mark.parametrize("kind", TOOLS)
@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        ({"items": '["oil", "bread"]'}, "['oil', 'bread'] - {} "),
        ({"items": ["oil"], "to": '{"city": "Rome"}'}, "['oil'] Rome {} "),
        ({"items": "[]", "tags": '{"a": 1}'}, "[] - {'a': 1} "),
        ({"items": ["oil"], "note": '["a text that stays one"]'}, "['oil'] - {} [\"a text that stays one\"]"),
    ],
)
def test_json_text_is_read_where_a_list_or_an_object_is_due(
    kind: str, arguments: dict[str, Any], result: str
) -> None:
    assert call_tool(TOOLS[kind], arguments).told == result


@pytest.mark.parametrize("kind", TOOLS)
@pytest.mark.parametrize("text", ["oil", "[oil", '{"a": 1}', "5", ""])
def test_what_is_no_json_of_a_list_is_refused(kind: str, text: str) -> None:
    called = call_tool(TOOLS[kind], {"items": text})
    assert called.status == "failed"
    assert "items" in called.told
