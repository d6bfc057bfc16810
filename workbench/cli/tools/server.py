"""`workbench tools serve`: the tools of an agent as an MCP server."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click

from workbench.cli.tools.toolbench import Selection, Toolbench, open_toolbench
from workbench.model.errors import UsageError

LONGEST = 8_000_000
"""Bytes of a line on standard input: the arguments of a call, and room."""
GRACE_S = 3.0
"""Requests have this long to end when the server is stopped, s."""


async def serve_tools(selection: Selection, port: int | None, *, as_json: bool, out: TextIO) -> int:
    """Serve until the other side has gone; return the exit code."""
    from workbench.tools.mcp.serve import mcp_server  # 0.5 s

    async with open_toolbench(selection) as bench:

        async def call(name: str, arguments: str) -> tuple[str, bool]:
            end = await bench.runner.perform(name, arguments)
            text = bench.shown_to_model(end)
            return text.removeprefix("Error: ") if end.status == "failed" else text, end.status != "done"

        server = mcp_server(bench.title, bench.tools, call)
        if port is None:
            await _stdio(server, out)
        else:
            await _http(server, bench, port, as_json, out)
    return 0


async def _stdio(server: Any, out: TextIO) -> None:
    """Serve on standard input and output; `out` is the real one, what tools print does not come near it."""
    import anyio
    from mcp.server.stdio import stdio_server

    mode = os.fstat(0).st_mode
    waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(0)
    lines: Any = await _Lines.open() if waits else None  # a file never keeps the SDK's thread waiting
    async with stdio_server(lines, anyio.wrap_file(out)) as (read, write):
        await server.run(read, write, server.create_initialization_options())


class _Lines:
    """Lines of standard input as the SDK reads them. Its own way is a thread that a signal cannot end."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    @classmethod
    async def open(cls) -> _Lines:
        """Of a pipe, a terminal or a socket."""
        reader = asyncio.StreamReader(limit=LONGEST)
        pipe = os.fdopen(os.dup(0), "rb", buffering=0)  # the loop closes it
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        except ValueError:
            pipe.close()
            raise
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # tools that read get nothing
        return cls(reader)

    async def __aiter__(self) -> AsyncIterator[str]:
        while line := await self._reader.readline():
            yield line.decode("utf-8", "replace")


async def _http(server: Any, bench: Toolbench, port: int, as_json: bool, out: TextIO) -> None:
    """Serve streamable HTTP on loopback, for requests that name it: a page in a browser cannot reach it."""
    import uvicorn

    class UvicornServer(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:  # they are ours
            yield

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"port {port} cannot be used: {error.strerror}", "choose another --port"
            ) from None
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        app = server.streamable_http_app()
        http = UvicornServer(
            uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
        )
        click.echo(f"{len(bench.tools.names)} tools at {url}\nCtrl-C stops it.", err=True)
        if as_json:
            click.echo(json.dumps({"url": url}), file=out)
            out.flush()
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(http.serve(sockets=[listener]))
            try:
                await asyncio.shield(serving)
            except asyncio.CancelledError:
                http.should_exit = True
                await asyncio.wait([serving], timeout=GRACE_S)
                raise
