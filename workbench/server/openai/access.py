"""Who is answered: programs on this machine, pages of the origins that are admitted, and whoever has the key."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from workbench.model.errors import UsageError
from workbench.plugin.values import Secret
from workbench.server.openai.http import ApiError

ANY = "*"
"""Every origin."""
KEPT_S = 600
"""How long a browser remembers what a preflight has allowed, s."""


def check_access(host: str, api_key: Secret | None, origins: Collection[str]) -> None:
    """Raise UsageError for an address or origins by which strangers could use the models without a key."""
    if api_key is not None:
        return
    hint = "set WORKBENCH_SERVE_API_KEY, or serve.api_key, to what requests must send as their key"
    if not is_loopback(host):
        reason = f"{host or 'every address'} is not an address of this machine alone, so requests need a key"
        raise UsageError(reason, f"{hint}; or serve on 127.0.0.1, and reach it from elsewhere by ssh -L")
    if ANY in origins:
        raise UsageError("any web page could use the models, so requests need a key", hint)


def is_loopback(host: str, *, url: bool = False) -> bool:
    """Return whether a host name or address, or the host of a URL, means this machine alone."""
    try:
        name = urlsplit(host).hostname or "" if url else host
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def guard(api_key: Secret | None, origins: Collection[str], *, private: bool) -> Middleware:
    """Return what keeps others out. A `private` server is reached by this machine's own names only.

    A web page of a stranger runs on this machine too, and its browser sends its origin, or a host name of theirs that
    leads to loopback.
    """
    expected = api_key.reveal().encode() if api_key else b""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        is_stranger = private and not is_loopback(f"//{request.host}", url=True)
        if is_stranger or (origin and not _admitted(origin, origins)):
            raise ApiError(403, "this server answers programs on its own machine, and pages of serve.origins")
        if origin and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return _preflight(request)
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        token = key.strip().encode("utf-8", "surrogateescape") if scheme.lower() == "bearer" else b""
        if expected and not hmac.compare_digest(token, expected):
            message = "wrong or missing key: send the header Authorization: Bearer KEY"
            raise ApiError(401, message, code="invalid_api_key")
        return await handler(request)

    return admit


def cross_origin(origins: Collection[str]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return what tells a browser, with each answer, errors too, that the page of an admitted origin may read it.

    Credentials of the browser's own (cookies) are never allowed: the key is a header that the page sends itself.
    """

    async def allow(request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get("Origin")
        if not origin or not _admitted(origin, origins):
            return
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "Retry-After"
        response.headers.add("Vary", "Origin")

    return allow


def _admitted(origin: str, origins: Collection[str]) -> bool:
    return is_loopback(origin, url=True) or ANY in origins or origin.lower() in origins


def _preflight(request: web.Request) -> web.Response:
    """Return the leave to make a request: a browser asks for it before it sends one, without the key."""
    header_names = request.headers.get("Access-Control-Request-Headers", "authorization, content-type")
    headers = {
        "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
        "Access-Control-Allow-Headers": header_names,
        "Access-Control-Max-Age": str(KEPT_S),
    }
    if "Access-Control-Request-Private-Network" in request.headers:
        headers["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers=headers)
