"""Why a LiveKit server does not let us in: who refused, what is wrong, and what to do about it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from workbench.model.errors import MissingError, UsageError, WorkbenchError
from workbench.model.text import plain
from workbench.transports.livekit.probe import ProbeResult, Unreachable, probe
from workbench.transports.livekit.sdk import error_text

HTTP_ANSWER = re.compile(r"(?:client error|server error|handshake error): (\d{3})[^-]*(?:- (.*))?")
"""How the SDK words an answer that is no LiveKit signal: status and text."""
SKEW_S = 30.0
"""Two clocks that differ by less are not the reason, s."""

CLOCK_HINT = "get a new one; is the clock of this machine right, or that of the server?"
CLOCK_ERRORS = (
    (("not valid yet", "nbf", "used before issued"), "the token is not valid yet", CLOCK_HINT),
    (("expired",), "the token has expired", CLOCK_HINT),
)
"""Words of the SDK, in lower case, with a reason and a hint; `{room}` is the room's name."""
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
        "no secure connection",
        "a server without TLS is reached by ws://; else its certificate must be one that this machine trusts",
    ),
    (("url scheme", "invalid url"), "this is no address of a LiveKit server", "write wss://HOST"),
)
"""Trying again is useless."""
OUTAGES = (
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
"""Trying again may help."""


async def explain(error: BaseException, url: str, room: str) -> WorkbenchError:
    """Return what kept us out, with a probe where the SDK cannot know."""
    explained = from_sdk_error(error, url, room)
    text = error_text(error).lower()
    clock = any(word in text for words, *_ in CLOCK_ERRORS for word in words)
    if clock or isinstance(explained, MissingError) or "no secure connection" in explained.reason:
        result = await probe(url)
        if clock and result.ahead_s is not None:
            return _with_clocks(explained, result.ahead_s)
        return result.error or explained
    return explained


def no_answer(url: str, result: ProbeResult) -> WorkbenchError:
    """Return why a server that answers a probe did not let us in."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    if result.status and (result.status, result.body.strip()) != (200, "OK"):
        return from_http_answer(host, result.status, result.body)
    return Unreachable(f"{host} answers, but lets nobody in", "see the server's log")


def from_sdk_error(error: BaseException, url: str, room: str) -> WorkbenchError:
    """Return what kept us out, as far as the SDK's words go."""
    text, host = error_text(error), urlsplit(url).netloc.rpartition("@")[2]
    if answer := HTTP_ANSWER.search(text):
        status, body = int(answer[1]), answer[2] or ""
        if not _is_livekits(status, body):
            return from_http_answer(host, status, body)
    for kind, table in ((UsageError, (*CLOCK_ERRORS, *REFUSALS)), (Unreachable, OUTAGES)):
        for words, reason, hint in table:
            if any(word in text.lower() for word in words):
                return kind(f"{host}: {reason.format(room=room)} ({text})", hint)
    return Unreachable(
        f"{host} cannot be reached ({text or 'no answer'})",
        "is the LiveKit server running? see `workbench room list`",
    )


def from_http_answer(host: str, status: int, body: str) -> WorkbenchError:
    """Return what an HTTP answer means that a LiveKit server does not give."""
    text = plain(body, 80, one_line=True)
    answer = f"HTTP {status}{f': {text}' if text else ''}"
    match status:
        case 429:
            return Unreachable(f"{host}: the server has too much to do ({answer})", "try again later")
        case 408 | 500 | 502 | 503 | 504:
            return Unreachable(
                f"{host}: the server, or a proxy in front of it, is not ready ({answer})",
                "is the LiveKit server running? if it is, see the proxy's log",
            )
        case 407:
            return UsageError(
                f"{host}: a proxy wants a password ({answer})",
                "connect past the proxy, or have it let this host through",
            )
        case _ if 300 <= status < 400:
            hint = "give the address of the LiveKit server itself"
            return UsageError(f"{host} sends us elsewhere ({answer})", hint)
        case _:
            return UsageError(
                f"{host} answers, but is no LiveKit server ({answer})",
                "are host and port right? a proxy in between must pass WebSockets on",
            )


def _is_livekits(status: int, body: str) -> bool:
    """Return whether a LiveKit server may have answered so: not with a page for people, nor with some statuses."""
    page = body.lstrip().lower().startswith(("<!doctype", "<html", "<head", "<?xml"))
    return not (page or status < 400 or status == 407 or (status == 404 and "room" not in body.lower()))


def _with_clocks(error: WorkbenchError, ahead_s: float) -> WorkbenchError:
    """Return the same, if the clocks are why; else the token itself is too old, or made for later."""
    apart_s = abs(ahead_s)
    if apart_s < SKEW_S:
        return UsageError(error.reason, "this machine's clock and the server's agree: get a new token")
    span = f"{apart_s:.0f} s" if apart_s < 120 else f"{apart_s / 60:.0f} min"
    direction = "ahead of" if ahead_s > 0 else "behind"
    return UsageError(
        f"{error.reason}: this machine's clock is {span} {direction} the server's",
        "set the clock that is wrong (`timedatectl` shows ours)",
    )
