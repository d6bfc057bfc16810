"""The boundary of a session that is recorded: what passes is in its cassette too."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

from workbench.agent import Agent
from workbench.config import Settings
from workbench.engine.hooks import Hooks
from workbench.engine.interfaces import Sink, Source
from workbench.engine.reply import NoVision, Vision
from workbench.model.conversation import Message, Picture, ToolCall
from workbench.model.events import Entry, Event
from workbench.plugin.values import ProviderStage
from workbench.session.boundary import Boundary, BuiltProvider
from workbench.session.recorded_ends import RecordedSink, RecordedSource, RecordedVision
from workbench.session.recorded_providers import RECORDED, NotedCall, RecordedVad, described
from workbench.session.requests import hook_key, settings_key, tool_request
from workbench.tools.invocation import ActiveCall, ToolNews
from workbench.tools.registry import Toolbox
from workbench.tools.tool import Tool
from workbench.trace.cassette import CassetteLog
from workbench.trace.codec import encode
from workbench.trace.recorded_errors import error_row
from workbench.trace.trace import Trace

HOW_CALLED = ("idempotent", "on_interrupt", "origin")
"""Of a tool, beside what the model is told of it."""


class RecordingBoundary(Boundary):
    """Records what passes another boundary."""

    def __init__(self, inner: Boundary, log: CassetteLog, settings: Settings) -> None:
        self._inner = inner
        self._log = log
        self._settings = settings
        self._agent: Agent | None = None
        self._tool_calls: dict[str, NotedCall] = {}
        self.plays, self.hears_raw = inner.plays, inner.hears_raw

    def begin(self, trace: Trace, origin: float) -> Trace:
        """See `Boundary`."""
        noted = _NotedTrace(self._inner.begin(trace, origin), self._log)
        self._inner.watch(noted.note, self)
        return noted

    async def make(
        self, stage: ProviderStage, item: str, make: Callable[[], Awaitable[BuiltProvider]]
    ) -> BuiltProvider:
        """See `Boundary`."""
        key = settings_key(self._settings, stage, item, self._agent)
        try:
            built = await self._inner.make(stage, item, make)
        except Exception as error:
            self._log.put("provider", stage=stage, item=item, absent=error_row(error))
            raise
        if stage == "vad":
            self._log.put("provider", **described(built, stage, item, key))
            return BuiltProvider(RecordedVad(built.provider, self._log), built.onboard, built.price)
        return BuiltProvider(RECORDED[stage](built, stage, item, key, self._log), built.onboard, built.price)

    def knows(self, stage: str, item: str) -> bool:
        """See `Boundary`."""
        return self._inner.knows(stage, item)

    def source(self, source: Source) -> Source:
        """See `Boundary`."""
        return RecordedSource(self._inner.source(source), self._log)

    def sink(self, sink: Sink) -> Sink:
        """See `Boundary`."""
        return RecordedSink(self._inner.sink(sink), self._log)

    def vision(self, vision: Vision) -> Vision:
        """See `Boundary`."""
        vision = self._inner.vision(vision)
        return vision if isinstance(vision, NoVision) else RecordedVision(vision, self._log)

    def hooks(self, hooks: Hooks) -> Hooks:
        """See `Boundary`."""
        return _NotedHooks(self._inner.hooks(hooks), self._log)

    def speakable(self, function: Callable[[str], str]) -> Callable[[str], str]:
        """See `Boundary`."""
        function = self._inner.speakable(function)

        def noted(text: str) -> str:
            try:
                spoken = function(text)
            except Exception as error:
                self._log.put("spoken", text=text, error=error_row(error))
                raise
            self._log.put("spoken", text=text, spoken=spoken)
            return spoken

        return noted

    def use_agent(self, agent: Agent) -> None:
        """See `Boundary`."""
        self._inner.use_agent(agent)
        self._agent = agent
        self._log.put("agent", agent=agent_row(agent))

    def open_tools(self, tools: Toolbox) -> None:
        """See `Boundary`."""
        tools.on_change = self._note_tools
        tools.on_mock = lambda name, answer: self._log.put("mock", name=name, answer=answer)
        self._note_tools(list(tools), "")
        for name, answer in tools.mocks.items():
            self._log.put("mock", name=name, answer=answer)
        self._inner.open_tools(tools)

    def _note_tools(self, tools: Sequence[Tool], change: str) -> None:
        self._log.put("tools", tools=[tool_row(tool) for tool in tools], change=change)

    async def call_tool(self, call: ActiveCall, work: Callable[[], Awaitable[str]]) -> str:
        """See `Boundary`."""
        name, arguments = call.request.name, call.request.arguments
        noted = NotedCall(self._log, "tool", name, lambda: tool_request(name, arguments))
        self._tool_calls[call.id] = noted
        with noted.until_end():
            try:
                result = await self._inner.call_tool(call, work)
            finally:
                del self._tool_calls[call.id]
            noted.end("done", result=result)
        return result

    def note_tool(self, call: ActiveCall, kind: ToolNews, value: Any = None) -> None:
        """See `Boundary`."""
        self._inner.note_tool(call, kind, value)
        noted = self._tool_calls.get(call.id)
        if noted is None:
            return
        if isinstance(value, Picture):
            data = [value.width, value.height, value.file]
            self._log.put_input("piece", value.jpeg, call=noted.number, kind=kind, picture=data)
        else:
            noted.piece(kind=kind, value=value)

    def verb(self, name: str, /, **arguments: Any) -> None:
        """See `Boundary`."""
        self._inner.verb(name, **arguments)
        row = {
            key: agent_row(value) if isinstance(value, Agent) else value for key, value in arguments.items()
        }
        self._log.put_input("verb", verb=name, arguments=row)


class _NotedTrace(Trace):
    """The trace as those outside of the engine write to it."""

    def __init__(self, trace: Trace, log: CassetteLog) -> None:
        super().__init__(trace.now, keep=0)
        self._inner, self._log = trace, log
        self.tracks, self.pictures = trace.tracks, trace.pictures

    def emit(self, event: Event) -> Entry:
        """Emit it in the session's trace, and record it."""
        entry = self._inner.emit(event)
        self.note(entry)
        return entry

    def note(self, entry: Entry) -> None:
        """Record what was emitted just now."""
        t = self._log.now()
        self._log.put_later(lambda: {"t": t, "row": "event", "event": json.loads(encode(entry))})


class _NotedHooks(Hooks):
    """What plugins make of texts and messages, recorded where they change them."""

    def __init__(self, hooks: Hooks, log: CassetteLog) -> None:
        self._inner, self._log = hooks, log

    async def user_text(self, text: str) -> str:
        """See `Hooks`."""
        return self._noted("user_text", text, await self._inner.user_text(text))

    async def agent_text(self, text: str) -> str:
        """See `Hooks`."""
        return self._noted("agent_text", text, await self._inner.agent_text(text))

    async def before_llm(self, turn: int | None, messages: Sequence[Message]) -> Sequence[Message]:
        """See `Hooks`."""
        prompt = await self._inner.before_llm(turn, messages)
        if prompt is not messages and tuple(prompt) != tuple(messages):
            rows = [{**asdict(message), "pictures": []} for message in prompt]
            self._log.put("hook", hook="before_llm", key=hook_key("before_llm", messages), messages=rows)
        return prompt

    def after_llm(self, turn: int | None, text: str, calls: Sequence[ToolCall]) -> None:
        """See `Hooks`."""
        self._inner.after_llm(turn, text, calls)

    async def before_tts(self, turn: int | None, text: str) -> str:
        """See `Hooks`."""
        return self._noted("before_tts", text, await self._inner.before_tts(turn, text))

    def _noted(self, hook: str, text: str, after: str) -> str:
        if after != text:
            self._log.put("hook", hook=hook, key=hook_key(hook, text), text=after)
        return after


def agent_row(agent: Agent) -> dict[str, Any]:
    """Return what an agent says of itself as JSON."""
    names = ("instructions", "greeting", "on_silence", "language", "name")
    row = {name: getattr(agent, name) for name in names}
    return row | {"own_speakable": agent.speakable is not None}


def tool_row(tool: Tool) -> dict[str, Any]:
    """Return a tool as JSON, but for what it does."""
    spec = tool.spec
    told = {"name": spec.name, "description": spec.description, "strict": spec.strict}
    return {**told, "parameters": spec.parameters, **{name: getattr(tool, name) for name in HOW_CALLED}}
