"""The reason why the connection to an MCP server was lost, in words."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.tools.mcp.server import McpServer


@dataclass(frozen=True, slots=True)
class ConnectionLoss:
    """Why a connection ended. `unsent`: what was asked last never reached the server."""

    reason: str
    unsent: bool = False
    final: bool = False
    """Trying again is of no use."""


def loss_of(
    server: McpServer, observed: str, stderr: bytes, error: BaseException | None, *, late: bool
) -> ConnectionLoss:
    """Return the loss from what the transport `observed`, the end of the program's standard error, and what the SDK
    raised; `late`: it did not start in time."""
    import httpx2
    from pydantic import ValidationError

    cause = error
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    clean = server.clean
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    last_line = clean(lines[-1].strip()) if lines else ""
    quotation = f'; it said: "{last_line}"' if last_line else ""
    if observed:
        return ConnectionLoss(f"{observed}{quotation}")
    if isinstance(cause, FileNotFoundError | PermissionError | NotADirectoryError) and server.command:
        path = server.cwd if cause.filename == server.cwd else server.command[0]
        return ConnectionLoss(f"{clean(str(path))}: {cause.strerror}", final=True)
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
        address = server.url.partition("?")[0].rpartition("@")[2]  # without login and query
        address = address.removeprefix("http://").removeprefix("https://")
        return ConnectionLoss(f"nobody answers at {address}", unsent=True)
    if late:
        return ConnectionLoss(f"it did not answer within {server.start_s:g} s{quotation}")
    if isinstance(cause, ValidationError):
        first = cause.errors(include_url=False, include_input=False)[0]
        where = clean(".".join(map(str, first["loc"])))
        return ConnectionLoss(f"it answered with what is no {cause.title}: {where}: {clean(first['msg'])}")
    if cause is not None and not (server.command and "Connection closed" in str(cause)):
        return ConnectionLoss(f"{type(cause).__name__}: {clean(str(cause))}{quotation}")
    ended = "its program has ended" if server.command else "the connection was closed"
    return ConnectionLoss(f"{ended}{quotation}")
