"""The tools of an agent file, of plugins and of MCP servers, opened as a session would, without one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

import click

from workbench.model.errors import UsageError
from workbench.model.text import plain

if TYPE_CHECKING:
    from workbench.agent import Agent
    from workbench.config import Settings
    from workbench.model.events import ToolReturned
    from workbench.tools.registry import Toolbox
    from workbench.tools.runner import Runner
    from workbench.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class Toolbench:
    """Tools, and what runs them."""

    title: str
    tools: Toolbox
    runner: Runner
    settings: Settings

    def selected(self, name: str | None) -> list[Tool]:
        """Return the tool of that name, or all. UsageError for an unknown name."""
        return [self.tools.find(name)] if name else [*self.tools]

    def shown_to_model(self, end: ToolReturned) -> str:
        """Return what the model would read as the result."""
        from workbench.tools.result import shortened

        if end.status == "done":
            return shortened(end.result, self.settings.limits.tool_result_chars)
        return f"Error: {end.error}" if end.status == "failed" else end.error or ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What the command line names."""

    file: Path | None
    name: str | None
    plugins: Sequence[Path]
    config: Path | None

    @classmethod
    def parse(
        cls, words: Sequence[str], plugins: Sequence[Path], config: Path | None, *, names: bool
    ) -> Self:
        """Parse `[FILE.py] [NAME]`, the latter only with `names`. UsageError for more than that."""
        rest = list(words)
        is_file = bool(rest) and (rest[0].endswith(".py") or Path(rest[0]).is_file())
        file = Path(rest.pop(0)) if is_file else None
        name = rest.pop(0) if rest and names else None
        if rest:
            hint = (
                f"give an agent file, which ends in .py, and {'one name of a tool' if names else 'no name'}"
            )
            raise UsageError(f"{plain(rest[0], 60)!r} is too much", hint)
        return cls(file, name, plugins, config)

    @property
    def required_name(self) -> str:
        """The name of the tool. UsageError if there is none."""
        if self.name is None:
            raise UsageError("no name of a tool is given", "`workbench tools list` shows them")
        return self.name


@asynccontextmanager
async def open_toolbench(selection: Selection) -> AsyncIterator[Toolbench]:
    """Open the tools on the running loop; notices and progress are printed on standard error meanwhile."""
    from workbench.agent import Agent
    from workbench.engine.tasks import beside
    from workbench.plugin.manager import manager
    from workbench.readers import Readers
    from workbench.tools.invocation import ToolEnvironment
    from workbench.tools.registry import Toolbox
    from workbench.tools.toolset import open_toolset
    from workbench.trace.trace import Trace

    agent, settings = _load(selection)
    await asyncio.get_running_loop().run_in_executor(None, manager)  # some plugins import for a second
    began = time.perf_counter()
    trace = Trace(lambda: (time.perf_counter() - began) * 1000)
    tools = Toolbox(trace, lambda name, arguments: None)
    environment = ToolEnvironment(
        data=lambda: agent.data if agent else None, say=lambda text: _print_error(f"says: {text}")
    )
    title = (agent.name if agent else None) or (selection.file.stem if selection.file else "workbench")
    readers = Readers(trace, [_print_event])
    async with open_toolset(tools, trace, settings, environment) as toolset, beside(readers.run()):
        await toolset.use_agent(agent or Agent(instructions=""))
        try:
            yield Toolbench(title, tools, toolset.runner, settings)
        finally:
            readers.catch_up()


def _load(selection: Selection) -> tuple[Agent | None, Settings]:
    """Load the agent, or make one of the tools in a file that has none; and the settings."""
    from workbench.agent import Agent, load_agent
    from workbench.cli.options import load_plugins
    from workbench.config import load_settings
    from workbench.tools.mcp.server import McpServer
    from workbench.tools.tool import Tool

    def agent_of(names: dict[str, Any]) -> Agent | None:
        tools = [value for value in names.values() if isinstance(value, Tool | McpServer)]
        return Agent(instructions="", tools=tuple(dict.fromkeys(tools))) if tools else None

    agent = load_agent(selection.file, agent_of) if selection.file else None
    settings = load_settings({}, agent=agent, config_path=selection.config)
    load_plugins(settings, selection.plugins)
    return agent, settings


def _print_event(entry: Any) -> None:
    from workbench.model.events import Notice, ToolProgressed

    match entry.event:
        case Notice(level=level, reason=reason, hint=hint):
            _print_error(f"{level}: {reason}{f' – {hint}' if hint else ''}")
        case ToolProgressed(name=name, text=text, fraction=fraction):
            share = "" if fraction is None else f"{100 * fraction:.0f} %"
            _print_error(" ".join(part for part in (f"{name}:", share, text) if part))


def _print_error(line: str) -> None:
    click.echo(plain(line, one_line=True), err=True)


@contextmanager
def answer_stream() -> Iterator[TextIO]:
    """Yield the stream for the answer. Whatever else is printed meanwhile, by tools or by programs that they start,
    goes to standard error."""
    out = sys.stdout
    out.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        with (
            open(saved, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as original,
            contextlib.redirect_stdout(sys.stderr),
        ):
            yield original if _is_standard_output(out) else out
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def _is_standard_output(out: TextIO) -> bool:
    """Decide whether that is standard output itself, and not what somebody put in its place."""
    try:
        return out.fileno() == 1
    except (OSError, ValueError):
        return False
