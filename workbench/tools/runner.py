"""The engine's `ToolRunner`: runs the calls that a reply asks for, and decides what an interruption does to them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

from workbench.engine.reply import ToolInvocation
from workbench.engine.settings import LimitSettings
from workbench.model.conversation import ToolCall, ToolSpec
from workbench.model.errors import StageError
from workbench.model.events import Notice, ToolCalled, ToolReturned, ToolStatus
from workbench.model.text import plain
from workbench.tools.executor import CoroutineExecutor
from workbench.tools.invocation import ActiveCall, Invoker, Refusal, ToolEnvironment
from workbench.tools.registry import Toolbox
from workbench.tools.result import shortened
from workbench.trace.trace import Trace


class Runner:
    """Made on the session's loop, and entered with `async with` before the first call; its end cancels what still
    runs."""

    def __init__(
        self,
        tools: Toolbox,
        trace: Trace,
        limits: LimitSettings,
        executor: CoroutineExecutor,
        environment: ToolEnvironment,
    ) -> None:
        self._tools = tools
        self._trace = trace
        self._limits = limits
        self._environment = environment
        self._invoker = Invoker(tools, trace, limits, executor, environment)
        self._group = asyncio.TaskGroup()
        self._closing = asyncio.Event()
        self._ids: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._group.create_task(self._until_closed())  # keeps the group open
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.close()
        self._invoker.close()
        await self._group.__aexit__(None, None, None)  # an error is the body's own: no group is made of it

    async def _until_closed(self) -> None:
        await self._closing.wait()

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """What the model may choose from."""
        return self._tools.specs

    def close(self) -> None:
        """Wait for nothing any more."""
        self._closing.set()

    async def run(self, invocation: ToolInvocation) -> None:
        """See `workbench.engine.reply.ToolRunner`."""
        call = ActiveCall(invocation.call, self._unique_id(invocation.call.id), invocation, invocation.say)
        error = await self._attend(call, self._group.create_task(self._perform(call)))
        if error is not None:
            raise error

    async def perform(self, name: str, arguments: str) -> ToolReturned:
        """Call a tool for the developer, arguments as JSON, and return its end. Raises nothing that the tool raised."""
        request = ToolCall("by hand", name, arguments)
        call = ActiveCall(request, self._unique_id("by hand"), None, self._environment.say)
        await self._perform(call)
        assert call.end is not None
        return call.end

    async def _attend(self, call: ActiveCall, work: asyncio.Task[StageError | None]) -> StageError | None:
        """Wait for the work. An interruption cancels it, waits for it all the same, or leaves it in the background."""
        tool = self._tools.get(call.request.name)
        try:
            await asyncio.wait([work])
            return work.result()
        except asyncio.CancelledError:
            interrupted = call.reply is not None and call.reply.was_cut and call.began_ms is not None
            policy = tool.on_interrupt if tool is not None and interrupted else "cancel"
            if policy == "background":
                self._group.create_task(self._in_background(work))
                raise
            if policy == "finish":
                await self._wait_for(work)
            if not work.done():
                work.cancel()
                await asyncio.wait([work])
            raise

    async def _wait_for(self, work: asyncio.Task[StageError | None]) -> None:
        """Wait for the work, unless the session ends."""
        end = self._group.create_task(self._until_closed())
        try:
            await asyncio.wait([work, end], return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.cancel()

    async def _in_background(self, work: asyncio.Task[StageError | None]) -> None:
        await self._wait_for(work)
        if not work.done():
            work.cancel()
        elif not work.cancelled() and (error := work.result()) is not None:
            self._trace.emit(Notice("error", "tools", error.reason, error.hint))

    async def _perform(self, call: ActiveCall) -> StageError | None:
        """Invoke the tool and give the model what it is to know. The error that is returned ends the turn."""
        self._trace.emit(ToolCalled(*call.event_fields, call.request.arguments))
        try:
            text = await self._environment.boundary.call_tool(call, partial(self._invoker.invoke, call))
        except Refusal as refusal:
            self._end(call, "", refusal.status, plain(refusal.reason))
            self._answer(call, f"Error: {refusal.reason}" if refusal.status == "failed" else refusal.reason)
        except StageError as error:
            self._end(call, "", "failed", error.reason)
            return error
        except asyncio.CancelledError:
            decided = call.reply is None or call.reply.committed.is_set()
            self._end(call, "", "cancelled" if decided else "discarded")
            raise
        else:
            most = self._limits.tool_result_chars
            shown = shortened(text, most)
            self._end(call, text, "done", shown=None if shown is text else most)
            self._answer(call, shown)
        return None

    def _answer(self, call: ActiveCall, text: str) -> None:
        if call.origin is not None:
            call.origin.answer(text)

    def _end(
        self,
        call: ActiveCall,
        result: str,
        status: ToolStatus,
        error: str | None = None,
        shown: int | None = None,
    ) -> None:
        took_ms = 0.0 if call.began_ms is None else round(self._trace.now() - call.began_ms, 3)
        call.end = ToolReturned(*call.event_fields, result, error, status, took_ms, shown)
        call.cancelled.set()
        self._trace.emit(call.end)

    def _unique_id(self, id: str) -> str:
        """Return an id of a call that no other call of the session has."""
        count = self._ids[id] = self._ids.get(id, 0) + 1
        unique = id if count == 1 and id else f"{id}#{count}"
        return unique if unique == id or unique not in self._ids else self._unique_id(id)
