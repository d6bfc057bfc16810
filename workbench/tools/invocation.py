"""One call of a tool: its arguments, the user's consent, limits, tries, and the function itself."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Any, Literal, Protocol, TypeVar
from weakref import WeakKeyDictionary

from workbench.engine.reply import Reply, ToolInvocation
from workbench.engine.settings import LimitSettings
from workbench.engine.tasks import within
from workbench.model.conversation import Message, Picture, ToolCall
from workbench.model.errors import DeadlineError, StageError, WorkbenchError, foreign
from workbench.model.events import Notice, ToolProgressed, ToolReturned, ToolStarted, ToolStatus
from workbench.model.text import plain, redacted
from workbench.plugin.threads import AbnormalExit, DaemonThreads
from workbench.tools.arguments import ArgumentsError
from workbench.tools.consent import Consent
from workbench.tools.context import RunContext, ToolError
from workbench.tools.executor import CoroutineExecutor
from workbench.tools.registry import Toolbox
from workbench.tools.result import UnencodableError, encoded
from workbench.tools.tool import Tool
from workbench.trace.trace import Trace

T = TypeVar("T")
BACKOFF_S = 0.1
"""Wait before a tool is tried again, doubled each time, s."""
UNLIMITED = 1_000_000
ToolNews = Literal["commit", "start", "say", "progress", "show"]


class Refusal(StageError):
    """A call that comes to nothing; its reason is for the model, and does not end the turn."""

    status: ToolStatus = "failed"


class ConsentRefusal(Refusal):
    """The user has not said yes."""

    status: ToolStatus = "cancelled"


@dataclass(slots=True)
class ActiveCall:
    """A call on its way."""

    request: ToolCall
    id: str
    """Unique in the session, where the model's own is not."""
    origin: ToolInvocation | None
    """What the reply asks for; None where the developer calls."""
    say: Callable[[str], None]
    cancelled: Event = field(default_factory=Event)
    began_ms: float | None = None
    attempt: int = 0
    end: ToolReturned | None = None
    """What came of it, once it is over."""

    @property
    def reply(self) -> Reply | None:
        """The reply that asks for it."""
        return self.origin.reply if self.origin else None

    @property
    def turn(self) -> int | None:
        """Its turn, once that is decided."""
        return self.reply.turn if self.reply else None

    @property
    def event_fields(self) -> tuple[int | None, int | None, str, str]:
        """The first fields of each of its events."""
        return self.reply.id if self.reply else None, self.turn, self.id, self.request.name


class ToolBoundary(Protocol):
    """Between the calls of tools and what they do: a recording, for example."""

    async def call_tool(self, call: ActiveCall, work: Callable[[], Awaitable[str]]) -> str:
        """Return the result of a call; `work` makes it."""

    def note_tool(self, call: ActiveCall, kind: ToolNews, value: Any = None) -> None:
        """Something happens in it: it waits for its turn to be committed, starts (`value`: an attempt, whether a mock
        answers), says a text, tells how far it is, or shows a picture."""


class NoToolBoundary:
    """Calls are made as they are."""

    async def call_tool(self, call: ActiveCall, work: Callable[[], Awaitable[str]]) -> str:
        """Make it."""
        return await work()

    def note_tool(self, call: ActiveCall, kind: ToolNews, value: Any = None) -> None:
        """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class ToolEnvironment:
    """What tools are given of the session that they run in."""

    session: Any = None
    data: Callable[[], Any] = lambda: None
    conversation: Callable[[], Sequence[Message]] = lambda: ()
    say: Callable[[str], None] = lambda text: None
    state: dict[str, Any] = field(default_factory=dict)
    boundary: ToolBoundary = field(default_factory=NoToolBoundary)


@dataclass(slots=True)
class Invoker:
    """Invokes tools: plain functions in daemon threads, async ones in the executor, so that neither keeps a frame
    waiting. Made on the session's loop."""

    _tools: Toolbox
    _trace: Trace
    _limits: LimitSettings
    _executor: CoroutineExecutor
    _environment: ToolEnvironment
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _threads: DaemonThreads = field(default_factory=lambda: DaemonThreads("tool"))
    _consent: Consent = field(default_factory=Consent)
    # by tool, not by name: another one of that name has limits of its own
    _slots: WeakKeyDictionary[Tool, asyncio.Semaphore] = field(default_factory=WeakKeyDictionary)
    _recent: WeakKeyDictionary[Tool, deque[float]] = field(default_factory=WeakKeyDictionary)

    def close(self) -> None:
        """Take no more calls; threads that work are not waited for."""
        self._threads.shutdown()

    async def invoke(self, call: ActiveCall) -> str:
        """Return the tool's result as text. Raises `Refusal` with what the model should know instead, and any other
        `StageError` where the turn is to end."""
        tool = self._tools.get(call.request.name)
        if tool is None:
            name = plain(call.request.name, limit=60, one_line=True)
            raise Refusal(f"there is no tool called {name!r}; {self._tools.hint(call.request.name)}")
        arguments = await self._within_deadline(tool, lambda: self._parse(tool, call))
        if call.reply is not None and not tool.idempotent:
            self._note(call, "commit")
            await call.reply.commit()
        if tool.confirm and call.reply is not None:
            refusal = self._consent.refusal(tool, arguments, call.turn or 0, call.reply.user_text)
            if refusal is not None:
                raise ConsentRefusal(refusal)
        self._check_rate(tool)
        return await self._within_deadline(tool, lambda: self._try(tool, call, arguments))

    def _note(self, call: ActiveCall, kind: ToolNews, value: Any = None) -> None:
        self._environment.boundary.note_tool(call, kind, value)

    async def _parse(self, tool: Tool, call: ActiveCall) -> dict[str, Any]:
        """In a thread: types of strangers have code of their own that looks at a value."""
        try:
            return await self._threads.run(tool.parameters.parse, call.request.arguments)
        except ArgumentsError as error:
            raise Refusal(str(error)) from None
        except AbnormalExit as error:
            raise Refusal(f"the arguments could not be checked: {redacted(str(error))}") from None

    async def _within_deadline(self, tool: Tool, make: Callable[[], Awaitable[T]]) -> T:
        limit_ms = self._limits.tool_ms if tool.timeout_s is None else tool.timeout_s * 1000
        try:
            return await within(f"the tool {tool.name}", "tools", make, limit_ms)
        except DeadlineError as error:
            hint = "raise its timeout_s, or look into what it waits for"
            raise DeadlineError(error.reason, hint, stage="tools") from None

    def _check_rate(self, tool: Tool) -> None:
        """Raise `Refusal` for a tool that is called too often."""
        most = tool.calls_per_minute
        if most is None:
            return
        period_s = 60 * max(1.0, 1 / most)
        now, recent = self._loop.time(), self._recent.setdefault(tool, deque())
        while recent and now - recent[0] >= period_s:
            recent.popleft()
        if len(recent) >= max(1, int(most)):
            wait_s = period_s - (now - recent[0])
            often = f"{tool.name} may be called {most:g} times a minute"
            raise Refusal(f"{often}; try again in {wait_s:.0f} seconds")
        recent.append(now)

    async def _try(self, tool: Tool, call: ActiveCall, arguments: dict[str, Any]) -> str:
        """Run it when there is room, and again as often as it says."""
        slot = self._slots.get(tool)
        if slot is None:
            slot = self._slots[tool] = asyncio.Semaphore(tool.concurrency or UNLIMITED)
        async with slot:
            while True:
                call.attempt += 1
                cause: BaseException
                try:
                    with foreign(f"the tool {tool.name}", "tools"):
                        return await self._run(tool, call, arguments)
                except StageError as error:
                    cause = error.__cause__ or error
                match cause:
                    case ToolError():
                        words = str(cause) or f"{tool.name} failed, and did not say why"
                        raise Refusal(plain(redacted(words), limit=2000))
                    case UnencodableError():
                        raise Refusal(f"{tool.name} failed: {cause}")
                    case WorkbenchError():
                        reason = cause.reason
                    case AbnormalExit():
                        reason = str(cause)
                    case _:
                        reason = f"{type(cause).__name__}: {cause}"
                if call.attempt > tool.retries:
                    raise Refusal(f"{tool.name} failed: {plain(redacted(reason), limit=500, one_line=True)}")
                await asyncio.sleep(BACKOFF_S * 2 ** (call.attempt - 1))

    async def _run(self, tool: Tool, call: ActiveCall, arguments: dict[str, Any]) -> str:
        mock = self._tools.mocks.get(tool.name)
        if call.began_ms is None:
            call.began_ms = self._trace.now()
            if call.origin is not None:
                call.origin.began_ms = call.began_ms
        self._note(call, "start", [call.attempt, mock is not None])
        self._trace.emit(ToolStarted(*call.event_fields, call.attempt, mock is not None))
        if mock is not None:
            return mock
        context = (self._context(tool, call),) if tool.takes_context else ()
        function = partial(tool.function, *context, **arguments)
        if tool.is_async:
            return await self._executor.run(lambda: _await_result(function))
        return await self._threads.run(partial(self._run_in_thread, tool, call, function))

    def _run_in_thread(self, tool: Tool, call: ActiveCall, function: Callable[[], Any]) -> str:
        try:
            result = function()
            if inspect.iscoroutine(result):
                result.close()
                reason = "it gave back a coroutine, as if it were async: write it with `async def`"
                raise UnencodableError(reason)
            return encoded(result)
        finally:
            if call.end is not None:
                late_s = (self._trace.now() - (call.began_ms or 0.0)) / 1000
                reason = (
                    f"the tool {tool.name} came back after {late_s:.1f} s, when nobody waited for it any more"
                )
                self._trace.emit(Notice("info", "tools", reason, "its result was dropped"))

    def _context(self, tool: Tool, call: ActiveCall) -> RunContext[Any]:
        environment, reply = self._environment, call.reply
        said = reply.user_text if reply else ""

        def conversation() -> list[Message]:
            messages = [*environment.conversation()]
            if reply is None or not said:
                return messages
            last = messages[-1] if messages else None
            if last is not None and last.role == "user" and last.text == reply.prompt_text:
                return messages
            return [*messages, Message("user", said)]

        def progress(text: str, fraction: float | None) -> None:
            if call.end is None:
                self._note(call, "progress", [text, fraction])
                self._trace.emit(ToolProgressed(*call.event_fields, text, fraction))

        def show(picture: Picture) -> None:
            if call.origin is not None and call.end is None:
                self._note(call, "show", picture)
                call.origin.pictures.append(picture)

        def say(text: str) -> None:
            if call.end is None:
                self._note(call, "say", text)
                self._loop.call_soon_threadsafe(call.say, text)

        return RunContext(
            tool=tool.name,
            call=call.id,
            turn=call.turn,
            said=said,
            session=environment.session,
            data=environment.data(),
            state=environment.state,
            _conversation=conversation,
            _say=say,
            _progress=progress,
            _show=show,
            _cancelled=call.cancelled,
        )


async def _await_result(function: Callable[[], Awaitable[Any]]) -> str:
    return encoded(await function())
