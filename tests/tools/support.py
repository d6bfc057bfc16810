"""Tools on a real loop, called by hand, and what the trace says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from workbench.engine.settings import LimitSettings
from workbench.model.events import Event, ToolReturned
from workbench.tools.executor import ThreadExecutor
from workbench.tools.invocation import ToolEnvironment
from workbench.tools.registry import Toolbox
from workbench.tools.runner import Runner
from workbench.trace.trace import Trace

E = TypeVar("E", bound=Event)


@dataclass
class Bench:
    """A runner that is entered, and its trace."""

    trace: Trace
    tools: Toolbox
    runner: Runner
    said: list[str] = field(default_factory=list)

    def all(self, kind: type[E]) -> list[E]:
        """The events of a type so far."""
        return [entry.event for entry in self.trace.since(0) if isinstance(entry.event, kind)]

    async def call(self, name: str, arguments: str = "{}") -> ToolReturned:
        """Call a tool by hand; its end."""
        return await self.runner.perform(name, arguments)


def on_bench(work: Callable[[Bench], Awaitable[None]], *tools: Any, **limits: float) -> None:
    """Run `work` with these tools on a loop in real time."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        trace = Trace(lambda: loop.time() * 1000)
        toolbox = Toolbox(trace, lambda name, arguments: None)
        toolbox.add(*tools)
        said: list[str] = []
        async with (
            ThreadExecutor("tools") as place,
            Runner(
                toolbox,
                trace,
                LimitSettings.model_validate(limits),
                place,
                ToolEnvironment(say=said.append, data=lambda: "the data"),
            ) as runner,
        ):
            await work(Bench(trace, toolbox, runner, said))

    asyncio.run(main())


def returned(tool: Any, arguments: str = "{}", **limits: float) -> ToolReturned:
    """The end of one call of one tool."""
    ends: list[ToolReturned] = []

    async def work(bench: Bench) -> None:
        (name,) = bench.tools.names
        ends.append(await bench.call(name, arguments))

    on_bench(work, tool, **limits)
    return ends[0]
