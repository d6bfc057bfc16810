"""What happens beside the stages in a rerun: events from outside, verbs, tools that come and go, and what plugins
changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workbench.agent import Agent
from workbench.engine.hooks import Hooks
from workbench.handle import SessionHandle
from workbench.model.conversation import Message, ToolCall, ToolSpec
from workbench.model.errors import StageError, UsageError
from workbench.model.events import Entry, Event
from workbench.replay.played_ends import PlayedSink, PlayedSource
from workbench.replay.session_clock import A_MOMENT_S, SessionClock
from workbench.session.requests import hook_key
from workbench.tools.registry import Toolbox
from workbench.tools.tool import Tool
from workbench.trace.cassette import Cassette, Row
from workbench.trace.codec import decode
from workbench.trace.trace import Trace
from workbench.trace.track import Track
from workbench.transports.base import Transport
from workbench.views.trace import OpenTrace

ENDED = "the recording ends here"


class PlayedTrace(OpenTrace):
    """A trace in which events from outside come again: at their time, and in their place among those of the engine as
    long as that says the same."""

    def __init__(self, now: Callable[[], float], cassette: Cassette, clock: SessionClock) -> None:
        super().__init__(now)
        self._clock = clock
        rows = ((row["t"], decode(json.dumps(row["event"]))) for row in cassette.of("event"))
        self._outside = [(t, entry) for t, entry in rows if entry is not None]
        self._next = 0
        self._relaying = False
        self.note: Callable[[Entry], None] = lambda entry: None
        """Called with each that comes again."""

    def emit(self, event: Event) -> Entry:
        """See `Trace`."""
        self.relay()
        entry = super().emit(event)
        self.relay()
        self._clock.progressed()
        return entry

    def relay(self, *, overdue: bool = False) -> None:
        """Emit what is due and stands here; with `overdue` also what should have come later."""
        if self._relaying or self._next >= len(self._outside) or self.closed:
            return
        self._relaying = True
        while self._next < len(self._outside):
            t, entry = self._outside[self._next]
            if not self._clock.has_come(t) or (entry.i > self.end and not overdue):
                break
            self._next += 1
            self.note(super().emit(entry.event))
        self._relaying = False

    async def run(self) -> None:
        """Emit each at its time."""
        while self._next < len(self._outside):
            t = self._outside[self._next][0]
            await self._clock.until(t)
            self.relay()
            if self._next < len(self._outside) and self._clock.has_come(self._outside[self._next][0]):
                await asyncio.sleep(A_MOMENT_S)
                self.relay(overdue=True)


class PlayedTransport(Transport):
    """Source and sink of the recording, and the verbs that were called."""

    def __init__(
        self,
        cassette: Cassette,
        clock: SessionClock,
        trace: Trace,
        user: Track,
        mic: Track | None,
        fork: Callable[[SessionHandle], None],
        fork_s: float | None,
    ) -> None:
        """`fork` is called at `fork_s`."""
        self.source = PlayedSource(cassette, clock, user, mic)
        self.sink = PlayedSink(cassette, clock, trace)
        self._cassette, self._clock, self._trace = cassette, clock, trace
        self._fork, self._fork_s = fork, fork_s

    async def run(self, session: SessionHandle) -> None:
        """Call the verbs when they were called; stop when the session was."""
        async with asyncio.TaskGroup() as tasks:
            if isinstance(self._trace, PlayedTrace):
                tasks.create_task(self._trace.run())
            if self._fork_s is not None:
                tasks.create_task(self._fork_at(session, self._fork_s))
            for row in self._script():
                if row["row"] == "verb":
                    await self._clock.turn_of(row)
                else:
                    await self._clock.until(row["t"], row.get("i", 0))
                with suppress(UsageError):  # of a setting or provider that is not there any more
                    call_verb(session, row)
            if not any(_ends(row) for row in self._cassette.rows):
                await self._clock.until(self._cassette.end_s)
                session.stop(ENDED)

    async def _fork_at(self, session: SessionHandle, t: float) -> None:
        await self._clock.until(t)
        self._fork(session)

    def _script(self) -> list[Row]:
        """Return the rows that somebody caused from outside while the session ran."""
        rows = list(self._cassette.rows)
        made = next((at for at, row in enumerate(rows) if row["row"] == "provider"), 0)
        kinds = ("mock", "tools")
        return [
            row for at, row in enumerate(rows) if row["row"] == "verb" or (row["row"] in kinds and at > made)
        ]


def _ends(row: Row) -> bool:
    """Whether the session ended with it."""
    return bool(row["row"] == "shut" and row["side"] == "source") or bool(
        row["row"] == "verb" and row["verb"] == "stop"
    )


def call_verb(session: SessionHandle, row: Row) -> None:
    """Do again what somebody did; what cannot be done any more is left out."""
    tools: Any = session.tools
    if row["row"] == "tools":
        return tools.become(recorded_tools(row), row["change"])  # type: ignore[no-any-return]
    if row["row"] == "mock":
        return mock(tools, row)
    arguments = row["arguments"]
    match row["verb"], arguments:
        case "swap", choices:
            changed = {
                stage: _agent(choice) if stage == "agent" else choice for stage, choice in choices.items()
            }
            session.swap(**changed)
        case "set", {"name": str(name), "value": value}:
            session.set(name, value)
        case "mute", {"on": bool(on)}:
            session.mute(on)
        case "say", {"text": str(text)}:
            session.say(text)
        case "type", {"text": str(text)}:
            session.type(text)
        case "bookmark", {"label": str(label)}:
            session.bookmark(label)
        case "call_tool", {"name": str(name), "arguments": str(text)}:
            tools.call(name, text)
        case "interrupt", _:
            session.interrupt()
        case "stop", {"reason": str(reason)}:
            session.stop(reason)
    return None


def recorded_agent(cassette: Cassette) -> Agent:
    """Return the agent that spoke first; its tools are rows of their own. UsageError where that is not recorded."""
    row = next(cassette.of("agent"), None)
    if row is None:
        raise UsageError(f"{cassette.path} does not say who spoke", "give an agent")
    return _agent(row["agent"])


def _agent(row: Any) -> Agent:
    values = row if isinstance(row, dict) else {}
    names = ("greeting", "on_silence", "name")
    return Agent(
        instructions=str(values.get("instructions", "")),
        language=str(values.get("language", "en")),
        speakable=_nothing if values.get("own_speakable") is True else None,
        **{name: values[name] for name in names if isinstance(values.get(name), str)},
    )


def _nothing(text: str) -> str:
    """Stand for the function of an agent, whose results are recorded."""
    return text


@dataclass(frozen=True, kw_only=True, eq=False)
class PlayedTool(Tool):
    """A tool as the model was told of it."""

    told: ToolSpec

    @cached_property
    def spec(self) -> ToolSpec:
        """See `Tool`."""
        return self.told


def recorded_tools(row: Row) -> list[Tool]:
    """Return the tools of a row, which cannot run; those that make no sense are left out."""
    tools: list[Tool] = []
    for item in row["tools"]:
        try:
            spec = ToolSpec(item["name"], item["description"], item["parameters"], item["strict"] is True)
            policy = {"idempotent": item["idempotent"] is True, "on_interrupt": item["on_interrupt"]}
            origin = str(item["origin"])
            tools.append(
                PlayedTool(
                    name=spec.name,
                    function=_not_there,
                    about=spec.description,
                    schema=spec.parameters,
                    origin=origin,
                    told=spec,
                    **policy,
                )
            )
        except (KeyError, TypeError, UsageError):
            continue
    return tools


def _not_there(**arguments: Any) -> None:
    raise StageError("a recorded tool cannot run", "give the agent that has it", stage="tools")


def mock(tools: Toolbox, row: Row) -> None:
    """Let a tool answer as it was told to."""
    answer = row.get("answer")
    if tools.get(row["name"]) is not None and isinstance(answer, str | None):
        tools.mock(row["name"], answer)


class PlayedHooks(Hooks):
    """What plugins made of texts and messages."""

    def __init__(self, cassette: Cassette) -> None:
        self._rows = {row["key"]: row for row in cassette.of("hook")}

    async def user_text(self, text: str) -> str:
        """See `Hooks`."""
        return self._changed("user_text", text)

    async def agent_text(self, text: str) -> str:
        """See `Hooks`."""
        return self._changed("agent_text", text)

    async def before_llm(self, turn: int | None, messages: Sequence[Message]) -> Sequence[Message]:
        """See `Hooks`."""
        row = self._rows.get(hook_key("before_llm", messages)) if self._rows else None
        try:
            return messages if row is None else [_message(item) for item in row["messages"]]
        except (KeyError, TypeError):  # damaged
            return messages

    async def before_tts(self, turn: int | None, text: str) -> str:
        """See `Hooks`."""
        return self._changed("before_tts", text)

    def _changed(self, hook: str, text: str) -> str:
        row = self._rows.get(hook_key(hook, text)) if self._rows else None
        return text if row is None else str(row.get("text", text))


def _message(row: Any) -> Message:
    calls = tuple(
        ToolCall(str(each["id"]), str(each["name"]), str(each["arguments"])) for each in row["calls"]
    )
    return Message(row["role"], str(row["text"]), calls, row["call_id"], row["cut"] is True)
