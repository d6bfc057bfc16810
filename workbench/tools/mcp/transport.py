"""The two transports to an MCP server, with a limit to everything that it may do to us: how much, how often, how long.

The SDK's own stdio transport is not used: `docs/decisions/0070-mcp-stdio-transport.md` has the figures.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import anyio
import httpx2
from anyio import BrokenResourceError, ClosedResourceError
from mcp.client.stdio import get_default_environment
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification, JSONRPCRequest, JSONRPCResponse, jsonrpc_message_adapter

from workbench.tools.mcp.repair import repair_result
from workbench.tools.mcp.server import McpServer

LARGEST = 4_000_000
"""Bytes of one message: Python reads that much JSON in 30 ms, in which nobody else runs."""
TOO_LARGE = f"it sent more than {LARGEST // 1_000_000} MB at once"
BYTES_PER_S = 20_000_000
MESSAGES_PER_S = 200
"""Notifications in a second; more are left out. Twice as many messages of other kinds are read slowly."""
CHUNK = 65_536
STDERR_TAIL = 2000
"""Bytes of standard error that are kept."""
GRACE_S = 0.5
"""A program has so long to end after its standard input was closed, and again after SIGTERM."""
CONNECT_S, READ_S = 5.0, 300.0

Item = SessionMessage | Exception
Transport = AbstractAsyncContextManager[Any]


class ConnectionMonitor:
    """Watches what comes over one connection. `notify` is called for each kind of thing that the user should know,
    unless it is in `known`; `lost` when nothing more comes."""

    def __init__(self, notify: Callable[[str, str], None], lost: Callable[[], None], known: set[str]) -> None:
        self.lost = lost
        self.reason = ""
        """Why the connection ended, if it was seen."""
        self.pid: int | None = None
        self.stderr = b""
        self._notify = notify
        self._known = known
        self._since = 0.0
        self._count = 0

    def notify_once(self, kind: str, reason: str, hint: str = "") -> None:
        """Tell the user, the first time."""
        if kind not in self._known:
            self._known.add(kind)
            self._notify(reason, hint)

    async def pace(self, size: int = 0) -> bool:
        """Wait where too much comes, and decide whether it is no more than what a server may notify of."""
        now = asyncio.get_running_loop().time()
        if now - self._since >= 1:
            self._since, self._count = now, 0
        self._count += 1
        wait_s = size / BYTES_PER_S if size > CHUNK else 0.0
        if self._count > 2 * MESSAGES_PER_S and self._count % 20 == 0:
            wait_s += 0.01
        if wait_s:
            await asyncio.sleep(wait_s)
        return self._count <= MESSAGES_PER_S

    async def forward(self, items: AsyncIterable[Item], sink: Any) -> None:
        """Hand on the messages that are no flood, until they end or nobody takes them."""
        async with sink:
            async for item in items:
                if isinstance(item, Exception):
                    self.notify_once("garbage", f"sent what is no message: {item!s:.100}", "it was left out")
                elif await self._passes(item.message):
                    try:
                        await sink.send(item)
                    except (ClosedResourceError, BrokenResourceError):
                        break
        self.lost()

    async def _passes(self, message: Any) -> bool:
        below_limit = await self.pace()
        if isinstance(message, JSONRPCResponse):
            repair_result(
                message.result, lambda reason: self.notify_once("listing", reason, "it was left out")
            )
        if isinstance(message, JSONRPCNotification) and not below_limit:
            reason = f"sends more than {MESSAGES_PER_S} notifications a second"
            self.notify_once("flood", reason, "the rest is left out")
            return False
        if isinstance(message, JSONRPCRequest) and message.method != "ping":
            self.notify_once(message.method, f"asked for {message.method:.60}, which was declined")
        return True


def transport_to(server: McpServer, monitor: ConnectionMonitor) -> Transport:
    """Return the transport to a server. Entering it raises OSError where its program cannot be started."""
    return _http(server, monitor) if server.url else _stdio(server, monitor)


# --- HTTP ------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _http(server: McpServer, monitor: ConnectionMonitor) -> AsyncIterator[Any]:
    timeout = httpx2.Timeout(CONNECT_S, read=READ_S)
    headers = {"Accept-Encoding": "identity", **server.headers}
    hooks = {"response": [_limit_body]}
    into, read = anyio.create_memory_object_stream[Item](0)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout, event_hooks=hooks) as client,
        streamable_http_client(server.url, http_client=client, max_sse_event_size=LARGEST) as (source, write),
        anyio.create_task_group() as tasks,
        read,
    ):
        tasks.start_soon(monitor.forward, source, into)
        yield read, write
        tasks.cancel_scope.cancel()


async def _limit_body(response: httpx2.Response) -> None:
    """A body of JSON has an end; compressed, it could be anything."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("it compresses, though it was asked not to", request=response.request)
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        response.stream = _LimitedBody(response.stream)


class _LimitedBody(httpx2.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > LARGEST:
                raise httpx2.StreamError(TOO_LARGE)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


# --- standard input and output ---------------------------------------------------------------------------------------


@asynccontextmanager
async def _stdio(server: McpServer, monitor: ConnectionMonitor) -> AsyncIterator[Any]:
    process = await asyncio.create_subprocess_exec(
        *server.command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**get_default_environment(), **server.env},
        cwd=server.cwd,
        start_new_session=True,  # Ctrl-C is ours, and what it starts can be ended with it
        limit=LARGEST,
    )
    monitor.pid = process.pid
    into, read = anyio.create_memory_object_stream[Item](0)
    write, out = anyio.create_memory_object_stream[SessionMessage](0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(monitor.forward, _messages(process, monitor), into)
        tasks.start_soon(_write, process, out)
        tasks.start_soon(_read_stderr, process, monitor)
        try:
            yield read, write
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process)
                for stream in (into, read, write, out):
                    await stream.aclose()
            tasks.cancel_scope.cancel()


async def _messages(process: Process, monitor: ConnectionMonitor) -> AsyncIterator[Item]:
    """Read lines until the program ends, or writes one that is too long."""
    assert process.stdout
    while True:
        try:
            line = await process.stdout.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return
        except asyncio.LimitOverrunError:
            monitor.reason = TOO_LARGE
            return
        except OSError as error:
            monitor.reason = str(error.strerror)
            return
        message = _message(line, monitor)
        if message is None or len(line) > CHUNK:
            await monitor.pace(len(line))
        if message is not None:
            yield message


def _message(line: bytes, monitor: ConnectionMonitor) -> SessionMessage | None:
    if not line.strip():
        return None
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        text = line[:200].decode("utf-8", "replace").strip()
        reason = f'writes on its standard output what is no message: "{text:.80}"'
        hint = "such lines are left out; what a server has to say otherwise belongs on standard error"
        monitor.notify_once("garbage", reason, hint)
        return None


async def _write(process: Process, out: Any) -> None:
    assert process.stdin
    async with out:
        async for item in out:
            line = item.message.model_dump_json(by_alias=True, exclude_unset=True) + "\n"
            try:
                process.stdin.write(line.encode("utf-8", "replace"))
                await process.stdin.drain()
            except (OSError, RuntimeError):  # it reads no more: its end is seen on its standard output
                return


async def _read_stderr(process: Process, monitor: ConnectionMonitor) -> None:
    assert process.stderr
    while chunk := await process.stderr.read(CHUNK):
        monitor.stderr = (monitor.stderr + chunk)[-STDERR_TAIL:]


async def _end(process: Process) -> None:
    """End the program and what it started. `process.wait` would also wait for heirs of its pipes."""
    assert process.stdin
    with suppress(OSError):
        process.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL, None):
        if await _has_ended(process) or number is None:
            break
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
    transport = getattr(process, "_transport", None)
    if transport is not None:  # a grandchild may keep the pipes open
        transport.close()


async def _has_ended(process: Process) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GRACE_S
    while process.returncode is None and loop.time() < deadline:  # noqa: ASYNC110  # it tells nobody without its pipes
        await asyncio.sleep(0.005)
    return process.returncode is not None
