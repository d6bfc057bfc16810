"""The connection to one MCP server for as long as a session lasts: opened, used, opened again when lost, closed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any

from workbench.model.clock import outside
from workbench.model.errors import StageError, foreign
from workbench.model.events import Notice
from workbench.plugin.loading import OURS
from workbench.plugin.threads import DaemonThreads
from workbench.tools.context import RunContext, ToolError
from workbench.tools.mcp.listing import ServerTools
from workbench.tools.mcp.loss import ConnectionLoss, loss_of
from workbench.tools.mcp.server import McpServer
from workbench.tools.registry import Toolbox
from workbench.trace.trace import Trace

if TYPE_CHECKING:
    from mcp import Client

FIRST_S, LONGEST_S = 0.5, 60.0
"""Wait before a server is opened again: doubled each time, up to the second."""
STEADY_S = 30.0
"""A server that lasted so long is opened again as soon as the first time."""
PATIENCE_S = 5.0
"""A call waits so long for a server that is being opened again."""
RELIST_S = 0.5
CLOSED = ("Connection closed", "SSE stream")
"""How the SDK begins to say that an answer will not come."""
UNDONE_S = 2.0
"""A server that did not start in time has so long to be ended again, s."""
LEAVE_S = 4.0
"""A connection has this long to be closed, s; then the server's program is killed."""


class ServerConnection:
    """Lives in a thread of its own, so that whatever the server sends keeps no frame waiting."""

    def __init__(self, server: McpServer, tools: Toolbox, trace: Trace) -> None:
        self.server = server
        self._trace = trace
        self._tools = ServerTools(server, tools, self.call, self._notify)
        self._threads = DaemonThreads(server.who)
        self._settled: Future[None] = Future()
        """Its tools are known, or it is known that they cannot be had yet."""
        self._over: Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = threading.Event()
        self._failing = False
        self._known: set[str] = set()
        self._pid: int | None = None

    # --- on the session's loop ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open it; returns when its tools are known, or when it is known that they cannot be had yet."""
        self._over = self._threads.submit(asyncio.run, self._live())
        with outside():
            await asyncio.wait([asyncio.wrap_future(self._settled)], timeout=self.server.start_s + UNDONE_S)
        if not self._settled.done():
            reason = "does not come to an end with starting"
            self._notify("error", reason, "the session goes on without its tools")

    async def close(self) -> None:
        """Close it, and take its tools away. Its program is gone then."""
        self._closing.set()
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
        self._tools.withdraw()

    async def call(self, name: str, arguments: dict[str, Any], context: RunContext[Any]) -> str:
        """Call a tool, from any loop. Raises ToolError with what the model is to know."""
        loop = self._loop
        if loop is None or loop.is_closed() or self._closing.is_set():
            raise ToolError(f"{self.server.who} is not there any more")
        with outside():
            call = self._call(name, arguments, context)
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, loop))

    # --- in its thread: the life of the connection -------------------------------------------------------------------

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event, self._needed = asyncio.Event(), asyncio.Event()
        self._up, self._down = asyncio.Event(), asyncio.Event()
        self._tools_changed = False
        self._client: Client | None = None
        self._loss = ConnectionLoss("it was not opened yet")
        delay_s = FIRST_S
        try:
            while not self._closing.is_set():
                began = self._loop.time()
                self._loss = await self._connect()
                self._down.set()
                if self._closing.is_set():
                    return
                self._report(self._loss)
                if self._loss.final:
                    return
                if self._loop.time() - began > STEADY_S:
                    delay_s = FIRST_S
                await self._wait(delay_s)
                delay_s = min(LONGEST_S, 2 * delay_s)
        finally:
            self._settle()

    async def _wait(self, delay_s: float) -> None:
        """Wait until it is time to try again, or until somebody needs it."""
        self._needed.clear()
        await _wait_for(self._needed.wait(), delay_s)
        if not self._closing.is_set():
            await asyncio.sleep(min(FIRST_S, delay_s) / 2)

    async def _connect(self) -> ConnectionLoss:
        """Open it, attend to it until it is lost or closed, and return why it ended."""
        import anyio
        from mcp import Client  # 0.5 s
        from mcp.types import Implementation

        from workbench.tools.mcp.transport import ConnectionMonitor, transport_to

        _silence_sdk()
        monitor = ConnectionMonitor(
            lambda *words: self._notify("warning", *words), self._event.set, self._known
        )
        self._down.clear()
        self._event.clear()
        error: BaseException | None = None
        opened = False
        with anyio.CancelScope(deadline=anyio.current_time() + self.server.start_s) as self._scope:
            try:
                with foreign(self.server.who, "tools"):
                    async with Client(
                        transport_to(self.server, monitor),
                        message_handler=self._on_message,
                        client_info=Implementation(name="workbench", version=metadata.version(OURS)),
                        cache=None,
                    ) as client:
                        self._pid = monitor.pid
                        await self._tools.refresh(client)
                        self._scope.deadline = float("inf")
                        opened = True
                        async with self._available(client):
                            await self._attend(client)
            except StageError as raised:
                error = raised.__cause__ or raised
        late = self._scope.cancelled_caught and not opened
        return loss_of(self.server, monitor.reason, monitor.stderr, error, late=late)

    @asynccontextmanager
    async def _available(self, client: Client) -> AsyncIterator[None]:
        """Calls use this client meanwhile."""
        self._client = client
        self._up.set()
        if self._failing:
            self._notify("info", "is there again", "")
            self._failing = False
        self._settle()
        try:
            yield
        finally:
            self._client = None
            self._up.clear()

    async def _attend(self, client: Client) -> None:
        """Ask for its tools again when they change, until the connection is lost or closed."""
        import anyio

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._subscribe, client)
            while True:
                await self._event.wait()
                self._event.clear()
                if self._closing.is_set() or not self._tools_changed:
                    break
                self._tools_changed = False
                await self._tools.refresh(client)
                await asyncio.sleep(RELIST_S)  # a server that changes them all the time
            tasks.cancel_scope.cancel()

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
                    self._on_change()
        except (ListenNotSupportedError, SubscriptionLost, MCPError):
            return

    async def _on_message(self, message: Any) -> None:
        from mcp.types import ToolListChangedNotification

        if isinstance(message, ToolListChangedNotification):
            self._on_change()

    def _on_change(self) -> None:
        self._tools_changed = True
        self._event.set()

    def _leave(self) -> None:
        self._needed.set()
        if self._client is not None:
            self._scope.deadline = asyncio.get_running_loop().time() + LEAVE_S / 2
            self._event.set()
        elif (scope := getattr(self, "_scope", None)) is not None:
            scope.cancel()

    def _settle(self) -> None:
        if not self._settled.done():
            self._settled.set_result(None)

    # --- a call ------------------------------------------------------------------------------------------------------

    async def _call(self, name: str, arguments: dict[str, Any], context: RunContext[Any]) -> str:
        from mcp.shared.exceptions import MCPError
        from mcp.types import CONNECTION_CLOSED, INVALID_REQUEST
        from pydantic import ValidationError

        who = self.server.who
        for last in (False, True):
            client = await self._ready_client()
            try:
                return await _request(client, name, arguments, context)
            except MCPError as error:
                code, message = error.error.code, self.server.clean(error.error.message)
            except ValidationError:
                raise ToolError(f"{who} answered with what is no result of a tool") from None
            expired = code == INVALID_REQUEST and message == "Session terminated"
            # servers use the code for their own errors
            closed = code == CONNECTION_CLOSED and message.startswith(CLOSED)
            if not closed and not expired:
                raise ToolError(f"{who} refused: {message}")
            loss = await self._lost()
            if last or not (loss.unsent or expired):
                lost = f"was lost in the middle of the call ({loss.reason})"
                raise ToolError(f"{who} {lost}; whether it was done is not known")
        raise AssertionError

    async def _ready_client(self) -> Client:
        """Return the client, after a wait while it is opened again."""
        self._needed.set()
        await _wait_for(self._up.wait(), PATIENCE_S)
        if self._client is None:
            raise ToolError(f"{self.server.who} is not there: {self._loss.reason}. It is tried again; say so")
        return self._client

    async def _lost(self) -> ConnectionLoss:
        """Return why a connection that answers no more has ended."""
        self._tools_changed = False
        self._event.set()
        await _wait_for(self._down.wait(), PATIENCE_S)
        return self._loss

    # --- notices -----------------------------------------------------------------------------------------------------

    def _report(self, loss: ConnectionLoss) -> None:
        """Tell the user, once until it is there again."""
        if not self._failing and self._tools.listed:
            self._notify("warning", f"is lost: {loss.reason}", "it is opened again")
        elif not self._failing:
            hint = f"the session goes on without its tools{'' if loss.final else ', and tries again'}"
            self._notify("error", f"cannot be used: {loss.reason}", hint)
        self._failing = True
        self._settle()

    def _notify(self, level: Any, reason: str, hint: str) -> None:
        clean = self.server.clean
        self._trace.emit(Notice(level, "mcp", f"{self.server.who} {clean(reason)}", clean(hint)))


async def _wait_for(work: Coroutine[Any, Any, Any], timeout_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(work, timeout_s)


async def _request(client: Client, name: str, arguments: dict[str, Any], context: RunContext[Any]) -> str:
    """Return the answer of a tool. Not by `client.call_tool`: that believes the server's schema of the answer, too."""
    from mcp.types import CallToolRequest, CallToolRequestParams, CallToolResult, InputRequiredResult
    from pydantic import TypeAdapter

    from workbench.tools.mcp.content import text_of

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        context.progress(message or "", progress / total if total else None)

    result = await client.session.send_request(
        CallToolRequest(params=CallToolRequestParams(name=name, arguments=arguments)),
        TypeAdapter[Any](CallToolResult | InputRequiredResult),
        progress_callback=progress,
    )
    if isinstance(result, InputRequiredResult):
        raise ToolError("it wants to ask the user something by itself, which cannot be done here")
    return text_of(result)


def _silence_sdk() -> None:
    """What the SDK logs would go to standard error, over the screen; what matters of it is said in the trace."""
    for name in ("mcp", "client", "httpx2"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
