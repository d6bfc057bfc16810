"""An MCP server as a user configures it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from workbench.model.errors import UsageError
from workbench.model.text import plain, redacted

START_S = 20.0
"""A server has this long to start and to list its tools: `npx` may have to fetch it first."""
VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, kw_only=True, eq=False)
class McpServer:
    """An MCP server whose tools an agent may use. Made by `McpServer.stdio` or `McpServer.http`.

    `readOnlyHint` of a tool makes it `idempotent` (it may run before the turn is decided), and `destructiveHint` makes
    it ask the user first; a tool that hints at nothing is run like any other. `idempotentHint` changes nothing: what
    may be done twice still does something.
    """

    name: str
    """For people: in notices and origins."""
    command: tuple[str, ...] = ()
    """The program that speaks on standard input and output, and its arguments."""
    url: str = ""
    """Or where a server is that speaks streamable HTTP."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables for the program, besides HOME, PATH and the like; it is given no others of ours."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """For each request: `{"Authorization": "Bearer …"}`."""
    cwd: str | None = None
    """The folder that the program runs in."""
    only: tuple[str, ...] | None = None
    """The tools to use, by the server's names; None: all of them."""
    prefix: str = ""
    """Put before the names of its tools, for those that two servers have."""
    confirm: tuple[str, ...] = ()
    """Tools that the user must agree to, besides those that call themselves destructive."""
    timeout_s: float | None = None
    """As in `@tool`."""
    start_s: float = START_S
    """How long it may take to start, s; the session listens without it then, and its tools come later."""

    def __post_init__(self) -> None:
        for word in ("command", "only", "confirm"):
            object.__setattr__(self, word, _texts(self, word, getattr(self, word)))
        for word in ("env", "headers"):
            object.__setattr__(self, word, _texts_by_name(self, word, getattr(self, word)))
        if not isinstance(self.prefix, str) or not re.fullmatch(r"[A-Za-z0-9_-]{0,32}", self.prefix):
            reason = f"{self.who}: prefix={self.prefix!r:.60} cannot begin a name"
            raise UsageError(reason, "write up to 32 letters, digits, _ or -")
        for word in ("timeout_s", "start_s"):
            value = getattr(self, word)
            fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6
            if not fits and (value is not None or word == "start_s"):
                raise UsageError(f"{self.who}: {word} must be seconds, not {value!r:.60}")
        if bool(self.command) == bool(self.url):
            raise UsageError(f"{self.who} needs a command or a url", "give one of them")
        if self.url and not _is_http(self.url):
            raise UsageError(
                f"{self.who}: its url is no http address", "write it like http://127.0.0.1:8000/mcp"
            )

    @classmethod
    def stdio(cls, *command: str, name: str = "", **options: Any) -> Self:
        """A program that is started with the session and ended with it. UsageError for what cannot be."""
        if not command or not all(isinstance(word, str) and word for word in command):
            hint = 'write McpServer.stdio("npx", "-y", "@scope/server")'
            raise UsageError("McpServer.stdio: no command", hint)
        return cls(name=name or _program_name(command), command=command, **options)

    @classmethod
    def http(cls, url: str, *, name: str = "", **options: Any) -> Self:
        """A server that runs already. UsageError for what cannot be."""
        try:
            host = urlsplit(str(url)).netloc.rpartition("@")[2]
        except ValueError:
            host = ""
        return cls(name=name or host or "?", url=url, **options)

    @property
    def who(self) -> str:
        """What messages call it."""
        return f"MCP server {plain(str(self.name), 60, one_line=True)}"

    def line_html(self) -> str:
        """Return it as an agent lists it in a notebook: where its tools come from, without secrets."""
        from workbench.views.html import safe

        where = self.clean(self.url or " ".join(self.command))
        which = "all of its tools" if self.only is None else f"of its tools {', '.join(self.only)}"
        return f"<code>{safe(self.name, 60)}</code> MCP server, {safe(which)}: {safe(where)}"

    _repr_html_ = line_html
    """What a notebook shows; its tools are in `session.tools` while a session has it."""

    def clean(self, text: str, limit: int = 300) -> str:
        """Return words of the server as they may be shown: without our secrets, in one line."""
        for value in (*self.env.values(), *self.headers.values(), *urlsplit(self.url).query.split("&")):
            for secret in (value, value.rpartition(" ")[2]):
                if len(secret) >= 6:
                    text = text.replace(secret, "…")
        return plain(redacted(text), limit, one_line=True)


def from_settings(tables: Mapping[str, Any]) -> list[McpServer]:
    """Return the servers of `[mcp.NAME]`; `${NAME}` in a variable or header is one of our own environment. UsageError
    for what cannot be."""
    return [_from_table(name, table) for name, table in tables.items()]


def _from_table(name: str, table: Any) -> McpServer:
    options = {word: value for word, value in table if value is not None}

    def expand(word: str, key: str, text: str) -> str:
        for variable in VARIABLE.findall(text):
            if variable not in os.environ:
                reason = f"[mcp.{name}] {word}.{key}: {variable} is not set"
                raise UsageError(reason, f"export {variable}=…")
        return VARIABLE.sub(lambda match: os.environ[match[1]], text)

    for word in ("env", "headers"):
        secrets = options.get(word, {})
        options[word] = {key: expand(word, key, value.get_secret_value()) for key, value in secrets.items()}
    return McpServer(name=name, **options)


def _texts(server: McpServer, word: str, value: Any) -> tuple[str, ...] | None:
    if value is None and word == "only":
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UsageError(f"{server.who}: {word} must be a list of texts, not {value!r:.60}")
    texts = tuple(value)
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{server.who}: {word} must be a list of texts")
    return texts


def _texts_by_name(server: McpServer, word: str, value: Any) -> dict[str, str]:
    words = [*value, *value.values()] if isinstance(value, Mapping) else [None]
    if not all(isinstance(text, str) and "\0" not in text for text in words):
        raise UsageError(f"{server.who}: {word} must be texts by name", f'write {word}={{"NAME": "value"}}')
    return dict(value)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return valid and not re.search(r"\s", url)


def _program_name(command: tuple[str, ...]) -> str:
    """Return what people would call it: the last word that is no option, without its path."""
    words = [word for word in command if not word.startswith("-")] or [command[0]]
    scripts = (word for word in words[1:] if word.endswith((".py", ".js")))
    script = next(scripts, words[min(1, len(words) - 1)])
    return Path(script).name or script
