"""The page to talk from: served on loopback, with tokens for one room."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from workbench.model.errors import UsageError
from workbench.transports.livekit.token import Access, mint

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGE = Path(__file__).parent / "page"
FILES = {"": "index.html"} | {name: name for name in ("page.js", "page.css", "livekit-client.umd.js")}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; media-src 'self' blob: mediastream:; "
    "connect-src 'self' {server}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing comes from elsewhere, and it talks to the LiveKit server only."""


@asynccontextmanager
async def page(access: Access, room: str, *, port: int = 0) -> AsyncIterator[str]:
    """Serve the page; give its address. UsageError if the port is taken.

    The address has a part that nobody can guess: who has it may join the room.
    """
    secret = secrets.token_urlsafe(12)
    app = web.Application()
    app.router.add_get(f"/{secret}/{{name:.*}}", _file(access))
    app.router.add_post(f"/{secret}/token", _token(access, room))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(f"port {port} cannot be used: {error.strerror}", "give another --port") from None
        address = runner.addresses[0]
        yield f"http://127.0.0.1:{address[1]}/{secret}/"
    finally:
        await runner.cleanup()


def _file(access: Access) -> Handler:
    """Return the handler of the page and its files."""
    server = access.url.replace("http", "ws", 1) if access.url.startswith("http") else access.url
    both = f"{server} {server.replace('ws', 'http', 1)}"
    headers = {
        "Content-Security-Policy": POLICY.format(server=both),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }

    async def give(request: web.Request) -> web.StreamResponse:
        name = FILES.get(request.match_info["name"])
        if name is None or not _ours(request):
            raise web.HTTPNotFound
        return web.FileResponse(PAGE / name, headers=headers)

    return give


def _token(access: Access, room: str) -> Handler:
    """Return the handler that gives whoever has the page a token."""

    async def give(request: web.Request) -> web.StreamResponse:
        if not _ours(request):
            raise web.HTTPForbidden
        identity = f"you-{secrets.token_hex(3)}"
        token = mint(access.api_key, access.api_secret, room=room, identity=identity)
        return web.json_response({"url": access.url, "token": token}, headers={"Cache-Control": "no-store"})

    return give


def _ours(request: web.Request) -> bool:
    """Refuse other pages of the browser, and those that name us by a host of their own."""
    origin = request.headers.get("Origin")
    return request.host.startswith("127.0.0.1:") and origin in (None, f"http://{request.host}")
