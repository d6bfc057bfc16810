"""The boundary of a rerun: what passes comes from a cassette. Stages that are swapped are today's."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from workbench.agent import Agent
from workbench.config import Settings
from workbench.engine.hooks import Hooks
from workbench.engine.reply import Vision
from workbench.model.conversation import Picture
from workbench.model.errors import UsageError, WorkbenchError
from workbench.model.events import Entry, ToolProgressed, ToolStarted
from workbench.model.price import Price
from workbench.plugin.values import ProviderStage
from workbench.replay.answers import Answers
from workbench.replay.played_ends import PlayedVision
from workbench.replay.played_providers import PlayedLlm, PlayedStt, PlayedTts, PlayedTurn, PlayedVad
from workbench.replay.played_session import PlayedHooks, PlayedTrace, mock, recorded_tools
from workbench.replay.session_clock import SessionClock
from workbench.session.boundary import Boundary, BuiltProvider
from workbench.session.requests import settings_key, tool_request
from workbench.tools.invocation import ActiveCall, ConsentRefusal, NoToolBoundary, Refusal, ToolBoundary
from workbench.tools.registry import Toolbox
from workbench.trace.cassette import Cassette, RecordedCall, Row
from workbench.trace.recorded_errors import KINDS, recorded_error
from workbench.trace.trace import Trace
from workbench.views.trace import OpenTrace

OF_TOOLS: Mapping[str, type[WorkbenchError]] = {
    **KINDS,
    "Refusal": Refusal,
    "ConsentRefusal": ConsentRefusal,
}
"""What a call of a tool may have failed with."""
PLAYED = {"stt": PlayedStt, "llm": PlayedLlm, "tts": PlayedTts}


@dataclass(frozen=True, slots=True)
class Today:
    """What a rerun takes from today."""

    swapped: frozenset[str] = frozenset()
    """Stages that are not played, at the beginning or (`fork_s`) later."""
    providers: Mapping[tuple[str, str], BuiltProvider] = field(default_factory=dict)
    """By stage and item, entered and warm: for swapped stages, and for what the cassette cannot answer."""
    fork_s: float | None = None
    """From when on stages are swapped, on the session's clock, s."""
    agent: bool = False
    """Whether the agent is today's, with its tools, from the beginning."""


class PlaybackBoundary(Boundary):
    """Plays a cassette to one session."""

    plays = True

    def __init__(self, cassette: Cassette, settings: Settings, today: Today) -> None:
        self.clock = SessionClock()
        self.answers = Answers(cassette, self.clock)
        self._cassette, self._settings, self._today = cassette, settings, today
        self._providers: dict[tuple[str, str], deque[Row]] = defaultdict(deque)
        for row in cassette.of("provider"):
            self._providers[row["stage"], row["item"]].append(row)
        self._own_tools = today.agent
        self._agent: Agent | None = None
        self._watcher: ToolBoundary = NoToolBoundary()
        self.played_trace: PlayedTrace
        """Set once there is a session."""

    def trace(self, now: Callable[[], float]) -> OpenTrace:
        """See `Boundary`."""
        self.played_trace = trace = PlayedTrace(now, self._cassette, self.clock)
        self.clock.events = lambda: trace.end
        return self.played_trace

    def begin(self, trace: Trace, origin: float) -> Trace:
        """See `Boundary`."""
        self.clock.origin = origin
        self.answers.emit = trace.emit
        return trace

    def use_agent(self, agent: Agent) -> None:
        """See `Boundary`."""
        self._agent = agent

    def watch(self, note: Callable[[Entry], None], tools: ToolBoundary) -> None:
        """See `Boundary`."""
        self.played_trace.note, self._watcher = note, tools

    async def make(
        self, stage: ProviderStage, item: str, make: Callable[[], Awaitable[BuiltProvider]]
    ) -> BuiltProvider:
        """Return the recorded provider; today's one for a stage that is swapped, and for an item that is new."""
        today, rows = self._today, self._providers.get((stage, item))
        live = today.providers.get((stage, item))
        forked = today.fork_s is not None and self.clock.now() < today.fork_s
        if stage in today.swapped and not forked:
            if live is not None:
                return BuiltProvider(Entered(live.provider), live.onboard, live.price)
            return await make()
        if not rows:
            raise UsageError(f"{stage}: {item} is not in the cassette", f"swap {stage} to have it made")
        row = rows.popleft() if len(rows) > 1 else rows[0]
        key = settings_key(self._settings, stage, item, self._agent)
        if stage == "vad":
            return BuiltProvider(PlayedVad(row, self.answers), True, Price())
        if stage == "turn":
            inner = (await make()).provider
            return BuiltProvider(PlayedTurn(inner, row, key, self.answers), True, Price())
        provider = PLAYED[stage](row, key, self.answers, live.provider if live else None)
        return BuiltProvider(provider, row.get("onboard") is True, _price(row))

    def knows(self, stage: str, item: str) -> bool:
        """See `Boundary`."""
        return (stage, item) in self._providers

    def vision(self, vision: Vision) -> Vision:
        """See `Boundary`."""
        return PlayedVision(self._cassette, self.clock)

    def hooks(self, hooks: Hooks) -> Hooks:
        """See `Boundary`."""
        return PlayedHooks(self._cassette)

    def speakable(self, function: Callable[[str], str]) -> Callable[[str], str]:
        """See `Boundary`."""
        if self._today.agent:
            return function
        rows = {row["text"]: row for row in self._cassette.of("spoken")}

        def spoken(text: str) -> str:
            row = rows.get(text)
            if row is None:
                raise self.answers.miss("tts", "missing", text[:200], live=False)
            if isinstance(row.get("error"), dict):
                raise recorded_error(row["error"])
            return row.get("spoken")  # type: ignore[return-value]  # what it gave, text or not

        return spoken

    # --- tools -------------------------------------------------------------------------------------------------------

    def open_tools(self, tools: Toolbox) -> None:
        """Have the tools that were there when the first provider was made."""
        if self._own_tools:
            return
        for row in self._cassette.rows:
            if row["row"] == "provider":
                return
            if row["row"] == "tools":
                tools.become(recorded_tools(row), row["change"])
            elif row["row"] == "mock":
                mock(tools, row)

    def leave_tools(self, tools: Any) -> None:
        """Go on with the tools of today's agent, which is used next."""
        self._own_tools = True
        tools.become([], "")

    async def call_tool(self, call: ActiveCall, work: Callable[[], Awaitable[str]]) -> str:
        """Answer as the tool did; a tool of today's agent runs where that is not known."""
        request = tool_request(call.request.name, call.request.arguments)
        recorded = self.answers.take("tool", call.request.name, request)
        if not isinstance(recorded, RecordedCall):
            error = self.answers.miss("tools", recorded, request["asks"], live=self._own_tools)
            if not self._own_tools:
                raise error
            return await work()
        shift = self.answers.shift(recorded)
        for row in recorded.pieces:
            await self.clock.turn_of(row, shift)
            self._note(call, row)
            if row.get("kind") == "commit" and call.reply is not None:
                await call.reply.commit()
            self._repeat(call, row)
        return str((await self.answers.end("tools", recorded, shift, OF_TOOLS)).get("result", ""))

    def _note(self, call: ActiveCall, row: Row) -> None:
        """Tell the recorder of the rerun; pictures stay with the first recording."""
        match row:
            case {"kind": "commit" | "start" | "say" | "progress" as kind}:
                self._watcher.note_tool(call, kind, row.get("value"))

    def _repeat(self, call: ActiveCall, row: Row) -> None:
        """Do what a tool did while it ran."""
        trace = self.played_trace
        match row:
            case {"kind": "start", "value": [int(attempt), bool(mocked)]}:
                if call.began_ms is None:
                    call.began_ms = trace.now()
                    if call.origin is not None:
                        call.origin.began_ms = call.began_ms
                trace.emit(ToolStarted(*call.event_fields, attempt, mocked))
            case {"kind": "say", "value": str(text)}:
                asyncio.get_running_loop().call_soon(call.say, text)
            case {"kind": "progress", "value": [str(text), fraction]}:
                trace.emit(ToolProgressed(*call.event_fields, text, fraction))
            case {"kind": "show", "picture": [int(width), int(height), str(file)]} if call.origin is not None:
                call.origin.pictures.append(Picture(self._cassette.data(row), width, height, file))


class Entered:
    """A provider that was entered and warmed before the session, so that no time of it passes for that."""

    def __init__(self, provider: Any) -> None:
        self._inner = provider

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def warm(self) -> None:
        """It is."""


def _price(row: Row) -> Price:
    prices = row.get("price")
    try:
        return Price(**prices) if isinstance(prices, dict) else Price()
    except TypeError:
        return Price()
