"""Why a server does not let us in: who from_sdk_error, what is wrong, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from workbench.model.errors import MissingError, UsageError, WorkbenchError
from workbench.model.text import plain
from workbench.transports.livekit.probe import ProbeResult, Unreachable, probe
from workbench.transports.livekit.sdk import error_text

ANSWERED = re.compile(r"(?:client error|server error|handshake error): (\d{3})[^-]*(?:- (.*))?")
"""How the SDK tells an answer that is no LiveKit signal: status and text."""
SKEW_S = 30.0
"""Two clocks that differ by less are not the reason, s."""

CLOCK = (
    (("not valid yet", "nbf", "used before issued"), "the token is not valid yet"),
    (("expired",), "the token has expired"),
)
NO_TLS = "no secure connection"
REFUSALS = (
    (
        ("signature", "invalid api key", "unknown api key"),
        "the server does not know this key and secret",
        "are LIVEKIT_API_KEY and LIVEKIT_API_SECRET those of this server?",
    ),
    (
        ("permissions denied", "permission denied", "error: 403"),
        "the token does not allow to join {room}",
        "sign one with the grant roomJoin for this room: `workbench room token ROOM --identity ID`",
    ),
    (
        ("could not find room", "room not found", "not_found", "room does not exist"),
        "there is no room {room}, and the server makes none",
        "make it first: `workbench room create NAME`",
    ),
    (
        ("error: 401", "unauthorized", "invalid token"),
        "the server refused the token",
        "get a new token, or set key and secret",
    ),
    (
        ("contenttype", "certificate", "unknownissuer", "tls", "ssl", "handshake failure"),
        NO_TLS,
        "a server without TLS is reached by ws://; else its certificate must be one that this machine trusts",
    ),
    (("url scheme", "invalid url"), "this is no address of a LiveKit server", "write wss://HOST"),
)
"""Trying again is useless."""
TROUBLES = (
    (
        ("lookup address", "dns", "name or service"),
        "there is no such host",
        "is the url right, and the network there?",
    ),
    (
        ("wait_pc_connection", "peer connection", "pc connection"),
        "the server is there, but sound finds no way to it",
        "let UDP or TCP 7881 through to the server; the `node_ip` of its settings must be reachable from here",
    ),
    (
        ("region",),
        "the server named no region to connect to",
        "try again; is the project's url right?",
    ),
    (("429", "too many", "quota", "limit exceeded"), "the server has too much to do", "try again later"),
)


class NoTlsError(UsageError):
    """TLS failed between us and the server: a look of our own may say why."""


async def explain(error: BaseException, url: str, room: str) -> WorkbenchError:
    """What kept us out, with a look of our own where the SDK cannot know."""
    found = from_sdk_error(error, url, room)
    lower = error_text(error).lower()
    clock = any(sign in lower for signs, _ in CLOCK for sign in signs)
    if clock or isinstance(found, MissingError | NoTlsError):
        seen = await probe(url)
        if clock and seen.ahead_s is not None:
            return _by_clock(found, seen.ahead_s)
        return seen.error or found
    return found


def no_answer(url: str, seen: ProbeResult) -> WorkbenchError:
    """Why somebody who answers let us wait for nothing."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    if seen.status and (seen.status, seen.said.strip()) != (200, "OK"):
        return from_http_answer(host, seen.status, seen.said)
    return Unreachable(f"{host} answers, but lets nobody in", "see the server's log")


def from_sdk_error(error: BaseException, url: str, room: str) -> WorkbenchError:
    """What kept us out, as far as the SDK's words go."""
    said, host = error_text(error), urlsplit(url).netloc.rpartition("@")[2]
    lower = said.lower()
    if (answer := ANSWERED.search(said)) and _not_livekits(int(answer[1]), answer[2] or ""):
        return from_http_answer(host, int(answer[1]), answer[2] or "")
    for reason, hint in _matching(lower, room):
        kind = NoTlsError if reason == NO_TLS else UsageError
        return kind(f"{host}: {reason} ({said})", hint)
    for signs, reason, hint in TROUBLES:
        if any(sign in lower for sign in signs):
            return Unreachable(f"{host}: {reason} ({said})", hint)
    return Unreachable(
        f"{host} cannot be reached ({said or 'no answer'})",
        "is the LiveKit server running? see `workbench room list`",
    )


def from_http_answer(where: str, status: int, said: str) -> WorkbenchError:
    """What an HTTP answer says that a LiveKit server does not give."""
    shown = plain(said, 80, one_line=True)
    told = f"HTTP {status}{f': {shown}' if shown else ''}"
    if status == 429:
        return Unreachable(f"{where}: the server has too much to do ({told})", "try again later")
    if status in (408, 500, 502, 503, 504):
        return Unreachable(
            f"{where}: the server, or a proxy in front of it, is not ready ({told})",
            "is the LiveKit server running? if it is, see the proxy's log",
        )
    if status == 407:
        return UsageError(
            f"{where}: a proxy wants a password ({told})",
            "connect past the proxy, or have it let this host through",
        )
    if 300 <= status < 400:
        return UsageError(
            f"{where} sends us elsewhere ({told})", "give the address of the LiveKit server itself"
        )
    return UsageError(
        f"{where} answers, but is no LiveKit server ({told})",
        "are host and port right? a proxy in between must pass WebSockets on",
    )


def _matching(lower: str, room: str) -> Iterator[tuple[str, str]]:
    for clock, reason in CLOCK:
        if any(sign in lower for sign in clock):
            yield reason, "get a new one; is the clock of this machine right, or that of the server?"
    for signs, reason, hint in REFUSALS:
        if any(sign in lower for sign in signs):
            yield reason.format(room=room), hint


def _not_livekits(status: int, body: str) -> bool:
    """Whether somebody else answers for the server: a page for people, or what a LiveKit server never says."""
    page = body.lstrip().lower().startswith(("<!doctype", "<html", "<head", "<?xml"))
    return page or status < 400 or status == 407 or (status == 404 and "room" not in body.lower())


def _by_clock(found: WorkbenchError, ahead_s: float) -> WorkbenchError:
    """The same, if the clocks are why; else the token itself is too old, or made for later."""
    if abs(ahead_s) < SKEW_S:
        return UsageError(found.reason, "this machine's clock and the server's agree: get a new token")
    way = "ahead of" if ahead_s > 0 else "behind"
    return UsageError(
        f"{found.reason}: this machine's clock is {_span(abs(ahead_s))} {way} the server's",
        "set the clock that is wrong (`timedatectl` shows ours)",
    )


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
