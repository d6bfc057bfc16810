"""One call of a tool, from the model's words to the text that it is given back; whatever happens in between."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

from workbench.engine.reply import Reply, ToolInvocation
from workbench.engine.settings import LimitSettings
from workbench.engine.tasks import within
from workbench.model.conversation import Message, Picture, ToolCall, ToolSpec
from workbench.model.errors import DeadlineError, StageError, WorkbenchError
from workbench.model.events import (
    Notice,
    ToolCalled,
    ToolProgressed,
    ToolReturned,
    ToolStarted,
    ToolStatus,
)
from workbench.model.text import plain, redacted
from workbench.plugin.threads import DaemonThreads, Left
from workbench.tools.arguments import ArgumentsError, parse
from workbench.tools.consent import Consent
from workbench.tools.context import RunContext, ToolError
from workbench.tools.executor import CoroutineExecutor
from workbench.tools.registry import Toolbox
from workbench.tools.result import UnencodableError, encoded, shortened
from workbench.tools.tool import Tool
from workbench.trace.trace import Trace

T = TypeVar("T")
BACKOFF_S = 0.1
"""Wait before a tool is tried again, doubled each time, s."""


class Refusal(Exception):
    """A call that comes to nothing; its text is what the model is told."""

    status: ToolStatus = "failed"


class ConsentRefusal(Refusal):
    """The user has not said yes."""

    status: ToolStatus = "cancelled"


@dataclass(slots=True)
class ActiveCall:
    """A call on its way."""

    asked: ToolCall
    id: str
    """Unique in the session, where the model's own is not."""
    by: ToolInvocation | None
    """None: the developer calls."""
    say: Callable[[str], None]
    cancelled: Event = field(default_factory=Event)
    began_ms: float | None = None
    over: bool = False
    attempt: int = 0

    @property
    def reply(self) -> Reply | None:
        """The reply that asks for it."""
        return self.by.reply if self.by else None

    @property
    def turn(self) -> int | None:
        """Known once it is decided."""
        return self.reply.turn if self.reply else None

    def answer(self, text: str) -> None:
        """Give the model what came of it."""
        if self.by is not None:
            self.by.answer(text)

    @property
    def about(self) -> tuple[int | None, int | None, str, str]:
        """How each of its events begins."""
        return self.reply.id if self.reply else None, self.turn, self.id, self.asked.name


@dataclass(frozen=True, slots=True)
class ToolEnvironment:
    """What tools are given of the session that they run in."""

    session: Any = None
    data: Callable[[], Any] = lambda: None
    conversation: Callable[[], Sequence[Message]] = lambda: ()
    say: Callable[[str], None] = lambda text: None
    state: dict[str, Any] = field(default_factory=dict)


class Runner:
    """Runs tools: the engine's `ToolRunner`. Entered with `async with` before the first call, on the session's loop.

    Plain functions run in daemon threads, async ones in `place`: neither can keep a frame waiting.
    """

    def __init__(
        self,
        tools: Toolbox,
        trace: Trace,
        limits: LimitSettings,
        place: CoroutineExecutor,
        around: ToolEnvironment = ToolEnvironment(),
    ) -> None:
        self._tools = tools
        self._trace = trace
        self._limits = limits
        self._place = place
        self._around = around
        self._threads = DaemonThreads("tool")
        self._consent = Consent()
        self._group = asyncio.TaskGroup()
        self._closing = asyncio.Event()
        self._seen: dict[str, int] = {}
        # by tool, not by name: another one of that name has limits of its own
        self._slots: WeakKeyDictionary[Tool, asyncio.Semaphore] = WeakKeyDictionary()
        self._recent: WeakKeyDictionary[Tool, deque[float]] = WeakKeyDictionary()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._loop = asyncio.get_running_loop()
        self._end = self._group.create_task(self._closed())
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.close()
        self._threads.shutdown()
        await self._group.__aexit__(None, None, None)  # an error is the body's own: no group is made of it

    async def _closed(self) -> None:
        """Keeps the group open; its end cancels what still runs in the background."""
        await self._closing.wait()

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """What the model may choose from."""
        return self._tools.specs

    def close(self) -> None:
        """Nothing is waited for any more."""
        self._closing.set()

    async def run(self, invocation: ToolInvocation) -> None:
        """See `workbench.engine.reply.ToolRunner`."""
        call = ActiveCall(invocation.call, self._number(invocation.call.id), invocation, invocation.say)
        error = await self._attended(call, self._group.create_task(self._perform(call)))
        if error is not None:
            raise error

    async def perform(self, name: str, arguments: str) -> ActiveCall:
        """Call a tool for the developer."""
        call = ActiveCall(
            ToolCall("by hand", name, arguments), self._number("by hand"), None, self._around.say
        )
        await self._perform(call)
        return call

    # --- who waits for it --------------------------------------------------------------------------------------------

    async def _attended(self, call: ActiveCall, work: asyncio.Task[StageError | None]) -> StageError | None:
        """Wait for the work. An interruption cancels it, waits for it all the same, or leaves it in the background."""
        tool = self._tools.get(call.asked.name)
        try:
            await asyncio.wait([work])
            return work.result()
        except asyncio.CancelledError:
            interrupted = call.reply is not None and call.reply.was_cut and call.began_ms is not None
            manner = tool.on_interrupt if tool is not None and interrupted else "cancel"
            if manner == "finish":
                await self._finished(work)
            elif manner == "background":
                self._group.create_task(self._left(work))
            if manner != "background" and not work.done():
                work.cancel()
                await asyncio.wait([work])
            raise

    async def _finished(self, work: asyncio.Task[StageError | None]) -> None:
        """Wait for the work, unless the session ends."""
        end = self._group.create_task(self._closed())
        try:
            await asyncio.wait([work, end], return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.cancel()

    async def _left(self, work: asyncio.Task[StageError | None]) -> None:
        """Work in the background, until it or the session ends."""
        await self._finished(work)
        if not work.done():
            work.cancel()
        elif not work.cancelled() and (error := work.result()) is not None:
            self._trace.emit(Notice("error", "tools", error.reason, error.hint))

    # --- the call ----------------------------------------------------------------------------------------------------

    async def _perform(self, call: ActiveCall) -> StageError | None:
        """The whole of it: answers with what the model is to know. What it returns ends the turn."""
        asked = call.asked
        self._trace.emit(ToolCalled(*call.about, asked.arguments))
        try:
            text = await self._result(call)
        except Refusal as error:
            told = str(error)
            self._ended(call, "", error.status, plain(told))
            call.answer(f"Error: {told}" if error.status == "failed" else told)
        except StageError as error:
            self._ended(call, "", "failed", error.reason)
            return error
        except asyncio.CancelledError:
            decided = call.reply is None or call.reply.confirmed.is_set()
            self._ended(call, "", "cancelled" if decided else "discarded")
            raise
        else:
            shown = shortened(text, self._limits.tool_result_chars)
            self._ended(call, text, "done", shown=None if shown is text else self._limits.tool_result_chars)
            call.answer(shown)
        return None

    def _ended(
        self,
        call: ActiveCall,
        result: str,
        status: ToolStatus,
        error: str | None = None,
        shown: int | None = None,
    ) -> None:
        call.over = True
        call.cancelled.set()
        took_ms = 0.0 if call.began_ms is None else round(self._trace.now() - call.began_ms, 3)
        self._trace.emit(ToolReturned(*call.about, result, error, status, took_ms, shown))

    async def _result(self, call: ActiveCall) -> str:
        """What the tool gave, as text. Refusal for what the model should know instead."""
        tool = self._tools.get(call.asked.name)
        if tool is None:
            name = plain(call.asked.name, limit=60, one_line=True)
            raise Refusal(f"there is no tool called {name!r}; {self._tools.hint(call.asked.name)}")
        arguments = await self._parsed(tool, call)
        if call.reply is not None and not tool.idempotent:
            await call.reply.confirmed.wait()
        if tool.confirm and call.reply is not None:
            self._agreed(tool, call, arguments)
        self._admit(tool)
        result = await self._within(tool, lambda: self._tried(tool, call, arguments))
        if isinstance(result, Refusal):
            raise result
        return result

    async def _parsed(self, tool: Tool, call: ActiveCall) -> dict[str, Any]:
        """In a thread: types of strangers have code of their own that looks at a value."""

        async def parsed() -> dict[str, Any] | Refusal:
            try:
                return await self._threads.run(parse, call.asked.arguments, tool.parameters)
            except ArgumentsError as error:
                return Refusal(str(error))
            except Left as error:
                return Refusal(f"the arguments could not be checked: {redacted(str(error))}")

        found = await self._within(tool, parsed)
        if isinstance(found, Refusal):
            raise found
        return found

    async def _within(self, tool: Tool, make: Callable[[], Awaitable[T]]) -> T:
        """Under the deadline of the tool."""
        limit_ms = self._limits.tool_ms if tool.timeout_s is None else tool.timeout_s * 1000
        try:
            return await within(f"the tool {tool.name}", "tools", make, limit_ms)
        except DeadlineError as error:
            raise DeadlineError(
                error.reason, "raise its timeout_s, or look into what it waits for", stage="tools"
            ) from None

    def _agreed(self, tool: Tool, call: ActiveCall, arguments: dict[str, Any]) -> None:
        assert call.reply is not None
        refusal = self._consent.refusal(tool, arguments, call.turn or 0, call.reply.user_text)
        if refusal is not None:
            raise ConsentRefusal(refusal)

    def _admit(self, tool: Tool) -> None:
        """Refusal for a tool that is called too often."""
        most = tool.calls_per_minute
        if most is None:
            return
        now, recent = self._loop.time(), self._recent.setdefault(tool, deque())
        while recent and now - recent[0] >= 60 * max(1.0, 1 / most):
            recent.popleft()
        if len(recent) >= max(1, int(most)):
            wait_s = 60 * max(1.0, 1 / most) - (now - recent[0])
            raise Refusal(
                f"{tool.name} may be called {most:g} times a minute; try again in {wait_s:.0f} seconds"
            )
        recent.append(now)

    async def _tried(self, tool: Tool, call: ActiveCall, arguments: dict[str, Any]) -> str | Refusal:
        """Run it when there is room, and again where that is wanted."""
        async with self._slot(tool):
            while True:
                call.attempt += 1
                try:
                    return await self._once(tool, call, arguments)
                except ToolError as error:
                    told = str(error) or f"{tool.name} failed, and did not say why"
                    return Refusal(plain(redacted(told), limit=2000))
                except UnencodableError as error:
                    return Refusal(f"{tool.name} failed: {error}")
                except WorkbenchError as error:
                    reason = redacted(error.reason)
                except Left as error:
                    reason = redacted(str(error))
                except Exception as error:  # noqa: BLE001  # a stranger's code: whatever it raises, the model is told
                    reason = redacted(f"{type(error).__name__}: {error}")
                if call.attempt > tool.retries:
                    return Refusal(f"{tool.name} failed: {plain(reason, limit=500, one_line=True)}")
                await asyncio.sleep(BACKOFF_S * 2 ** (call.attempt - 1))

    def _slot(self, tool: Tool) -> asyncio.Semaphore:
        slot = self._slots.get(tool)
        if slot is None:
            slot = self._slots[tool] = asyncio.Semaphore(tool.concurrency or 1_000_000)
        return slot

    async def _once(self, tool: Tool, call: ActiveCall, arguments: dict[str, Any]) -> str:
        mock = self._tools.mocks.get(tool.name)
        if call.began_ms is None:
            call.began_ms = self._trace.now()
            if call.by is not None:
                call.by.began_ms = call.began_ms
        self._trace.emit(ToolStarted(*call.about, call.attempt, mock is not None))
        if mock is not None:
            return mock
        given = (self._context(tool, call),) if tool.takes_context else ()
        if tool.is_async:
            return await self._place.run(lambda: _awaited(tool, given, arguments))
        return await self._threads.run(partial(self._called, tool, call, given, arguments))

    def _called(self, tool: Tool, call: ActiveCall, given: tuple[Any, ...], arguments: dict[str, Any]) -> str:
        """In a thread. One that comes back when nobody waits any more is named."""
        try:
            return encoded(_at_once(tool.function(*given, **arguments)))
        finally:
            if call.over:
                late_s = (self._trace.now() - (call.began_ms or 0.0)) / 1000
                reason = (
                    f"the tool {tool.name} came back after {late_s:.1f} s, when nobody waited for it any more"
                )
                self._trace.emit(Notice("info", "tools", reason, "its result was dropped"))

    def _context(self, tool: Tool, call: ActiveCall) -> RunContext[Any]:
        around = self._around
        said = call.reply.user_text if call.reply else ""
        reply = call.reply

        def conversation() -> list[Message]:
            told = [*around.conversation()]
            new = reply is not None and not (
                told and told[-1].role == "user" and told[-1].text == reply.prompt_text
            )
            return [*told, Message("user", said)] if new and said else told

        def progressed(text: str, fraction: float | None) -> None:
            if not call.over:
                self._trace.emit(ToolProgressed(*call.about, text, fraction))

        def shown(picture: Picture) -> None:
            if call.by is not None and not call.over:
                call.by.pictures.append(picture)

        def said_now(text: str) -> None:
            if not call.over:
                self._loop.call_soon_threadsafe(call.say, text)

        return RunContext(
            tool=tool.name,
            call=call.id,
            turn=call.turn,
            said=said,
            session=around.session,
            data=around.data(),
            state=around.state,
            _conversation=conversation,
            _say=said_now,
            _progress=progressed,
            _show=shown,
            _cancelled=call.cancelled,
        )

    def _number(self, given: str) -> str:
        """An id of a call that no other call of the session has."""
        count = self._seen[given] = self._seen.get(given, 0) + 1
        id = given if count == 1 and given else f"{given}#{count}"
        return id if id == given or id not in self._seen else self._number(given)


async def _awaited(tool: Tool, given: tuple[Any, ...], arguments: dict[str, Any]) -> str:
    return encoded(await tool.function(*given, **arguments))


def _at_once(result: Any) -> Any:
    """A result that is there. UnencodableError for one that is still to be awaited."""
    if inspect.iscoroutine(result):
        result.close()
        raise UnencodableError("it gave back a coroutine, as if it were async: write it with `async def`")
    return result
