"""An OpenAI-shaped API on loopback that fails on demand, for tests of its clients.

    async with FaultyApi("busy", retry_after="2") as api:
        stt = OpenAiStt(ProviderOptions("whisper", base_url=api.base_url))
        …                                   # 429, with the header Retry-After: 2
        api.fault = None                    # well again

Without a fault it answers every transcription with `SAID`, every chat with `ANSWER`, and speaks `SOUND`.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

import numpy as np
from aiohttp import web

from workbench.model.audio import OUTPUT_RATE, Samples

Fault = Literal[
    "unauthorized",  # 401, and the message repeats the key
    "unknown_model",  # 404
    "busy",  # 429 with Retry-After
    "error",  # 500
    "hangs",  # takes the request and never answers
    "hangs_midway",  # begins an answer and never goes on (a transcription has no middle: never answers)
    "stops",  # begins an answer and hangs up
    "ends_early",  # the answer ends in good order, but before its end
    "garbage",  # 200, and a body that is nonsense
    "html",  # 200 and a web page, as from a proxy's login
    "slow",  # the right answer after `slow_s`
]
FAULTS: tuple[Fault, ...] = get_args(Fault)

SAID = "Hello there."
ANSWER = ("Hello", " to", " you", ".")
SOUND: Samples = (8000 * np.sin(np.arange(OUTPUT_RATE // 2) * 2 * np.pi * 220 / OUTPUT_RATE)).astype(np.int16)
"""Half a second at 24 kHz."""
PAGE = "<!doctype html><title>Please log in</title>"


class FaultyApi:
    """The server, open while entered. `fault` may be changed at any time and applies to the requests after that."""

    def __init__(self, fault: Fault | None = None, *, retry_after: str = "1", slow_s: float = 0.05) -> None:
        self.fault = fault
        self.retry_after = retry_after
        """The header of the fault `busy`: seconds, or a date of HTTP."""
        self.slow_s = slow_s
        self.base_url = ""
        self.calls: Counter[str] = Counter()
        """Requests so far by path, `/v1/audio/speech` for one."""
        self.bodies: list[Any] = []
        """Bodies of chat and speech requests, and fields of transcriptions, the file as bytes."""
        self.arrived = asyncio.Event()
        """Set when a request comes; clear it to wait for the next."""
        self.left = asyncio.Event()
        """Set when a client goes away before its answer is complete."""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/v1/models", self._answer)
        for path in ("chat/completions", "audio/transcriptions", "audio/speech"):
            app.router.add_post(f"/v1/{path}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.calls[request.path] += 1
        self.arrived.set()
        try:
            if request.content_type == "application/json":
                self.bodies.append(await request.json())
            elif request.content_type == "multipart/form-data":
                self.bodies.append(_fields(await request.post()))
            return await self._refuse(request) or await self._respond(request)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    async def _refuse(self, request: web.Request) -> web.StreamResponse | None:
        """Return the response of a fault that answers otherwise than asked, None for the others."""
        match self.fault:
            case "unauthorized":
                key = request.headers.get("Authorization", "").removeprefix("Bearer ")
                return _error(401, f"Incorrect API key provided: {key}", "invalid_api_key")
            case "unknown_model":
                return _error(404, "The model does not exist", "model_not_found")
            case "busy":
                return _error(429, "Rate limit reached", "rate_limit_exceeded", retry_after=self.retry_after)
            case "error":
                return _error(500, "The server had an error", None)
            case "html":
                return web.Response(text=PAGE, content_type="text/html")
            case "hangs":
                await asyncio.Event().wait()
            case "slow":
                await asyncio.sleep(self.slow_s)
        return None

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        """Return the right answer, or its beginning."""
        pieces, content_type = _answer_to(request.path)
        if self.fault == "garbage":
            pieces = [b'data: {"choices": [}\n\n'] if "event-stream" in content_type else [b'{"text": \xff']
            content_type = "application/json" if "audio" in content_type else content_type
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        cut_at = 1 if self.fault in ("hangs_midway", "stops", "ends_early") else len(pieces)
        for piece in pieces[:cut_at]:
            await response.write(piece)
        if self.fault == "hangs_midway":
            await asyncio.Event().wait()
        if self.fault == "stops" and request.transport:
            request.transport.close()
            return response
        await response.write_eof()
        return response


def _fields(form: Mapping[str, str | bytes | bytearray | web.FileField]) -> dict[str, Any]:
    """Return the fields of a form, a file as its bytes."""
    fields: dict[str, Any] = {}
    for name, value in form.items():
        if isinstance(value, web.FileField):
            with value.file as file:
                fields[name] = file.read()
        else:
            fields[name] = value
    return fields


def _answer_to(path: str) -> tuple[list[bytes], str]:
    """Return the right answer in pieces, and its content type."""
    match path.rpartition("/")[2]:
        case "models":
            body = json.dumps({"object": "list", "data": []})
        case "transcriptions":
            body = json.dumps({"text": SAID})
        case "speech":
            data = SOUND.astype("<i2").tobytes()
            # Pieces of an odd length: a network knows nothing of samples.
            return [data[at : at + 4801] for at in range(0, len(data), 4801)], "audio/pcm"
        case _:
            return _chat(), "text/event-stream; charset=utf-8"
    return [body[:9].encode(), body[9:].encode()], "application/json"


def _chat() -> list[bytes]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "faulty"}
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        *({"content": text} for text in ANSWER),
        {},
    ]
    chunks = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}]}
        for delta in deltas
    ]
    usage = {"prompt_tokens": 7, "completion_tokens": len(ANSWER), "total_tokens": 7 + len(ANSWER)}
    events = [*map(json.dumps, [*chunks, {**head, "choices": [], "usage": usage}]), "[DONE]"]
    return [f"data: {event}\n\n".encode() for event in events]


def _error(status: int, message: str, code: str | None, *, retry_after: str | None = None) -> web.Response:
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return web.json_response(body, status=status, headers=headers)
