from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from tests.views.pages import HARMLESS, HOSTILE, Page
from workbench import Agent, tool
from workbench.agent import Agent as AgentType
from workbench.tools.html import ROWS, SEVERAL
from workbench.tools.mcp import McpServer
from workbench.tools.registry import Toolbox
from workbench.tools.tool import Tool, raw_tool
from workbench.views.trace import OpenTrace


class Guest(BaseModel):
    name: str
    stays: int = 1


@tool(confirm="Shall I book {day}?", timeout_s=5, retries=2)
def book(
    day: Literal["monday", "tuesday"],
    guest: Guest,
    people: Annotated[int, Field(ge=1, le=8)] = 2,
    wishes: list[str] | None = None,
) -> str:
    """Book a table.

    Args:
        day: Which day.
    """
    return ""


@tool(idempotent=True)
def clock() -> str:
    """What time it is."""
    return ""


def toolbox(*tools: Tool) -> Toolbox:
    return Toolbox(OpenTrace(lambda: 0.0), lambda name, arguments: None, tools)


def raw(schema: dict[str, Any], about: str = "Does it.") -> Tool:
    return raw_tool("raw", about, schema, lambda **given: None)


def test_a_tool_shows_its_description_parameters_and_policy() -> None:
    text = Page(book._repr_html_()).text
    assert "book · Book a table." in text
    assert 'day"monday" | "tuesday"requiredWhich day.' in text
    assert "guest{name, stays}required" in text
    assert "peopleintegerdefault 2(from 1 up to 8)" in text
    assert "wisheslist of string | nulldefault null" in text
    assert "its arguments are strict · asks first: Shall I book {day}? · at most 5 s · tried 3 times" in text
    assert "test_html.py" in text


def test_a_tool_that_takes_nothing_or_cannot_be_strict_says_so() -> None:
    assert "takes nothing" in clock._repr_html_()
    assert "changes nothing" in clock._repr_html_()
    loose = raw({"type": "object", "properties": {"any": {"type": "object"}}})
    assert "not strict: any takes any names" in Page(loose._repr_html_()).text
    assert "may be left out" in loose._repr_html_()


def test_a_signature_without_schema_shows_its_error() -> None:
    @tool
    def odd(*values: int) -> None: ...

    assert "→" in odd._repr_html_()
    assert "odd(…)" in odd.line_html()


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"enum": [1, "two", None]}, '1 | "two" | null'),
        ({"const": 3}, "3"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"type": "array", "items": {"$ref": "#/$defs/loop"}}, "list of list of"),
        ({"$ref": "#/$defs/nowhere"}, "anything"),
        ({"type": "string", "format": "date"}, "string (date)"),
        (
            {"oneOf": [{"type": "object", "properties": {"a": {}, "b": {}}}, {"type": "null"}]},
            "{a, b} | null",
        ),
        ({"enum": [str(n) for n in range(1000)]}, f'"{SEVERAL - 1}" | …'),
        (True, "anything"),
    ],
)
def test_a_type_of_json_schema_is_written_in_a_few_words(schema: Any, told: str) -> None:
    loop = {"type": "array", "items": {"$ref": "#/$defs/loop"}}
    made = Tool(name="raw", function=len, about="", schema={"type": "object", "properties": {"x": schema}})
    object.__setattr__(made, "parameters", Given(made.schema | {"$defs": {"loop": loop}}))  # type: ignore[operator]
    assert told in Page(made._repr_html_()).text


class Given:
    """What a stranger's schema is by itself, also where our own check would refuse it."""

    strict_schema = None
    loose_because = "it is only shown"

    def __init__(self, schema: Any) -> None:
        self.schema = schema


def test_hostile_text_of_a_server_stays_text() -> None:
    schema = {
        "type": "object",
        "properties": {
            HOSTILE: {"type": "string", "description": HOSTILE, "default": HOSTILE, "enum": [HOSTILE]},
            **{f"p{n}": {"type": "string"} for n in range(500)},
        },
    }
    made = Tool(name="raw", function=len, about=HOSTILE, schema=schema, confirm=HOSTILE, origin=HOSTILE)
    object.__setattr__(made, "parameters", Given(schema))
    for html in (
        made._repr_html_(),
        toolbox(made)._repr_html_(),
        Agent(instructions="", tools=[made])._repr_html_(),
    ):
        page = Page(html)
        assert page.tags <= HARMLESS | {"code"}
        assert page.attributes <= {"style"}
        assert "<script>alert(1)</script>" in page.text
        assert "\x1b" not in html
        assert "\u202e" not in html
        assert "$x" not in html
        assert len(html) < 30_000
    assert f"… and {501 - ROWS} more" in made._repr_html_()


def test_a_toolbox_lists_its_tools_and_says_which_are_mocked() -> None:
    tools = toolbox(book, clock)
    tools.mock("clock", "noon")
    text = Page(tools._repr_html_()).text
    assert 'book(day: "monday" | "tuesday", guest: {name, stays}, people?: integer' in text
    assert "What time it is.mocked: noon" in text
    assert repr(tools) == "<tools: book, clock>"
    assert toolbox()._repr_html_() == "no tools"


def test_an_agent_lists_tools_servers_and_functions() -> None:
    server = McpServer.stdio("npx", "-y", "@scope/files", env={"TOKEN": "sesame-123"}, only=["read"])
    there = McpServer.http("https://example.test/mcp?key=sesame-123")
    agent = AgentType(instructions="Be kind.", tools=[book, server, there, len])
    html = agent._repr_html_()
    text = Page(html).text
    assert "Book a table." in text
    assert "MCP server, of its tools read: npx -y @scope/files" in text
    assert "https://example.test/mcp" in text
    assert "len" in text
    assert "sesame" not in html + server._repr_html_() + there._repr_html_()
