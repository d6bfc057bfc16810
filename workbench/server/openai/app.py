"""The application: its routes, and how it is served."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from workbench.engine.interfaces import Llm, Stt, Tts
from workbench.model.errors import UsageError, WorkbenchError
from workbench.plugin.values import Secret
from workbench.server.openai.access import check_access, cross_origin, guard, is_loopback
from workbench.server.openai.chat import chat_handler
from workbench.server.openai.http import ApiError, api_error
from workbench.server.openai.speech import speech_handler
from workbench.server.openai.transcriptions import transcription_handler

LARGEST_BODY = 25 * 1024 * 1024
"""Bytes of a request, OpenAI's own limit for an upload."""
GRACE_S = 0.5
"""For requests in flight when the server stops, s."""


def create_app(
    stt: Stt,
    llm: Llm,
    tts: Tts,
    *,
    api_key: Secret | None = None,
    origins: Collection[str] = (),
    private: bool = True,
) -> web.Application:
    """Return the API over three providers that have been entered.

    With `api_key`, requests must have that key. Web pages of `origins` may use it, beside those of this machine. A
    `private` server is reached by this machine's own names only.
    """
    middlewares = [_errors_as_openai, guard(api_key, origins, private=private)]
    app = web.Application(client_max_size=LARGEST_BODY, middlewares=middlewares)
    app.on_response_prepare.append(cross_origin(origins))
    list_models, get_model = model_handlers(stt.name, llm.name, tts.name)
    app.router.add_get("/v1/models", list_models)
    app.router.add_get("/v1/models/{id:.+}", get_model)
    app.router.add_post("/v1/chat/completions", chat_handler(llm))
    app.router.add_post("/v1/audio/transcriptions", transcription_handler(stt))
    app.router.add_post("/v1/audio/speech", speech_handler(tts))
    return app


@asynccontextmanager
async def serving(
    stt: Stt,
    llm: Llm,
    tts: Tts,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    api_key: Secret | None = None,
    origins: Collection[str] = (),
) -> AsyncIterator[str]:
    """Enter and warm the providers and serve them until left; yield the base URL. Port 0 is any free one.

    Raises UsageError for an address that is not loopback or any origin without a key, and for a port that is taken.
    """
    check_access(host, api_key, origins)
    async with stt, llm, tts:
        for provider in (stt, llm, tts):
            await provider.warm()
        # A client that goes away cancels its handler, and with it the generation.
        app = create_app(stt, llm, tts, api_key=api_key, origins=origins, private=is_loopback(host))
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
    name = "127.0.0.1" if host in ("", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{name}:{runner.addresses[0][1]}/v1"


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
