"""From what a server lists and answers to tools and texts: nothing of it is believed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from hashlib import sha256
from typing import Any

from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.tools.arguments import ArgumentsError
from workbench.tools.context import RunContext, ToolError
from workbench.tools.mcp.server import McpServer
from workbench.tools.tool import Tool

MOST_TOOLS = 200
"""Tools of one server: with more than some dozens no model chooses well."""
DESCRIPTION = 1024
"""Characters of a description, as OpenAI's API takes them."""
SCHEMA = 100_000
"""Characters of a schema."""

Call = Callable[[str, dict[str, Any], RunContext[Any]], Any]
Complain = Callable[[str, str], None]


def offered(server: McpServer, listing: Sequence[Any], call: Call, complain: Complain) -> list[Tool]:
    """The tools that a listing comes to. What cannot be used is left out, and said."""
    wanted = [one for one in listing if server.only is None or one.name in server.only]
    for name in (*(server.only or ()), *server.confirm):
        if not any(one.name == name for one in listing):
            complain(f"has no tool called {name!r:.60}", _near(name, [one.name for one in listing]))
    if len(wanted) > MOST_TOOLS:
        complain(f"offers {len(wanted)} tools; the first {MOST_TOOLS} are used", "choose with `only`")
    found: dict[str, Tool] = {}
    seen: set[str] = set()
    for one in wanted[:MOST_TOOLS]:
        if one.name in seen:
            complain(f"lists the tool {one.name!r:.60} twice", "the second one is left out")
            continue
        seen.add(one.name)
        try:
            made = _tool(server, one, _free(server.prefix, one.name, found), call)
        except UsageError as error:
            complain(f"has a tool {one.name!r:.60} that cannot be used: {error.reason}", error.hint)
        else:
            found[made.name] = made
    return list(found.values())


def _tool(server: McpServer, one: Any, name: str, call: Call) -> Tool:
    size = len(json.dumps(one.input_schema))
    if size > SCHEMA:
        raise UsageError(
            f"its schema has {size:,} characters, {SCHEMA:,} at most", "leave it out with `only`"
        )
    theirs = one.name

    async def function(context: RunContext[Any], /, **arguments: Any) -> str:
        return str(await call(theirs, arguments, context))

    hints = one.annotations
    confirm = theirs in server.confirm or bool(hints and hints.destructive_hint and not hints.read_only_hint)
    made = Tool(
        name=name,
        function=function,
        about=plain(one.description or one.title or theirs, DESCRIPTION),
        schema=one.input_schema,
        timeout_s=server.timeout_s,
        confirm=confirm,
        idempotent=bool(hints and hints.read_only_hint) and not confirm,
        origin=server.who,
    )
    _ = (
        made.spec
    )  # the schema is looked at here, and what checks arguments is made, not in the middle of a turn
    with suppress(ArgumentsError):
        made.parameters.bind({})
    return made


def _free(prefix: str, name: str, taken: Iterable[str]) -> str:
    """A name that the model can be told: the server's own where that is one."""
    made = re.sub(r"[^A-Za-z0-9_-]+", "_", prefix + name)
    if len(made) <= 64 and made.strip("_") and made not in taken:
        return made
    return f"{made[:57]}_{sha256(name.encode('utf-8', 'replace')).hexdigest()[:6]}"


def _near(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, n=1)
    there = ", ".join(plain(one, 60, one_line=True) for one in names[:20]) or "none"
    return f"did you mean {near[0]}?" if near else f"it has: {there}"


def text_of(result: Any) -> str:
    """What a server answered, as text for the model. Raises ToolError for what it calls an error."""
    texts = [text for text in map(_text, result.content) if text]
    told = "\n".join(texts)
    if result.is_error:
        raise ToolError(told or "it failed, and did not say why")
    structured = result.structured_content
    if structured is None or _same(structured, told):
        return told or "done"
    return "\n".join([*texts, json.dumps(structured, ensure_ascii=False)])


def _same(structured: Any, told: str) -> bool:
    """Most servers say the same twice: as text, and as data."""
    if structured in ({}, {"result": told}):
        return True
    try:
        said = json.loads(told)
    except ValueError:
        return False
    return structured in (said, {"result": said})


def _text(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "image" | "audio":
            size = len(block.data) * 3 // 4
            return f"[{block.type} {plain(block.mime_type, 60)}, {size:,} bytes, which cannot be shown]"
        case "resource_link":
            return f"[{plain(block.name, 200, one_line=True)}: {plain(str(block.uri), 500, one_line=True)}]"
        case "resource":
            inner = block.resource
            text = getattr(inner, "text", None)
            where = plain(str(inner.uri), 500, one_line=True)
            return str(text) if text is not None else f"[{where}, data that cannot be shown]"
        case _:
            return f"[{plain(str(block.type), 40)}, which cannot be shown]"
