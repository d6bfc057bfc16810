"""The tools of an agent file, of plugins and of MCP servers, opened as a session would, without one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from workbench.model.errors import UsageError
from workbench.model.text import plain

if TYPE_CHECKING:
    from workbench.agent import Agent
    from workbench.config import Settings
    from workbench.model.events import ToolReturned
    from workbench.tools.registry import Toolbox
    from workbench.tools.runner import Runner
    from workbench.trace.trace import Trace

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Toolbench:
    """Tools, and what runs them."""

    name: str
    tools: Toolbox
    runner: Runner
    trace: Trace
    settings: Settings

    async def call(self, name: str, arguments: str) -> ToolReturned:
        """Call a tool as the model would; the end of it. Never raises what the tool did."""
        from workbench.model.events import ToolReturned

        call = await self.runner.perform(name, arguments)
        ends = (entry.event for entry in reversed(self.trace.since(self.trace.start)))
        return next(one for one in ends if isinstance(one, ToolReturned) and one.call == call.id)

    def shown(self, end: ToolReturned) -> str:
        """What the model is told of it."""
        from workbench.tools.result import shortened

        if end.status == "done":
            return shortened(end.result, self.settings.limits.tool_result_chars)
        return f"Error: {end.error}" if end.status == "failed" else end.error or ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What the command line names."""

    file: Path | None
    name: str | None
    plugins: Sequence[Path] = ()
    config: Path | None = None


def wanted(words: Sequence[str], *, name: bool | None = None, **options: Any) -> Selection:
    """From `[FILE.py] [NAME]`. `name`: it has to be there (True), may be (None), must not be (False). UsageError."""
    left = list(words)
    file = Path(left.pop(0)) if left and (left[0].endswith(".py") or Path(left[0]).is_file()) else None
    called = left.pop(0) if left and name is not False else None
    if left:
        what = "one name of a tool" if name is not False else "no name"
        raise UsageError(
            f"{plain(left[0], 60)!r} is too much", f"give an agent file, which ends in .py, and {what}"
        )
    if name and called is None:
        raise UsageError("no name of a tool is given", "`workbench tools list` shows them")
    return Selection(file, called, **options)


@asynccontextmanager
async def opened(what: Selection) -> AsyncIterator[Toolbench]:
    """Entered on a loop; notices and progress are told on standard error meanwhile."""
    from workbench.agent import Agent
    from workbench.engine.tasks import beside
    from workbench.plugin.manager import manager
    from workbench.readers import Readers
    from workbench.tools.invocation import ToolEnvironment
    from workbench.tools.registry import Toolbox
    from workbench.tools.toolset import open_toolset
    from workbench.trace.trace import Trace

    agent, settings = _loaded(what)
    await asyncio.get_running_loop().run_in_executor(None, manager)  # some plugins import for a second
    began = time.perf_counter()
    trace = Trace(lambda: (time.perf_counter() - began) * 1000)
    tools = Toolbox(trace, lambda name, arguments: None)
    around = ToolEnvironment(
        data=lambda: agent.data if agent else None, say=lambda text: _err(f"says: {text}")
    )
    readers = Readers(trace, [_tell])
    async with open_toolset(tools, trace, settings, around) as toolset, beside(readers.run()):
        await toolset.use_agent(agent or Agent(instructions=""))
        try:
            yield Toolbench(_title(what, agent), tools, toolset.runner, trace, settings)
        finally:
            readers.catch_up()


def _title(what: Selection, agent: Agent | None) -> str:
    return (agent.name if agent else None) or (what.file.stem if what.file else "workbench")


def _loaded(what: Selection) -> tuple[Agent | None, Settings]:
    """The agent, or one made of the tools in a file that has none; and the settings."""
    from workbench.agent import Agent, load_agent
    from workbench.cli.options import load_plugins
    from workbench.config import load_settings
    from workbench.tools.mcp.server import McpServer
    from workbench.tools.tool import Tool

    def of_tools(names: dict[str, Any]) -> Agent | None:
        tools = [one for one in names.values() if isinstance(one, Tool | McpServer)]
        return Agent(instructions="", tools=tuple(dict.fromkeys(tools))) if tools else None

    agent = load_agent(what.file, of_tools) if what.file else None
    settings = load_settings({}, agent=agent, config_path=what.config)
    load_plugins(settings, what.plugins)
    return agent, settings


def _tell(entry: Any) -> None:
    from workbench.model.events import Notice, ToolProgressed

    match entry.event:
        case Notice(level=level, reason=reason, hint=hint):
            _err(f"{level}: {reason}{f' – {hint}' if hint else ''}")
        case ToolProgressed(name=name, text=text, fraction=fraction):
            share = "" if fraction is None else f"{100 * fraction:.0f} %"
            _err(" ".join(part for part in (f"{name}:", share, text) if part))


def _err(line: str) -> None:
    click.echo(plain(line, one_line=True), err=True)


# --- standard output -------------------------------------------------------------------------------------------------


def run(main: Coroutine[Any, Any, T]) -> T:
    """On a loop of its own; Ctrl-C cancels what runs there."""
    return asyncio.run(main)


@contextmanager
def answers() -> Iterator[TextIO]:
    """Where the answer goes. Whatever else is printed meanwhile, by tools or by programs that they start, goes to
    standard error."""
    out = sys.stdout
    out.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with (
            open(kept, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as real,
            contextlib.redirect_stdout(sys.stderr),
        ):
            yield real if _is_the_first(out) else out
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _is_the_first(out: TextIO) -> bool:
    """Whether that is standard output itself, and not what somebody put in its place."""
    try:
        return out.fileno() == 1
    except (OSError, ValueError):
        return False
