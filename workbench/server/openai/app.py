"""The application: its routes, access to it, and how it is served on loopback."""

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
from workbench.plugin.values import Secret
from workbench.server.openai.chat import chat_handler
from workbench.server.openai.http import ApiError, api_error
from workbench.server.openai.speech import speech_handler
from workbench.server.openai.transcriptions import transcription_handler

LARGEST_BODY = 25 * 1024 * 1024
"""Bytes of a request, OpenAI's own limit for an upload."""
GRACE_S = 0.5
"""For requests in flight when the server stops, s."""


def create_app(stt: Stt, llm: Llm, tts: Tts, *, api_key: Secret | None = None) -> web.Application:
    """Return the API over three providers that have been entered; with `api_key`, requests must have that key."""
    app = web.Application(client_max_size=LARGEST_BODY, middlewares=[_errors_as_openai, _guard(api_key)])
    list_models, get_model = model_handlers(stt.name, llm.name, tts.name)
    app.router.add_get("/v1/models", list_models)
    app.router.add_get("/v1/models/{id:.+}", get_model)
    app.router.add_post("/v1/chat/completions", chat_handler(llm))
    app.router.add_post("/v1/audio/transcriptions", transcription_handler(stt))
    app.router.add_post("/v1/audio/speech", speech_handler(tts))
    return app


@asynccontextmanager
async def serving(
    stt: Stt, llm: Llm, tts: Tts, *, host: str = "127.0.0.1", port: int = 0, api_key: Secret | None = None
) -> AsyncIterator[str]:
    """Enter and warm the providers and serve them until left; yield the base URL. Port 0 is any free one.

    Raises UsageError for an address that is not loopback, or a port that is taken.
    """
    if not is_loopback(host):
        hint = "this server has no encryption, no accounts: serve on 127.0.0.1, and reach it from elsewhere by ssh -L"
        raise UsageError(f"{host} is not an address of this machine alone", hint)
    async with stt, llm, tts:
        for provider in (stt, llm, tts):
            await provider.warm()
        # A client that goes away cancels its handler, and with it the generation.
        app = create_app(stt, llm, tts, api_key=api_key)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=GRACE_S)
        await runner.setup()
        try:
            yield await _open(runner, host, port)
        finally:
            await runner.cleanup()


async def _open(runner: web.AppRunner, host: str, port: int) -> str:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        reason = f"cannot listen on {host}, port {port}: {error.strerror or error}"
        raise UsageError(reason, "choose another port, or 0 for any free one") from error
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{runner.addresses[0][1]}/v1"


def is_loopback(host: str, *, url: bool = False) -> bool:
    """Return whether a host name or address, or the host of a URL, means this machine alone."""
    try:
        name = urlsplit(host).hostname or "" if url else host
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def model_handlers(*names: str) -> tuple[Handler, Handler]:
    """Return the handlers of `GET /v1/models` and of `GET /v1/models/{id}`."""
    common = {"object": "model", "created": int(time.time()), "owned_by": "workbench"}
    models: dict[str, dict[str, Any]] = {name: {"id": name, **common} for name in names}

    async def list_models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [*models.values()]})

    async def get_model(request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in models:
            raise ApiError(404, f"there is no model {name!r}", param="model", code="model_not_found")
        return web.json_response(models[name])

    return list_models, get_model


@web.middleware
async def _errors_as_openai(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error in OpenAI's shape."""
    try:
        return await handler(request)
    except ApiError as error:
        return error.response()
    except WorkbenchError as error:
        return api_error(error).response()
    except web.HTTPRequestEntityTooLarge:
        return ApiError(413, f"a request may have {LARGEST_BODY // 1024 // 1024} MiB").response()
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return ApiError(405, f"{request.method} is not allowed for {request.path}, but {allowed}").response()
    except web.HTTPException as error:
        return ApiError(error.status, f"{error.reason}: {request.method} {request.path}").response()


def _guard(api_key: Secret | None) -> Middleware:
    expected = f"Bearer {api_key.reveal()}".encode() if api_key else b""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Admit programs on this machine only: a web page of a stranger runs here too, and its browser sends its
        origin, or a host name of theirs that leads to loopback."""
        origin = request.headers.get("Origin")
        if not all(is_loopback(url, url=True) for url in (f"//{request.host}", origin) if url):
            raise ApiError(403, "this server answers programs on its own machine only")
        authorization = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if expected and not hmac.compare_digest(authorization, expected):
            message = "wrong or missing key: send the header Authorization: Bearer KEY"
            raise ApiError(401, message, code="invalid_api_key")
        return await handler(request)

    return guard
