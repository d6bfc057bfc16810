"""Tools for a scenario, and a model that calls them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from workbench.model.conversation import Message, ToolCall
from workbench.simulation.scripted import ScriptedLlm
from workbench.tools.tool import tool

CLOCK, DATE = ToolCall("1", "clock", "{}"), ToolCall("2", "date", '{"zone": "utc"}')


class Tools:
    """The tools `clock` and `date`, which answer after so many `seconds` each; `all` is for an agent."""

    def __init__(self, **seconds: float) -> None:
        self.seconds = seconds
        self.ran: list[tuple[float, str]] = []

        async def clock() -> str:
            return await self.answer("clock", "ten")

        async def date(zone: str = "utc") -> str:
            return await self.answer("date", "Monday")

        self.all = (tool(clock), tool(date))

    async def answer(self, name: str, text: str) -> str:
        """Take that long, and record the call."""
        await asyncio.sleep(self.seconds.get(name, 0.0))
        self.ran.append((asyncio.get_running_loop().time(), name))
        return text


def answer(*steps: object) -> ScriptedLlm:
    """Return a model that streams one step after each round of tool results: calls of tools, at last a text."""

    def next_step(messages: Sequence[Message]) -> object:
        asked = sum(bool(message.calls) for message in messages)
        return steps[min(asked, len(steps) - 1)]

    return ScriptedLlm(next_step)  # type: ignore[arg-type]
