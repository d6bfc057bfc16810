"""`workbench tools serve`: the tools of an agent as an MCP server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click

from workbench.cli.tools.toolbench import Selection, Toolbench, opened
from workbench.engine.tasks import single
from workbench.model.errors import UsageError

LONGEST = 8_000_000
"""Bytes of a line on standard input: the arguments of a call, and room."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def serve_tools(what: Selection, port: int | None, as_json: bool, out: TextIO) -> int:
    """Serve until the other side has gone or a signal comes; the exit code."""
    from workbench.tools.mcp.serve import mcp_server  # 0.5 s

    caught: list[int] = []
    async with opened(what) as bench:

        async def called(name: str, arguments: str) -> tuple[str, bool]:
            end = await bench.call(name, arguments)
            text = bench.shown(end)
            return text.removeprefix("Error: ") if end.status == "failed" else text, end.status != "done"

        server = mcp_server(bench.name, bench.tools, called)
        serving = _stdio(server, out) if port is None else _http(server, bench, port, as_json, out)
        try:
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(serving)
                with _signals(task, caught):
                    await asyncio.wait([task])
        except BaseExceptionGroup as group:
            raise single(group) from None
    return 128 + caught[0] if caught else 0


@contextmanager
def _signals(task: asyncio.Task[None], caught: list[int]) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        caught.append(number)
        task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def _stdio(server: Any, out: TextIO) -> None:
    """On standard input and output; `out` is the real one, what tools print does not come near it."""
    import anyio
    from mcp.server.stdio import stdio_server

    lines: Any = (
        await _Lines.opened() if _waited_for(0) else None
    )  # a file never keeps the SDK's thread waiting
    async with stdio_server(lines, anyio.wrap_file(out)) as (read, write):
        await server.run(read, write, server.create_initialization_options())


def _waited_for(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)


class _Lines:
    """Lines of standard input as the SDK reads them. Its own way is a thread that a signal cannot end."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    @classmethod
    async def opened(cls) -> _Lines:
        """Of a pipe, a terminal or a socket."""
        reader = asyncio.StreamReader(limit=LONGEST)
        pipe = os.fdopen(os.dup(0), "rb", buffering=0)  # the loop closes it
        try:
            await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), pipe
            )
        except ValueError:
            pipe.close()
            raise
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # tools that read get nothing
        return cls(reader)

    async def __aiter__(self) -> AsyncIterator[str]:
        while line := await self._reader.readline():
            yield line.decode("utf-8", "replace")


async def _http(server: Any, bench: Toolbench, port: int, as_json: bool, out: TextIO) -> None:
    """Streamable HTTP on loopback, for requests that name it: a page in a browser cannot reach it."""
    import uvicorn

    class Quiet(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:  # they are ours
            yield

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except OSError as error:
        listening.close()
        raise UsageError(f"port {port} cannot be used: {error.strerror}", "choose another --port") from None
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    app = server.streamable_http_app()
    quiet = Quiet(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    click.echo(f"{len(bench.tools.names)} tools at {url}\nCtrl-C stops it.", err=True)
    if as_json:
        click.echo(json.dumps({"url": url}), file=out)
        out.flush()
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(quiet.serve(sockets=[listening]))
            try:
                await asyncio.shield(running)
            except asyncio.CancelledError:
                quiet.should_exit = True
                await asyncio.wait([running], timeout=3)
                raise
    finally:
        listening.close()
