"""The application: its routes, who may use it, and how it is opened on loopback."""

from __future__ import annotations

import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from workbench.engine.interfaces import Llm, Stt, Tts
from workbench.model.errors import UsageError, WorkbenchError
from workbench.plugin.hookspecs import Secret
from workbench.server.openai.chat import ChatRoute
from workbench.server.openai.http import ApiError, of_stage
from workbench.server.openai.speech import SpeechRoute
from workbench.server.openai.transcriptions import TranscriptionRoute

LARGEST_BODY = 25 * 1024 * 1024
"""Bytes of a request, OpenAI's own limit for an upload."""
GRACE_S = 0.5
"""What requests in flight are given when the server stops, s."""


def create_app(stt: Stt, llm: Llm, tts: Tts, *, api_key: Secret | None = None) -> web.Application:
    """The API over three providers that have been entered; with `api_key`, only who knows it is answered."""
    app = web.Application(client_max_size=LARGEST_BODY, middlewares=[_in_their_shape, _guard(api_key)])
    models = ModelsRoute(stt.name, llm.name, tts.name)
    app.router.add_get("/v1/models", models.list)
    app.router.add_get("/v1/models/{id:.+}", models.one)
    app.router.add_post("/v1/chat/completions", ChatRoute(llm).answer)
    app.router.add_post("/v1/audio/transcriptions", TranscriptionRoute(stt).answer)
    app.router.add_post("/v1/audio/speech", SpeechRoute(tts).answer)
    return app


@asynccontextmanager
async def serving(
    stt: Stt, llm: Llm, tts: Tts, *, host: str = "127.0.0.1", port: int = 0, api_key: Secret | None = None
) -> AsyncIterator[str]:
    """Enter and warm the providers and serve them until left; gives the base URL. Port 0 is any free one.

    UsageError for an address that is not loopback, or a port that is taken.
    """
    if not is_loopback(host):
        raise UsageError(
            f"{host} is not an address of this machine alone",
            "this server has no encryption and no accounts: serve on 127.0.0.1, and reach it from elsewhere by ssh -L",
        )
    async with stt, llm, tts:
        for provider in (stt, llm, tts):
            await provider.warm()
        # A client that goes away cancels its handler, and with it the generation.
        runner = web.AppRunner(
            create_app(stt, llm, tts, api_key=api_key),
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=GRACE_S,
        )
        await runner.setup()
        try:
            yield await _open(runner, host, port)
        finally:
            await runner.cleanup()


async def _open(runner: web.AppRunner, host: str, port: int) -> str:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}",
            "choose another port, or 0 for any free one",
        ) from error
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{runner.addresses[0][1]}/v1"


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address means this machine alone."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def _host(url: str) -> str | None:
    """The host in a URL, None if it is not one."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


class ModelsRoute:
    """`GET /v1/models`: what there is."""

    def __init__(self, *names: str) -> None:
        created = int(time.time())
        self._models: dict[str, dict[str, Any]] = {
            name: {"id": name, "object": "model", "created": created, "owned_by": "workbench"}
            for name in names
        }

    async def list(self, _: web.Request) -> web.Response:
        """All of them."""
        return web.json_response({"object": "list", "data": [*self._models.values()]})

    async def one(self, request: web.Request) -> web.Response:
        """One of them."""
        name = request.match_info["id"]
        if name not in self._models:
            raise ApiError(404, f"there is no model {name!r}", param="model", code="model_not_found")
        return web.json_response(self._models[name])


@web.middleware
async def _in_their_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error in OpenAI's shape."""
    try:
        return await handler(request)
    except ApiError as error:
        return error.response()
    except WorkbenchError as error:
        return of_stage(error).response()
    except web.HTTPRequestEntityTooLarge:
        return ApiError(413, f"a request may have {LARGEST_BODY // 1024 // 1024} MiB").response()
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return ApiError(405, f"{request.method} is not allowed for {request.path}, but {allowed}").response()
    except web.HTTPException as error:
        return ApiError(error.status, f"{error.reason}: {request.method} {request.path}").response()


def _guard(api_key: Secret | None) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Programs on this machine only: a web page of a stranger runs here too, and its browser sends its origin, or a
        host name of theirs that leads to loopback."""
        origin = request.headers.get("Origin")
        if not is_loopback(_host(f"//{request.host}")) or (origin and not is_loopback(_host(origin))):
            raise ApiError(403, "this server answers programs on its own machine only")
        if api_key and not _knows(request.headers.get("Authorization", ""), api_key):
            raise ApiError(
                401, "wrong or missing key: send the header Authorization: Bearer KEY", code="invalid_api_key"
            )
        return await handler(request)

    return guard


def _knows(authorization: str, api_key: Secret) -> bool:
    expected = f"Bearer {api_key.reveal()}"
    return hmac.compare_digest(authorization.encode("utf-8", "surrogateescape"), expected.encode())
