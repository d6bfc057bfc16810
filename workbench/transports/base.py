"""What a transport is: the source and the sink of a session, and what the session may do with the user beside sound.

    class Telephone(Transport):
        def __init__(self, options: TransportOptions) -> None:
            self.source, self.sink = Microphone(options.trace), Earpiece(options.trace)

    open_session(settings, agent=agent, transport=Telephone)

A plugin brings one by the hook `workbench_transports`; then `audio.source` and `audio.sink` choose it by its name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Self

from workbench.config import Settings
from workbench.engine.interfaces import Sink, Source
from workbench.engine.reply import NoVision, Vision
from workbench.engine.tasks import single
from workbench.handle import SessionHandle
from workbench.model.events import Entry
from workbench.plugin.manager import transports
from workbench.plugin.values import TransportProvider
from workbench.trace.trace import Trace

FILE = "file"
"""The transport that is given what no transport is called: a path."""


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """What a transport is made with."""

    settings: Settings
    trace: Trace
    agent: str = "agent"
    """The agent's name."""
    source: bool = True
    """Whether its source is used; the other side of the session may be another transport."""
    sink: bool = True
    sees: Callable[[], bool] = lambda: False
    """Whether the language model takes pictures; a swap may change that."""


class Transport:
    """A session's connection to the user. Derive from it; it is made in a thread and entered on the session's loop.

    Entering raises MissingError for a device or server that is not there, UsageError for one that refuses.
    """

    source: Source | None = None
    """Where the user's voice comes from; None for a transport that has only a sink."""
    sink: Sink | None = None
    """Where the agent's voice goes; None for a transport that has only a source."""
    video: bool = False
    """Whether the user can show pictures: `vision` gives them."""
    data: bool = False
    """Whether messages and calls travel beside the sound: `room` sends them, `room_message` events tell of them."""
    dtmf: bool = False
    """Whether the tones of a telephone's keys come as `room_message` events."""
    vision: Vision = NoVision()
    """Gives each reply pictures of what the user shows."""
    tools: Sequence[tuple[Any, str]] = ()
    """Tools that the model gets with this transport, each with where it comes from, for people."""
    room: Any = None
    """The participants with their RPC and messages: `session.room`, and `context.room` of tools; None without any."""

    async def __aenter__(self) -> Self:
        self._ends = AsyncExitStack()
        async with AsyncExitStack() as stack:
            for end in (self.source, self.sink):
                if end is not None:
                    await stack.enter_async_context(end)
            self._ends = stack.pop_all()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._ends.__aexit__(*error)

    def note(self, entry: Entry) -> None:
        """Take the next entry of the trace, as readers do: for what the user's side shows of the conversation."""

    async def run(self, session: SessionHandle) -> None:
        """Work beside the conversation until cancelled; `session.stop` ends it."""


TransportFactory = Callable[[TransportOptions], Transport]
"""Makes a session's transport; the class itself will do."""


class CombinedTransport(Transport):
    """The source of one transport and the sink of another: `audio.source = "mic"`, `audio.sink = "out.wav"`."""

    def __init__(self, parts: Sequence[Transport]) -> None:
        self._parts = parts
        self.video, self.data, self.dtmf = (
            any(flags) for flags in zip(*((part.video, part.data, part.dtmf) for part in parts), strict=True)
        )
        self.tools = [tool for part in parts for tool in part.tools]
        self.room = next((part.room for part in parts if part.room is not None), None)
        self.vision = next((part.vision for part in parts if part.video), self.vision)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for part in self._parts:
                await stack.enter_async_context(part)
            self._ends = stack.pop_all()
        self.source = next(part.source for part in self._parts if part.source is not None)
        self.sink = next(part.sink for part in self._parts if part.sink is not None)
        return self

    def note(self, entry: Entry) -> None:
        """Pass it on."""
        for part in self._parts:
            part.note(entry)

    async def run(self, session: SessionHandle) -> None:
        """Run all of them."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in self._parts:
                    tasks.create_task(part.run(session))
        except BaseExceptionGroup as group:
            raise single(group) from None


def make_transport(options: TransportOptions, own: TransportFactory | None = None) -> Transport:
    """Return a session's transport, not entered yet. A side that `own` does not give comes from the settings.

    UsageError for settings that cannot be.
    """
    parts = [own(options)] if own is not None else []
    sides: dict[TransportProvider, list[str]] = {}
    for side in ("source", "sink"):
        if not any(getattr(part, side) for part in parts):
            sides.setdefault(_chosen(getattr(options.settings.audio, side), side), []).append(side)
    for provider, wants in sides.items():
        parts.append(provider.make(replace(options, source="source" in wants, sink="sink" in wants)))
    return parts[0] if len(parts) == 1 else CombinedTransport(parts)


def _chosen(word: str, side: str) -> TransportProvider:
    """The transport that `audio.source` or `audio.sink` names; a word that names none is the path of a file."""
    installed = transports()
    for provider in installed.values():
        if word == (getattr(provider, side) or provider.name):
            return provider
    return installed[FILE]
