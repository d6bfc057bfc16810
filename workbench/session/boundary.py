"""What lies between a session and the world: here everything from outside passes, so that it can be recorded, or come
from a recording. The engine knows nothing of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from workbench.agent import Agent
from workbench.engine.hooks import Hooks
from workbench.engine.interfaces import Sink, Source
from workbench.engine.reply import Vision
from workbench.model.events import Entry
from workbench.model.price import Price
from workbench.plugin.values import ProviderStage
from workbench.tools.invocation import ActiveCall, ToolBoundary, ToolNews
from workbench.tools.registry import Toolbox
from workbench.trace.trace import Trace
from workbench.views.trace import OpenTrace


@dataclass(frozen=True, slots=True)
class BuiltProvider:
    """A provider, not entered yet, and what is known of it beside."""

    provider: Any
    onboard: bool
    price: Price


class Boundary:
    """Lets everything through as it is: nothing is recorded."""

    plays = False
    """Whether what passes comes from a recording: then nothing else of today's world is let in."""

    hears_raw: bool | None = None
    """Whether there is a track `mic` beside `user`; None: as the settings say."""

    def trace(self, now: Callable[[], float]) -> OpenTrace:
        """Return a new trace for the session."""
        return OpenTrace(now)

    def begin(self, trace: Trace, origin: float) -> Trace:
        """The session begins, its clock is 0 at `origin` on the loop's, s; return the trace that transports, notices of
        providers and the host write to."""
        return trace

    def watch(self, note: Callable[[Entry], None], tools: ToolBoundary) -> None:
        """Have `note` called with events that come from outside by this boundary itself, and `tools` told what their
        calls do by it."""

    async def make(
        self, stage: ProviderStage, item: str, make: Callable[[], Awaitable[BuiltProvider]]
    ) -> BuiltProvider:
        """Return an item of a stage's chain."""
        return await make()

    def knows(self, stage: str, item: str) -> bool:
        """Whether it can return that item, whatever is installed."""
        return False

    def source(self, source: Source) -> Source:
        """Return where the engine takes its frames from."""
        return source

    def sink(self, sink: Sink) -> Sink:
        """Return what pulls from the engine."""
        return sink

    def vision(self, vision: Vision) -> Vision:
        """Return what shows pictures to the engine."""
        return vision

    def hooks(self, hooks: Hooks) -> Hooks:
        """Return what changes texts on their way."""
        return hooks

    def speakable(self, function: Callable[[str], str]) -> Callable[[str], str]:
        """Return an agent's own function that makes text speakable."""
        return function

    def use_agent(self, agent: Agent) -> None:
        """This agent speaks from now on."""

    def open_tools(self, tools: Toolbox) -> None:
        """The tools are there, those of plugins too."""

    async def call_tool(self, call: ActiveCall, work: Callable[[], Awaitable[str]]) -> str:
        """See `ToolBoundary`."""
        return await work()

    def note_tool(self, call: ActiveCall, kind: ToolNews, value: Any = None) -> None:
        """See `ToolBoundary`."""

    def verb(self, name: str, /, **arguments: Any) -> None:
        """A verb of the session is called; from any thread."""
