"""A call of a tool in a test, as a model makes it: from JSON, with a context, within its deadline.

called = call_tool(weather, {"city": "Oslo"})
assert called.told == "In Oslo it is sunny."
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.engine.settings import LimitSettings
from workbench.model.events import ToolProgressed, ToolStatus
from workbench.tools.executor import ThreadExecutor
from workbench.tools.invocation import ToolEnvironment
from workbench.tools.registry import Toolbox
from workbench.tools.result import shortened
from workbench.tools.runner import Runner
from workbench.tools.tool import as_tool
from workbench.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Called:
    """The outcome of a call."""

    status: ToolStatus
    told: str
    """The text for the model: the result, or why there is none."""
    said: tuple[str, ...]
    """The texts that the tool had the agent say meanwhile."""
    progress: tuple[str, ...]
    """The progress that it reported."""
    took_ms: float


def call_tool(
    tool: Any,
    arguments: Mapping[str, Any] | str | None = None,
    *,
    data: Any = None,
    state: dict[str, Any] | None = None,
) -> Called:
    """Call a tool (or a function) once, with arguments as values or as the model's own text; `data` and `state` are
    what its context has. The user has agreed to it. UsageError for what is no tool."""
    tool = as_tool(tool)
    text = arguments if isinstance(arguments, str) else json.dumps(dict(arguments or {}))
    spoken: list[str] = []

    async def main() -> Called:
        loop = asyncio.get_running_loop()
        trace, limits = Trace(lambda: loop.time() * 1000), LimitSettings()
        toolbox = Toolbox(trace, lambda name, arguments: None)
        toolbox.add(tool)
        environment = ToolEnvironment(
            data=lambda: data, say=spoken.append, state={} if state is None else state
        )
        async with (
            ThreadExecutor("tools") as executor,
            Runner(toolbox, trace, limits, executor, environment) as runner,
        ):
            end = await runner.perform(tool.name, text)
            await asyncio.sleep(0)  # what it said last
        events = (entry.event for entry in trace.since(0))
        progress = tuple(event.text for event in events if isinstance(event, ToolProgressed))
        answer = shortened(end.result, limits.tool_result_chars) if end.error is None else end.error
        return Called(end.status, answer, tuple(spoken), progress, end.took_ms)

    return asyncio.run(main())
