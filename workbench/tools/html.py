"""Tools as HTML for notebooks. A schema may be a stranger's: what stands in it is escaped, and cut where it is huge."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.views.html import safe, table

if TYPE_CHECKING:
    from workbench.tools.tool import Tool

ROWS = 40
"""Parameters, or tools, in a table at most."""
DEEPEST = 3
"""Levels of a type that are told."""
SEVERAL = 12
"""Choices of a type that are told."""
TYPE = 120
"""Characters of a type that are shown."""
SENTENCE = 500
"""Characters of a description that are shown."""


def tool_html(tool: Tool) -> str:
    """What it does, what it takes, and how it may be called."""
    head = f"<b>{safe(tool.name)}</b> · {safe(tool.description, SENTENCE) or 'no description'}"
    try:
        given = tool.parameters
    except UsageError as error:
        return f"{head}<br><b>{safe(error.reason)}</b><br>→ {safe(error.hint)}"
    rows = [
        [
            f"<code>{safe(name, 60)}</code>",
            f"<code>{safe(kind(schema, given.schema), TYPE)}</code>",
            "required" if needed else _default(schema),
            safe(" ".join(filter(None, (_bounds(schema), _described(schema)))), SENTENCE),
        ]
        for name, schema, needed in _parameters(given.schema)
    ]
    taken = table(["parameter", "type", "", ""], _cut(rows)) if rows else "takes nothing<br>"
    strict = (
        "its arguments are strict" if not given.loose_because else f"not strict: {safe(given.loose_because)}"
    )
    return f"{head}{taken}<small>{' · '.join([strict, *map(safe, _policy(tool))])}</small>"


def tools_html(tools: Iterable[Tool], mocks: Mapping[str, str] | None = None) -> str:
    """A row a tool; those that are mocked say so."""
    rows = [
        [
            tool_line(tool),
            safe(tool.description),
            "<br>".join(map(safe, _policy(tool, (mocks or {}).get(tool.name)))),
        ]
        for tool in tools
    ]
    return table(["tool", "what it does", ""], _cut(rows)) if rows else "no tools"


def tool_line(tool: Tool) -> str:
    """`weather(city: string, days?: integer)`."""
    try:
        schema = tool.parameters.schema
    except UsageError:
        return f"<code>{safe(tool.name)}(…)</code>"
    told = [
        f"{plain(str(name), 60)}{'' if needed else '?'}: {kind(one, schema)}"
        for name, one, needed in _parameters(schema)
    ]
    return f"<code>{safe(tool.name)}({safe(', '.join(told))})</code>"


def kind(schema: object, root: Mapping[str, Any], level: int = 0) -> str:
    """A JSON schema's type in a few words: `integer`, `"mon" | "tue"`, `list of string`, `{name, n}`."""
    if not isinstance(schema, Mapping) or level > DEEPEST:
        return "…" if level > DEEPEST else "anything"
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return kind(_found(reference, root), root, level + 1)
    if isinstance(choices := schema.get("enum"), list):
        return _some(" | ", (json.dumps(choice, ensure_ascii=False)[:TYPE] for choice in choices))
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)[:TYPE]
    for word in ("anyOf", "oneOf"):
        if isinstance(several := schema.get(word), list):
            return _some(" | ", dict.fromkeys(kind(one, root, level + 1) for one in several[: SEVERAL + 1]))
    named = schema.get("type", "anything")
    if isinstance(named, list):
        return _some(" | ", named)
    if named == "array":
        return f"list of {kind(schema.get('items'), root, level + 1)}"
    inner = schema.get("properties")
    if named == "object" and isinstance(inner, Mapping) and inner:
        return f"{{{_some(', ', inner)}}}"
    return f"{named} ({schema['format']})" if "format" in schema else str(named)


def _some(between: str, words: Iterable[object]) -> str:
    """The first `SEVERAL` of them."""
    first = list(islice(map(str, words), SEVERAL + 1))
    return between.join([*first[:SEVERAL], *["…"] * (len(first) > SEVERAL)])


def _found(reference: str, root: Mapping[str, Any]) -> object:
    """What a reference within the schema means; None for any other."""
    found: object = root
    for word in reference.removeprefix("#/").split("/") if reference.startswith("#/") else [""]:
        found = found.get(word) if isinstance(found, Mapping) else None
    return found


def _parameters(schema: Mapping[str, Any]) -> list[tuple[str, object, bool]]:
    """Name, schema, and whether it is required."""
    inner, needed = schema.get("properties"), schema.get("required")
    if not isinstance(inner, Mapping):
        return []
    return [(str(name), one, isinstance(needed, list) and name in needed) for name, one in inner.items()]


def _default(schema: object) -> str:
    if not isinstance(schema, Mapping) or "default" not in schema:
        return "may be left out"
    return f"default <code>{safe(json.dumps(schema['default'], ensure_ascii=False, default=str), 60)}</code>"


def _described(schema: object) -> str:
    return str(schema.get("description", "")) if isinstance(schema, Mapping) else ""


def _bounds(schema: object) -> str:
    """`1 to 8`, where there are bounds."""
    if not isinstance(schema, Mapping):
        return ""
    low, high = (
        next((schema[word] for word in words if word in schema), None)
        for words in (
            ("minimum", "exclusiveMinimum", "minLength"),
            ("maximum", "exclusiveMaximum", "maxLength"),
        )
    )
    told = (f"from {low}" if low is not None else "", f"up to {high}" if high is not None else "")
    return f"({' '.join(filter(None, told))})" if any(told) else ""


def _policy(tool: Tool, mocked: str | None = None) -> list[str]:
    """How it may be called, where that is not as usual."""
    told = [f"mocked: {mocked}"] if mocked is not None else []
    if tool.confirm:
        told.append(f"asks first: {tool.confirm}" if isinstance(tool.confirm, str) else "asks the user first")
    told += ["changes nothing: may run before the turn is decided"] if tool.idempotent else []
    told += [f"at most {tool.timeout_s:g} s"] if tool.timeout_s is not None else []
    told += [f"tried {tool.retries + 1} times"] if tool.retries else []
    told += [f"{tool.concurrency} at a time"] if tool.concurrency is not None else []
    told += [f"{tool.calls_per_minute:g} a minute"] if tool.calls_per_minute is not None else []
    told += [f"interrupted: {tool.on_interrupt}"] if tool.on_interrupt != "cancel" else []
    return [*told, f"from {tool.origin}"] if tool.origin else told


def _cut(rows: list[list[str]]) -> list[list[str]]:
    """No more than `ROWS`, and how many are left out."""
    more = len(rows) - ROWS
    return rows if more <= 0 else [*rows[:ROWS], [f"… and {more} more", *[""] * (len(rows[0]) - 1)]]
