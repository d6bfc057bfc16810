"""One server, for as long as a session lasts: opened, called, found to be gone, opened again, left."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from workbench.model.clock import outside
from workbench.model.errors import UsageError
from workbench.model.events import Notice
from workbench.plugin.loading import OURS
from workbench.plugin.threads import DaemonThreads
from workbench.tools.context import RunContext, ToolError
from workbench.tools.mcp.server import McpServer
from workbench.tools.registry import Toolbox
from workbench.tools.tool import Tool
from workbench.trace.trace import Trace

if TYPE_CHECKING:
    from mcp import Client

    from workbench.tools.mcp.wire import Watch

FIRST_S, LONGEST_S = 0.5, 60.0
"""Wait before a server is opened again: doubled each time, up to the second."""
STEADY_S = 30.0
"""A server that lasted so long is opened again as soon as the first time."""
PATIENCE_S = 5.0
"""A call waits so long for a server that is being opened again."""
PAGES, RELIST_S = 50, 0.5
CLOSED = ("Connection closed", "SSE stream")
"""How the SDK begins to say that an answer will not come."""
UNDONE_S = 2.0
"""A server that did not start in time has so long to be ended again, s."""
LEAVE_S = 4.0
"""A server has this long to be left in, s; then its program is killed."""


@dataclass(frozen=True, slots=True)
class ConnectionLoss:
    """Why a connection ended. `unsent`: what was asked last never reached the server."""

    reason: str
    unsent: bool = False
    final: bool = False
    """Trying again is of no use."""


class ServerConnection:
    """Lives in a thread of its own, so that whatever the server sends keeps no frame waiting."""

    def __init__(self, server: McpServer, tools: Toolbox, trace: Trace) -> None:
        self.server = server
        self._tools = tools
        self._trace = trace
        self._threads = DaemonThreads(server.who)
        self._settled: Future[None] = Future()
        self._over: Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._left = threading.Event()
        self._offered: list[Tool] = []
        self._known: tuple[str, ...] | None = None
        self._failed_before = False
        self._told: set[str] = set()
        self._pid: int | None = None

    # --- on the session's loop ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open it; returns when its tools are known, or when it is known that they cannot be had yet."""
        self._over = self._threads.submit(asyncio.run, self._live())
        with outside():
            await asyncio.wait([asyncio.wrap_future(self._settled)], timeout=self.server.start_s + UNDONE_S)
        if not self._settled.done():
            self._tell(
                "error", "does not come to an end with starting", "the session goes on without its tools"
            )

    async def close(self) -> None:
        """Leave it, and take its tools away. Its program is gone then."""
        self._left.set()
        if self._over is not None:
            with suppress(RuntimeError):  # its loop has ended by itself
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._leave)
            with outside():
                await asyncio.wait([asyncio.wrap_future(self._over)], timeout=LEAVE_S)
            if not self._over.done() and self._pid is not None:
                with suppress(ProcessLookupError):
                    os.killpg(self._pid, signal.SIGKILL)
        self._threads.shutdown()
        self._tools.exchange(self._offered, [], f"{self.server.who} was left: its tools are")
        self._offered = []

    async def call(self, name: str, arguments: dict[str, Any], context: RunContext[Any]) -> str:
        """Call a tool, from any loop. Raises ToolError with what the model is to know."""
        loop = self._loop
        if loop is None or loop.is_closed() or self._left.is_set():
            raise ToolError(f"{self.server.who} is not there any more")
        with outside():
            return await asyncio.wrap_future(
                asyncio.run_coroutine_threadsafe(self._call(name, arguments, context), loop)
            )

    # --- in its thread: the life of the connection -------------------------------------------------------------------

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._happened, self._wanted = asyncio.Event(), asyncio.Event()
        self._up, self._down = asyncio.Event(), asyncio.Event()
        self._changed = False
        self._client: Client | None = None
        self._lost = ConnectionLoss("it was not opened yet")
        delay_s = FIRST_S
        try:
            while not self._left.is_set():
                began = self._loop.time()
                self._lost = await self._once()
                self._down.set()
                if self._left.is_set():
                    return
                self._mind(self._lost)
                if self._lost.final:
                    return
                steady = self._loop.time() - began > STEADY_S
                delay_s = FIRST_S if steady else delay_s
                await self._wait(delay_s)
                delay_s = min(LONGEST_S, 2 * delay_s)
        finally:
            self._settle()

    async def _wait(self, delay_s: float) -> None:
        """Until it is time to try again, or until somebody needs it."""
        self._wanted.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._wanted.wait()
        if not self._left.is_set():
            await asyncio.sleep(min(FIRST_S, delay_s) / 2)

    async def _once(self) -> ConnectionLoss:
        """Open it, attend to it until it is gone or left, and say why it ended."""
        import anyio
        from mcp import Client  # 0.5 s
        from mcp.types import Implementation

        from workbench.tools.mcp.wire import Watch, wire

        _hush()
        watch = Watch(
            lambda reason, hint: self._tell("warning", reason, hint), self._happened.set, self._told
        )
        self._down.clear()
        self._happened.clear()
        error: BaseException | None = None
        opened = False
        with anyio.CancelScope(deadline=anyio.current_time() + self.server.start_s) as self._scope:
            try:
                async with Client(
                    wire(self.server, watch),
                    message_handler=self._heard,
                    client_info=Implementation(name="workbench", version=metadata.version(OURS)),
                    cache=None,
                ) as client:
                    self._pid = watch.pid
                    await self._offer(client)
                    self._scope.deadline = float("inf")
                    opened = True
                    await self._attend(client)
            except Exception as raised:  # noqa: BLE001  # a stranger's program: whatever comes of it is a reason
                error = raised
        return self._reason(watch, error, opened=opened)

    async def _attend(self, client: Client) -> None:
        """Until the connection is lost or left."""
        import anyio

        self._client = client
        self._up.set()
        if self._failed_before:
            self._tell("info", "is there again", "")
            self._failed_before = False
        self._settle()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._subscribe, client)
                while True:
                    await self._happened.wait()
                    self._happened.clear()
                    if self._left.is_set() or not self._changed:
                        tasks.cancel_scope.cancel()
                        return
                    self._changed = False
                    await self._offer(client)
                    await asyncio.sleep(RELIST_S)  # a server that changes them all the time
        finally:
            self._client = None
            self._up.clear()

    async def _subscribe(self, client: Client) -> None:
        """Ask a server of the newer protocol to say when its tools change; others do so by themselves."""
        from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
        from mcp.shared.exceptions import MCPError

        tools = client.server_capabilities.tools
        if not (tools and tools.list_changed):
            return
        try:
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self._change()
        except (ListenNotSupportedError, SubscriptionLost, MCPError):
            return

    async def _heard(self, message: Any) -> None:
        from mcp.types import ToolListChangedNotification

        if isinstance(message, ToolListChangedNotification):
            self._change()

    def _change(self) -> None:
        self._changed = True
        self._happened.set()

    def _leave(self) -> None:
        self._left.set()
        self._wanted.set()
        if self._client is None:
            scope = getattr(self, "_scope", None)
            if scope is not None:
                scope.cancel()
        else:
            self._scope.deadline = asyncio.get_running_loop().time() + LEAVE_S / 2
            self._happened.set()

    def _settle(self) -> None:
        if not self._settled.done():
            self._settled.set_result(None)

    # --- its tools ---------------------------------------------------------------------------------------------------

    async def _offer(self, client: Client) -> None:
        """Ask for its tools, and put them in the place of those that it had."""
        from workbench.tools.mcp.offer import offered

        listing: list[Any] = []
        cursor: str | None = None
        for _ in range(PAGES):
            page = await client.list_tools(cursor=cursor)
            listing += page.tools
            cursor = page.next_cursor
            if not cursor:
                break
        known = tuple(one.model_dump_json() for one in listing)
        if known == self._known:
            return
        new = offered(
            self.server, listing, self.call, lambda reason, hint: self._tell("warning", reason, hint)
        )
        self._put(self._without_taken(new), "offers" if self._known is None else "now offers")
        self._known = known

    def _without_taken(self, new: Sequence[Tool]) -> list[Tool]:
        """Those whose names nobody else has."""
        free = []
        for tool in new:
            other = self._tools.get(tool.name)
            if other is None or any(other is one for one in self._offered):
                free.append(tool)
            else:
                reason = f"offers {tool.name}, as {other.origin or 'somebody else'} does: its own is left out"
                self._tell("warning", reason, "give it a `prefix`")
        return free

    def _put(self, new: list[Tool], what: str) -> None:
        if self._left.is_set():
            return
        try:
            self._tools.exchange(self._offered, new, f"{self.server.who} {what}")
        except UsageError as error:
            self._tell("error", error.reason, error.hint)
        else:
            self._offered = new

    # --- a call ------------------------------------------------------------------------------------------------------

    async def _call(self, name: str, arguments: dict[str, Any], context: RunContext[Any]) -> str:
        from mcp.shared.exceptions import MCPError
        from mcp.types import CONNECTION_CLOSED, INVALID_REQUEST
        from pydantic import ValidationError

        who = self.server.who
        for last in (False, True):
            client = await self._there()
            try:
                return await _asked(client, name, arguments, context)
            except MCPError as error:
                code, told = error.error.code, self.server.clean(error.error.message)
            except ValidationError:
                raise ToolError(f"{who} answered with what is no result of a tool") from None
            expired = code == INVALID_REQUEST and told == "Session terminated"
            closed = code == CONNECTION_CLOSED and told.startswith(
                CLOSED
            )  # servers use the code for their own errors
            if not closed and not expired:
                raise ToolError(f"{who} refused: {told}")
            lost = await self._gone()
            if last or not (lost.unsent or expired):
                raise ToolError(
                    f"{who} was lost in the middle of the call ({lost.reason}); whether it was done is not known"
                )
        raise AssertionError

    async def _there(self) -> Client:
        """The client, waited for while it is opened again."""
        self._wanted.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._up.wait()
        if self._client is None:
            raise ToolError(f"{self.server.who} is not there: {self._lost.reason}. It is tried again; say so")
        return self._client

    async def _gone(self) -> ConnectionLoss:
        """What is known of the end of a connection that answers no more."""
        self._changed = False
        self._happened.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._down.wait()
        return self._lost

    # --- words -------------------------------------------------------------------------------------------------------

    def _reason(self, watch: Watch, error: BaseException | None, *, opened: bool) -> ConnectionLoss:
        import httpx2
        from pydantic import ValidationError

        cause = next(_leaves(error), None) if error else None
        clean = self.server.clean
        tail = clean(_last_line(watch.tail))
        said = f'; it said: "{tail}"' if tail else ""
        if watch.why:
            return ConnectionLoss(f"{watch.why}{said}")
        if (
            isinstance(cause, FileNotFoundError | PermissionError | NotADirectoryError)
            and self.server.command
        ):
            what = self.server.cwd if cause.filename == self.server.cwd else self.server.command[0]
            return ConnectionLoss(f"{clean(str(what))}: {cause.strerror}", final=True)
        if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
            return ConnectionLoss(f"nobody answers at {_shown_url(self.server.url)}", unsent=True)
        if self._scope.cancelled_caught and not opened:
            return ConnectionLoss(f"it did not answer within {self.server.start_s:g} s{said}")
        if isinstance(cause, ValidationError):
            first = cause.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            return ConnectionLoss(
                f"it answered with what is no {cause.title}: {clean(where)}: {clean(first['msg'])}"
            )
        if cause is not None and not (self.server.command and "Connection closed" in str(cause)):
            return ConnectionLoss(f"{type(cause).__name__}: {clean(str(cause))}{said}")
        return ConnectionLoss(
            f"{'its program has ended' if self.server.command else 'the connection was closed'}{said}"
        )

    def _mind(self, lost: ConnectionLoss) -> None:
        """Tell the user, once until it is there again."""
        started = self._known is not None
        if not self._failed_before:
            hint = "the session goes on without its tools" if not started else "it is opened again"
            if not lost.final and not started:
                hint += ", and tries again"
            what = f"is lost: {lost.reason}" if started else f"cannot be used: {lost.reason}"
            self._tell("warning" if started else "error", what, hint)
        self._failed_before = True
        self._settle()

    def _tell(self, level: Any, reason: str, hint: str) -> None:
        clean = self.server.clean
        self._trace.emit(Notice(level, "mcp", f"{self.server.who} {clean(reason)}", clean(hint)))


async def _asked(client: Client, name: str, arguments: dict[str, Any], context: RunContext[Any]) -> str:
    """The answer of a tool. Not by `client.call_tool`: that believes the server's schema of the answer, too."""
    from mcp.types import CallToolRequest, CallToolRequestParams, CallToolResult, InputRequiredResult
    from pydantic import TypeAdapter

    from workbench.tools.mcp.offer import text_of

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        context.progress(message or "", progress / total if total else None)

    result = await client.session.send_request(
        CallToolRequest(params=CallToolRequestParams(name=name, arguments=arguments)),
        TypeAdapter[Any](CallToolResult | InputRequiredResult),
        progress_callback=progressed,
    )
    if isinstance(result, InputRequiredResult):
        raise ToolError("it wants to ask the user something by itself, which cannot be done here")
    return text_of(result)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _last_line(tail: bytes) -> str:
    lines = [line for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _shown_url(url: str) -> str:
    """Without login and query."""
    return url.partition("?")[0].rpartition("@")[2].removeprefix("http://").removeprefix("https://")


def _hush() -> None:
    """What the SDK logs would go to standard error, over the screen; what matters of it is said in the trace."""
    for name in ("mcp", "client", "httpx2"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
