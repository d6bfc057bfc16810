"""The two ways to a server, with a limit to everything that it may do to us: how much, how often, how long.

The SDK's own stdio transport reads lines of any length, hands errors of the program to our terminal, and takes 4 s to
end a program that does not go by itself; so there is one of ours.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import anyio
import httpx2
from mcp.client.stdio import get_default_environment
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification, JSONRPCRequest, jsonrpc_message_adapter

from workbench.tools.mcp.server import McpServer

LARGEST = 4_000_000
"""Bytes of one message: Python reads that much JSON in 30 ms, in which nobody else runs."""
BYTES_PER_S = 20_000_000
MESSAGES_PER_S = 200
"""Notifications in a second; more are left out. Twice as many messages of other kinds are read slowly."""
TAIL = 2000
"""Bytes of standard error that are kept."""
GRACE_S = 0.5
"""A program has so long to end after its standard input was closed, and again after SIGTERM."""
CONNECT_S, READ_S = 5.0, 300.0

Wire = AbstractAsyncContextManager[Any]


class Watch:
    """What is known of one connection; `tell` is called for each kind of thing that the user should know, unless it was
    `told` before."""

    def __init__(self, tell: Callable[[str, str], None], lost: Callable[[], None], told: set[str]) -> None:
        self.lost = lost
        self.why = ""
        """Why the connection ended, if it was seen."""
        self.pid: int | None = None
        self.tail = b""
        self._tell = tell
        self._told = told
        self._since = 0.0
        self._count = 0

    def once(self, kind: str, reason: str, hint: str) -> None:
        """Tell the user, the first time."""
        if kind not in self._told:
            self._told.add(kind)
            self._tell(reason, hint)

    async def pace(self, size: int = 0) -> bool:
        """Wait where too much comes; False for more than what a server may notify of."""
        now = asyncio.get_running_loop().time()
        if now - self._since >= 1:
            self._since, self._count = now, 0
        self._count += 1
        slow_s = size / BYTES_PER_S if size > 65536 else 0.0
        if self._count > 2 * MESSAGES_PER_S and self._count % 20 == 0:
            slow_s += 0.01
        if slow_s:
            await asyncio.sleep(slow_s)
        return self._count <= MESSAGES_PER_S

    async def passes(self, message: Any, size: int = 0) -> bool:
        """Whether a message is handed on."""
        room = await self.pace(size)
        if isinstance(message, JSONRPCNotification) and not room:
            self.once(
                "flood", f"sends more than {MESSAGES_PER_S} notifications a second", "the rest is left out"
            )
            return False
        if isinstance(message, JSONRPCRequest) and message.method != "ping":
            self.once(message.method, f"asked for {message.method:.60}, which was declined", "")
        return True


class Sieve:
    """A stream of messages from a server, without those that are too many."""

    def __init__(self, stream: Any, watch: Watch) -> None:
        self._stream = stream
        self._watch = watch

    def __aiter__(self) -> Sieve:
        return self

    async def __anext__(self) -> Any:
        while True:
            try:
                item = await self._stream.__anext__()
            except StopAsyncIteration:
                self._watch.lost()
                raise
            if isinstance(item, Exception):
                self._watch.once("garbage", f"sent what is no message: {item!s:.100}", "it was left out")
            elif await self._watch.passes(item.message):
                return item

    async def receive(self) -> Any:
        """The next message."""
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise anyio.EndOfStream from None

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()

    async def __aenter__(self) -> Sieve:
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.aclose()


def wire(server: McpServer, watch: Watch) -> Wire:
    """The way to a server; OSError where its program cannot be started."""
    return _http(server, watch) if server.url else _stdio(server, watch)


# --- HTTP ------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _http(server: McpServer, watch: Watch) -> AsyncIterator[Any]:
    timeout = httpx2.Timeout(CONNECT_S, read=READ_S)
    headers = {"Accept-Encoding": "identity", **server.headers}
    hooks = {"response": [_bound]}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout, event_hooks=hooks) as client,
        streamable_http_client(server.url, http_client=client, max_sse_event_size=LARGEST) as (read, write),
    ):
        yield Sieve(read, watch), write


async def _bound(response: httpx2.Response) -> None:
    """A body of JSON has an end; compressed, it could be anything."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("it compresses, though it was asked not to", request=response.request)
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > LARGEST:
                raise httpx2.StreamError(f"it sent more than {LARGEST // 1_000_000} MB at once")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


# --- standard input and output ---------------------------------------------------------------------------------------


@asynccontextmanager
async def _stdio(server: McpServer, watch: Watch) -> AsyncIterator[Any]:
    process = await asyncio.create_subprocess_exec(
        *server.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**get_default_environment(), **server.env},
        cwd=server.cwd,
        start_new_session=True,  # Ctrl-C is ours, and what it starts can be ended with it
        limit=LARGEST,
    )
    watch.pid = process.pid
    into, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, out = anyio.create_memory_object_stream[SessionMessage](0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_listen, process, into, watch)
        tasks.start_soon(_speak, process, out)
        tasks.start_soon(_keep_tail, process, watch)
        try:
            yield Sieve(read, watch), write
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process)
                for stream in (into, read, write, out):
                    await stream.aclose()
            tasks.cancel_scope.cancel()


async def _listen(process: asyncio.subprocess.Process, into: Any, watch: Watch) -> None:
    assert process.stdout
    async with into:
        while True:
            try:
                line = await process.stdout.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                watch.why = f"it sent more than {LARGEST // 1_000_000} MB at once"
                return
            except OSError as error:
                watch.why = str(error.strerror)
                return
            message = _message(line, watch)
            if message is None:
                await watch.pace(len(line))
                continue
            if len(line) > 65536:
                await watch.pace(len(line))
            try:
                await into.send(message)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                return


def _message(line: bytes, watch: Watch) -> SessionMessage | None:
    if not line.strip():
        return None
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        shown = line[:200].decode("utf-8", "replace").strip()
        hint = "such lines are left out; what a server has to say otherwise belongs on standard error"
        watch.once("garbage", f'writes on its standard output what is no message: "{shown:.80}"', hint)
        return None


async def _speak(process: asyncio.subprocess.Process, out: Any) -> None:
    assert process.stdin
    async with out:
        async for one in out:
            line = one.message.model_dump_json(by_alias=True, exclude_unset=True) + "\n"
            try:
                process.stdin.write(line.encode("utf-8", "replace"))
                await process.stdin.drain()
            except (OSError, RuntimeError):  # it reads no more: its end is seen on its standard output
                return


async def _keep_tail(process: asyncio.subprocess.Process, watch: Watch) -> None:
    assert process.stderr
    while chunk := await process.stderr.read(65536):
        watch.tail = (watch.tail + chunk)[-TAIL:]


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the program and what it started. `process.wait` would also wait for whoever inherited its pipes."""
    assert process.stdin
    with suppress(OSError):
        process.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL, None):
        if await _ended(process) or number is None:
            break
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
    transport = getattr(process, "_transport", None)
    if transport is not None:  # a grandchild may keep the pipes open
        transport.close()


async def _ended(process: asyncio.subprocess.Process) -> bool:
    loop = asyncio.get_running_loop()
    until = loop.time() + GRACE_S
    while process.returncode is None and loop.time() < until:  # noqa: ASYNC110  # it tells nobody without its pipes
        await asyncio.sleep(0.005)
    return process.returncode is not None
