"""The tools that an MCP server lists, as tools of the session: nothing of what it says is believed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.tools.arguments import ArgumentsError
from workbench.tools.context import RunContext
from workbench.tools.mcp.server import McpServer
from workbench.tools.registry import Toolbox
from workbench.tools.tool import Tool

if TYPE_CHECKING:
    from mcp import Client

PAGES = 50
MOST_TOOLS = 200
"""Tools of one server: with more than some dozens no model chooses well."""
DESCRIPTION = 1024
"""Characters of a description, as OpenAI's API takes them."""
SCHEMA = 100_000
"""Characters of a schema."""

CallTool = Callable[[str, dict[str, Any], RunContext[Any]], Any]
Notify = Callable[[str, str, str], None]
"""(level, reason, hint) of a notice."""


class ServerTools:
    """The tools of one server in the toolbox of a session."""

    def __init__(self, server: McpServer, tools: Toolbox, call: CallTool, notify: Notify) -> None:
        self._server = server
        self._tools = tools
        self._call = call
        self._notify = notify
        self._present: list[Tool] = []
        self._listing: tuple[str, ...] | None = None

    @property
    def listed(self) -> bool:
        """Whether the server has listed its tools once."""
        return self._listing is not None

    async def refresh(self, client: Client) -> None:
        """Ask for the tools, and put them in the place of those that were there."""
        entries: list[Any] = []
        cursor: str | None = None
        for _ in range(PAGES):
            page = await client.list_tools(cursor=cursor)
            entries += page.tools
            cursor = page.next_cursor
            if not cursor:
                break
        listing = tuple(entry.model_dump_json() for entry in entries)
        if listing == self._listing:
            return
        new = [tool for tool in self._usable(entries) if self._has_free_name(tool)]
        why = f"{self._server.who} {'now offers' if self.listed else 'offers'}"
        try:
            self._tools.exchange(self._present, new, why)
        except UsageError as error:
            self._notify("error", error.reason, error.hint)
        else:
            self._present = new
        self._listing = listing

    def withdraw(self) -> None:
        """Take the tools out of the session."""
        self._tools.exchange(self._present, [], f"{self._server.who} was left: its tools are")
        self._present = []

    def _has_free_name(self, tool: Tool) -> bool:
        other = self._tools.get(tool.name)
        if other is None or any(other is tool for tool in self._present):
            return True
        reason = f"offers {tool.name}, as {other.origin or 'somebody else'} does: its own is left out"
        self._notify("warning", reason, "give it a `prefix`")
        return False

    def _usable(self, entries: Sequence[Any]) -> list[Tool]:
        """Return the usable tools of a listing. What cannot be used is left out, with a notice."""
        server = self._server
        names = [entry.name for entry in entries]
        for name in (*(server.only or ()), *server.confirm):
            if name not in names:
                self._warn(f"has no tool called {name!r:.60}", _nearest(name, names))
        chosen = [entry for entry in entries if server.only is None or entry.name in server.only]
        if len(chosen) > MOST_TOOLS:
            self._warn(f"offers {len(chosen)} tools; the first {MOST_TOOLS} are used", "choose with `only`")
        tools: dict[str, Tool] = {}
        seen: set[str] = set()
        for entry in chosen[:MOST_TOOLS]:
            if entry.name in seen:
                self._warn(f"lists the tool {entry.name!r:.60} twice", "the second one is left out")
                continue
            seen.add(entry.name)
            try:
                tool = _tool(server, entry, _name(server.prefix, entry.name, tools), self._call)
            except UsageError as error:
                reason = f"has a tool {entry.name!r:.60} that cannot be used: {error.reason}"
                self._warn(reason, error.hint)
            else:
                tools[tool.name] = tool
        return list(tools.values())

    def _warn(self, reason: str, hint: str) -> None:
        self._notify("warning", reason, hint)


def _tool(server: McpServer, entry: Any, name: str, call: CallTool) -> Tool:
    size = len(json.dumps(entry.input_schema))
    if size > SCHEMA:
        reason = f"its schema has {size:,} characters, {SCHEMA:,} at most"
        raise UsageError(reason, "leave it out with `only`")
    original = entry.name

    async def function(context: RunContext[Any], /, **arguments: Any) -> str:
        return str(await call(original, arguments, context))

    hints = entry.annotations
    destructive = bool(hints and hints.destructive_hint and not hints.read_only_hint)
    confirm = original in server.confirm or destructive
    tool = Tool(
        name=name,
        function=function,
        about=plain(entry.description or entry.title or original, DESCRIPTION),
        schema=entry.input_schema,
        timeout_s=server.timeout_s,
        confirm=confirm,
        idempotent=bool(hints and hints.read_only_hint) and not confirm,
        origin=server.who,
    )
    # the schema is looked at here, and what checks arguments is made, not in the middle of a turn
    _ = tool.spec
    with suppress(ArgumentsError):
        tool.parameters.bind({})
    return tool


def _name(prefix: str, name: str, taken: Iterable[str]) -> str:
    """Return a name that an API takes: the server's own where that is one."""
    clean = re.sub(r"[^A-Za-z0-9_-]+", "_", prefix + name)
    if len(clean) <= 64 and clean.strip("_") and clean not in taken:
        return clean
    return f"{clean[:57]}_{sha256(name.encode('utf-8', 'replace')).hexdigest()[:6]}"


def _nearest(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, n=1)
    listed = ", ".join(plain(other, 60, one_line=True) for other in names[:20]) or "none"
    return f"did you mean {near[0]}?" if near else f"it has: {listed}"
