"""The engine's part of a tool call: from the end of the model's request to the follow-up request with the result.

Typed turns in a session on the loop's real clock, with tools that answer at once: a plain function (in a thread), an
async one (on a loop of its own), and three at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Self

from bench._figures import Promise, percentile, run, settings, spread, tell
from workbench import Agent, hookimpl, open_session, tool
from workbench.engine.interfaces import Llm, LlmPart, Text
from workbench.model.conversation import Message, ToolCall, ToolSpec
from workbench.model.events import ListeningStarted, TurnEnded
from workbench.plugin.manager import manager
from workbench.plugin.values import Provider, ProviderOptions

ROUNDS = 80


class ToolCallingModel(Llm):
    """Calls the tools that the user names, then says "Done." Notes when it has called, and when it gets the results."""

    name = "tool-calls"

    def __init__(self, options: ProviderOptions) -> None:
        self.times: list[float] = []

    async def __aenter__(self) -> Self:
        TIMES[:] = [self.times]
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def warm(self) -> None:
        """Nothing to do."""

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> AsyncIterator[AsyncIterator[LlmPart]]:
        """See `workbench.engine.interfaces.Llm`."""
        follows = messages[-1].role == "tool"
        if follows:
            self.times.append(time.perf_counter())

        async def parts() -> AsyncIterator[LlmPart]:
            if follows:
                yield Text("Done.")
                return
            for number, name in enumerate(messages[-1].text.split()):
                yield ToolCall(str(number), name, '{"city": "Oslo", "days": 3}')
            self.times.append(time.perf_counter())

        yield parts()


TIMES: list[list[float]] = []


class Plugin:
    """Brings the provider."""

    @hookimpl
    def workbench_providers(self) -> list[Provider]:
        """See the hook."""
        return [
            Provider(
                "llm", "tool-calls", "for this measurement", ToolCallingModel, models=("once",), onboard=True
            )
        ]


@tool
def plain(city: str, days: int = 1) -> str:
    """A plain function."""
    return f"{city}: sunny for {days} days"


@tool
async def other(city: str, days: int = 1) -> str:
    """An async function."""
    return f"{city}: sunny for {days} days"


async def measure(said: str) -> list[float]:
    """Return the times from the end of the model's request to the follow-up request, ms."""
    agent = Agent(instructions="", tools=[plain, other])
    chosen = settings(
        profile="scripted", llm__provider="tool-calls", tts__provider="none", record__enabled=False,
        audio__source="none", audio__sink="none",
    )  # fmt: skip
    async with open_session(chosen, agent=agent) as session:
        async for entry in session.trace.follow():
            match entry.event:
                case ListeningStarted() | TurnEnded(turn=_) as event:
                    if getattr(event, "turn", 0) == ROUNDS:
                        break
                    await asyncio.sleep(0.01)
                    session.type(said)
        (times,) = TIMES
    spans: list[tuple[Any, Any]] = [*pairwise(times)]
    return [(after - before) * 1000 for before, after in spans[::2]][5:]


def main() -> None:
    """Measure and tell."""
    manager().register(Plugin())
    figures = {said: asyncio.run(measure(said)) for said in ("plain", "other", "plain other plain")}
    tell(
        "tools",
        [
            Promise(
                "tool call → follow-up request, a plain function, p50",
                percentile(figures["plain"], 50),
                1.5,
                "ms",
            ),
            Promise(
                "tool call → follow-up request, an async one, p50",
                percentile(figures["other"], 50),
                1.5,
                "ms",
            ),
        ],
        {"rounds": ROUNDS},
        {said: spread(values) for said, values in figures.items()},
    )


if __name__ == "__main__":
    run(main)
