"""A probe of an address without the SDK: what answers there, and what its clock says.

The SDK reports little of what it could not shake hands with, or waits for it in vain. A plain request by HTTP tells a
wrong certificate from a wrong name in it, a port without TLS from a dead one, and has the server's date on it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from workbench.model.clock import outside
from workbench.model.errors import MissingError, UsageError, WorkbenchError
from workbench.model.text import plain

PROBE_S = 3.0
"""The longest that a probe may take, s."""
MOST = 512
"""Bytes of an answer that are read."""


class Unreachable(MissingError):
    """No server answers: trying again may help."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What is at an address: `error` says why nobody there can be talked to, None if somebody can. `ahead_s` is how far
    this machine's clock is ahead of theirs, s; None where they do not say."""

    error: WorkbenchError | None = None
    ahead_s: float | None = None
    status: int = 0
    body: str = ""
    """What they answer by HTTP."""


async def probe(url: str) -> ProbeResult:
    """Find out what is there. Takes at most `PROBE_S`; raises nothing of the network's."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme in ("wss", "https")
    port = parts.port or (443 if secure else 80)
    where = parts.netloc.rpartition("@")[2]
    try:
        with outside():
            async with asyncio.timeout(PROBE_S):
                return await _request(host, port, secure)
    except (
        OSError,
        TimeoutError,
        asyncio.IncompleteReadError,
        asyncio.LimitOverrunError,
        ValueError,
    ) as error:
        return ProbeResult(_explain(error, where, secure))


async def _request(host: str, port: int, secure: bool) -> ProbeResult:
    """Request the root. ValueError if the answer is no HTTP."""
    reader, writer = await asyncio.open_connection(
        host, port, ssl=ssl.create_default_context() if secure else None
    )
    try:
        writer.write(f"GET / HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        protocol, status, *_ = first.split()
        if not protocol.startswith("HTTP/"):
            raise ValueError(first)
        body = await reader.read(MOST)
    finally:
        writer.close()
    dates = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("date:")]
    ahead_s = None
    for date in dates:
        with suppress(ValueError):
            ahead_s = time.time() - parsedate_to_datetime(date).timestamp()
    return ProbeResult(None, ahead_s, int(status), body.decode("utf-8", "replace"))


def _explain(error: Exception, where: str, secure: bool) -> WorkbenchError:
    match error:
        case ssl.SSLCertVerificationError(verify_message=text):
            if "mismatch" in text.lower():
                return UsageError(
                    f"{where}: the certificate is somebody else's ({text})",
                    "use the host name that the certificate is for",
                )
            return UsageError(
                f"{where}: the certificate is not trusted ({text})",
                "have it signed by an authority that this machine trusts, or add that one to the system's certificates",
            )
        case ssl.SSLError(reason=text):
            return UsageError(
                f"{where} makes no secure connection ({text or 'no TLS there'})",
                "a server without TLS is reached by ws://",
            )
        case socket.gaierror():
            return Unreachable(f"{where}: there is no such host", "is the url right, and the network there?")
        case asyncio.IncompleteReadError(partial=bytes(part)) if part:
            return UsageError(f"{where} speaks no HTTP: no LiveKit server", "are host and port right?")
        case TimeoutError() | asyncio.IncompleteReadError() | ConnectionResetError() if secure:
            return Unreachable(
                f"{where} makes no secure connection", "a server without TLS is reached by ws://"
            )
        case TimeoutError():
            return Unreachable(
                f"{where} does not answer", "is the server running, and no firewall in between?"
            )
        case asyncio.IncompleteReadError() | ConnectionResetError():
            return Unreachable(
                f"{where} hangs up",
                "is this the port of the LiveKit server? one with TLS is reached by wss://",
            )
        case ValueError() | asyncio.LimitOverrunError():
            return UsageError(f"{where} speaks no HTTP: no LiveKit server", "are host and port right?")
        case _:
            text = getattr(error, "strerror", None) or type(error).__name__
            return Unreachable(
                f"{where} cannot be reached ({plain(text, 80, one_line=True)})",
                "is the LiveKit server running? see `workbench room list`",
            )
