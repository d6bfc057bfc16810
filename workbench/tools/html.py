"""Tools as HTML for notebooks. A schema may be a stranger's: what stands in it is escaped, and cut where it is huge."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.views.html import problem_html, safe, table

if TYPE_CHECKING:
    from workbench.tools.tool import Tool

ROWS = 40
"""Parameters, or tools, in a table at most."""
DEEPEST = 3
"""Levels of a type that are shown."""
SEVERAL = 12
"""Choices of a type that are shown."""
TYPE = 120
"""Characters of a type that are shown."""
SENTENCE = 500
"""Characters of a description that are shown."""


def tool_html(tool: Tool) -> str:
    """Return what the tool does, what it takes, and how it may be called."""
    head = f"<b>{safe(tool.name)}</b> · {safe(tool.description, SENTENCE) or 'no description'}"
    try:
        parameters = tool.parameters
    except UsageError as error:
        return f"{head}<br>{problem_html('', error.reason, error.hint)}"
    rows = [
        [
            f"<code>{safe(name, 60)}</code>",
            f"<code>{safe(type_text(about, parameters.schema), TYPE)}</code>",
            "required" if required else _default(about),
            safe(" ".join(filter(None, (_bounds(about), str(about.get("description", ""))))), SENTENCE),
        ]
        for name, about, required in _properties(parameters.schema)
    ]
    arguments = table(["parameter", "type", "", ""], _first_rows(rows)) if rows else "takes nothing<br>"
    loose = parameters.loose_because
    strict = f"not strict: {safe(loose)}" if loose else "its arguments are strict"
    return f"{head}{arguments}<small>{' · '.join([strict, *map(safe, _policy(tool))])}</small>"


def tools_html(tools: Iterable[Tool], mocks: Mapping[str, str]) -> str:
    """Return a table with a row a tool; those that are mocked say so."""
    rows = [
        [
            tool_line(tool),
            safe(tool.description),
            "<br>".join(map(safe, _policy(tool, mocks.get(tool.name)))),
        ]
        for tool in tools
    ]
    return table(["tool", "what it does", ""], _first_rows(rows)) if rows else "no tools"


def tool_line(tool: Tool) -> str:
    """Return a tool as `weather(city: string, days?: integer)`."""
    try:
        schema = tool.parameters.schema
    except UsageError:
        return f"<code>{safe(tool.name)}(…)</code>"
    arguments = ", ".join(
        f"{plain(name, 60)}{'' if required else '?'}: {type_text(about, schema)}"
        for name, about, required in _properties(schema)
    )
    return f"<code>{safe(tool.name)}({safe(arguments)})</code>"


def type_text(schema: object, root: Mapping[str, Any], level: int = 0) -> str:
    """Return a JSON schema's type in a few words: `integer`, `"mon" | "tue"`, `list of string`, `{name, n}`."""
    if level > DEEPEST:
        return "…"
    if not isinstance(schema, Mapping):
        return "anything"
    match schema:
        case {"$ref": str(reference)}:
            return type_text(_referenced(reference, root), root, level + 1)
        case {"enum": list(choices)}:
            return _join(" | ", (json.dumps(choice, ensure_ascii=False)[:TYPE] for choice in choices))
        case {"const": value}:
            return json.dumps(value, ensure_ascii=False)[:TYPE]
        case {"anyOf": list(members)} | {"oneOf": list(members)}:
            texts = (type_text(member, root, level + 1) for member in members[: SEVERAL + 1])
            return _join(" | ", dict.fromkeys(texts))
        case {"type": list(names)}:
            return _join(" | ", names)
        case {"type": "array"}:
            return f"list of {type_text(schema.get('items'), root, level + 1)}"
        case {"type": "object", "properties": Mapping() as properties} if properties:
            return f"{{{_join(', ', properties)}}}"
    name = schema.get("type", "anything")
    return f"{name} ({schema['format']})" if "format" in schema else str(name)


def _join(separator: str, words: Iterable[object]) -> str:
    """Join the first `SEVERAL` of them."""
    first = list(islice(map(str, words), SEVERAL + 1))
    return separator.join([*first[:SEVERAL], *["…"] * (len(first) > SEVERAL)])


def _referenced(reference: str, root: Mapping[str, Any]) -> object:
    """Return what a reference within the schema points to; None for any other."""
    target: object = root
    for word in reference.removeprefix("#/").split("/") if reference.startswith("#/") else [""]:
        target = target.get(word) if isinstance(target, Mapping) else None
    return target


def _properties(schema: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], bool]]:
    """Return name, schema, and whether it is required."""
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, Mapping):
        return []
    required = required if isinstance(required, list) else []
    return [
        (str(name), about if isinstance(about, Mapping) else {}, name in required)
        for name, about in properties.items()
    ]


def _default(about: Mapping[str, Any]) -> str:
    if "default" not in about:
        return "may be left out"
    return f"default <code>{safe(json.dumps(about['default'], ensure_ascii=False, default=str), 60)}</code>"


def _bounds(about: Mapping[str, Any]) -> str:
    """Return `(from 1 up to 8)`, where there are bounds."""
    lowest = [f"from {about[word]}" for word in ("minimum", "exclusiveMinimum", "minLength") if word in about]
    highest = [
        f"up to {about[word]}" for word in ("maximum", "exclusiveMaximum", "maxLength") if word in about
    ]
    bounds = " ".join([*lowest[:1], *highest[:1]])
    return f"({bounds})" if bounds else ""


def _policy(tool: Tool, mock: str | None = None) -> list[str]:
    """Return how it may be called, where that is not as usual."""
    policy = {
        f"mocked: {mock}": mock is not None,
        f"asks first: {tool.confirm}"
        if isinstance(tool.confirm, str)
        else "asks the user first": tool.confirm,
        "changes nothing: may run before the turn is decided": tool.idempotent,
        f"at most {tool.timeout_s or 0:g} s": tool.timeout_s is not None,
        f"tried {tool.retries + 1} times": tool.retries,
        f"{tool.concurrency} at a time": tool.concurrency is not None,
        f"{tool.calls_per_minute or 0:g} a minute": tool.calls_per_minute is not None,
        f"interrupted: {tool.on_interrupt}": tool.on_interrupt != "cancel",
        f"from {tool.origin}": tool.origin,
    }
    return [text for text, applies in policy.items() if applies]


def _first_rows(rows: list[list[str]]) -> list[list[str]]:
    """Return no more than `ROWS`, and how many are left out."""
    more = len(rows) - ROWS
    return rows if more <= 0 else [*rows[:ROWS], [f"… and {more} more", *[""] * (len(rows[0]) - 1)]]
