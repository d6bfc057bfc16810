"""Stand-ins for the servers that have a preset: each answers as that server does on the wire.

What differs between them is what is here: the form of chunks and errors, what they refuse, and what they send besides.
"""

from __future__ import annotations

import io
import itertools
import json
import struct
import wave
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from aiohttp import web

Json = dict[str, Any]
WORDS = ("Seven ", "euros, ", "I think.")
HEARD = "How much is the tea?"
ARGUMENTS = '{"item": "tea"}'


def tone(rate: int, seconds: float = 0.5) -> bytes:
    samples = 8000 * np.sin(np.arange(round(rate * seconds)) * 2 * np.pi * 440 / rate)
    return samples.astype("<i2").tobytes()


def wav(rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(tone(rate))
    return file.getvalue()


def endless_wav(rate: int) -> bytes:
    """A wav whose length was not known when it began."""
    fmt = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    endless = b"\xff\xff\xff\xff"
    return b"RIFF" + endless + b"WAVEfmt \x10\0\0\0" + fmt + b"data" + endless + tone(rate)


class StandIn:
    """A server that speaks OpenAI's API: what others do differently is overridden."""

    name = ""
    stages: ClassVar[tuple[str, ...]] = ("llm",)
    paths: ClassVar[tuple[str, ...]] = ("/v1",)
    """Where the API is."""
    key: ClassVar[tuple[str, str] | None] = None
    """The header that must carry the key, and its whole value."""
    usage: ClassVar[Json] = {"prompt_tokens": 21, "completion_tokens": 9, "total_tokens": 30}

    def __init__(self) -> None:
        self.requests: list[tuple[str, Json]] = []
        self.refusals: list[str] = []
        self.refused_chats = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        path = next((path for path in self.paths if request.path.startswith(path)), None)
        if path is None:
            return self.unknown_path(request)
        if self.key and request.headers.get(self.key[0]) != self.key[1]:
            return self.error(401, "invalid key")
        kind = request.path.removeprefix(path)
        form = request.content_type == "multipart/form-data"
        body: Json = (
            dict(await request.post()) if form else await request.json() if request.can_read_body else {}
        )
        self.requests.append((kind, body))
        match kind:
            case "/models":
                return web.json_response(self.models())
            case "/chat/completions" if "llm" in self.stages:
                return await self.chat(request, body)
            case "/audio/transcriptions" if "stt" in self.stages:
                return self.transcription(body)
            case "/audio/speech" if "tts" in self.stages:
                return self.speech(body)
        return self.unknown_path(request)

    # --- what differs ------------------------------------------------------------------------------------------------

    def models(self) -> Json:
        return {"object": "list", "data": []}

    def unknown_path(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": f"Unknown path {request.path}"}}, status=404)

    def error(self, status: int, message: str) -> web.StreamResponse:
        self.refusals.append(message)
        return web.json_response({"error": {"message": message, "code": None}}, status=status)

    def refusal(self, body: Json) -> tuple[int, str] | None:
        """Why a chat is refused."""
        return None

    def lines(self, body: Json) -> Iterator[str]:
        """The lines of a streamed answer."""
        for chunk in self.chunks(body):
            yield f"data: {json.dumps(chunk)}"
        yield "data: [DONE]"

    def chunks(self, body: Json) -> Iterator[Json]:
        called = wants_tool(body)
        yield self.chunk({"role": "assistant", "content": None if called else ""})
        if called:
            yield from self.call_chunks()
        else:
            for word in WORDS:
                yield self.chunk({"content": word})
        yield self.chunk({}, "tool_calls" if called else "stop")
        if (body.get("stream_options") or {}).get("include_usage"):
            yield {**self.head(), "choices": [], "usage": self.usage}

    def call_chunks(self) -> Iterator[Json]:
        function = {"name": "price", "arguments": ""}
        yield self.chunk(
            {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}
        )
        for piece in (ARGUMENTS[:5], ARGUMENTS[5:]):
            yield self.chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})

    def head(self) -> Json:
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def chunk(self, delta: Json, finish: str | None = None, **more: Any) -> Json:
        return {**self.head(), "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}

    def transcription(self, body: Json) -> web.StreamResponse:
        return web.json_response({"text": HEARD})

    def speech(self, body: Json) -> web.StreamResponse:
        return web.Response(body=tone(24_000), content_type="audio/pcm")

    # --- the same everywhere -----------------------------------------------------------------------------------------

    async def chat(self, request: web.Request, body: Json) -> web.StreamResponse:
        if (refusal := self.refusal(body)) is not None:
            self.refused_chats += 1
            return self.error(*refusal)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for line in self.lines(body):
            await response.write(f"{line}\n\n".encode())
        await response.write_eof()
        return response


def wants_tool(body: Mapping[str, Any]) -> bool:
    """Whether the model of a stand-in calls the tool: it is offered one, and has no result yet."""
    return bool(body.get("tools")) and body["messages"][-1]["role"] == "user"


class Ollama(StandIn):
    """The role in every chunk; whole calls in one chunk; usage after the end; no path for speech."""

    name = "ollama"

    def models(self) -> Json:
        model = {"id": "llama3.2:latest", "object": "model", "created": 1, "owned_by": "library"}
        return {"object": "list", "data": [model]}

    def head(self) -> Json:
        return {**super().head(), "system_fingerprint": "fp_ollama"}

    def unknown_path(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="404 page not found", status=404)

    def refusal(self, body: Json) -> tuple[int, str] | None:
        return None if body["model"] == "llama3.2" else (404, f"model '{body['model']}' not found")

    def chunks(self, body: Json) -> Iterator[Json]:
        if wants_tool(body):
            function = {"name": "price", "arguments": ARGUMENTS}
            call = {"id": "call_a1", "index": 0, "type": "function", "function": function}
            yield self.chunk({"role": "assistant", "content": "", "tool_calls": [call]})
            yield self.chunk({"role": "assistant", "content": ""}, "tool_calls")
        else:
            for word in WORDS:
                yield self.chunk({"role": "assistant", "content": word})
            yield self.chunk({"role": "assistant", "content": ""}, "stop")
        yield {**self.head(), "choices": [], "usage": self.usage}


class LmStudio(StandIn):
    """Errors are a text; a path that it does not know is answered with 200 and an error."""

    name = "lmstudio"

    def models(self) -> Json:
        return {"data": [{"id": "qwen/qwen3-4b-2507", "object": "model", "owned_by": "organization_owner"}]}

    def unknown_path(self, request: web.Request) -> web.StreamResponse:
        said = f"Unexpected endpoint or method. ({request.method} {request.path}). Returning 200 anyway"
        return web.json_response({"error": said})

    def error(self, status: int, message: str) -> web.StreamResponse:
        self.refusals.append(message)
        return web.json_response({"error": message}, status=status)

    def chunk(self, delta: Json, finish: str | None = None, **more: Any) -> Json:
        return super().chunk(delta, finish, logprobs=None)


class Vllm(StandIn):
    """Thinking in `reasoning`; tools are refused without the flags of the server; errors have the status as code."""

    name = "vllm"

    def models(self) -> Json:
        model = {"id": "Qwen/Qwen3-8B", "object": "model", "owned_by": "vllm", "root": "Qwen/Qwen3-8B"}
        return {"object": "list", "data": [{**model, "max_model_len": 40960, "permission": []}]}

    def error(self, status: int, message: str) -> web.StreamResponse:
        self.refusals.append(message)
        error = {"message": message, "type": "BadRequestError", "param": None, "code": status}
        return web.json_response({"error": error}, status=status)

    def refusal(self, body: Json) -> tuple[int, str] | None:
        said = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        return (400, said) if body.get("tools") else None

    def chunks(self, body: Json) -> Iterator[Json]:
        assert body["chat_template_kwargs"] == {"enable_thinking": False}
        chunks = super().chunks(body)
        yield next(chunks)
        yield self.chunk({"reasoning": "They want a price."})
        yield from chunks


class LlamaCpp(StandIn):
    """Templates are the user's: tools need --jinja, roles must alternate; the last chunk has timings."""

    name = "llamacpp"

    def models(self) -> Json:
        path = "/models/qwen2.5-7b-instruct-q4_k_m.gguf"
        return {"models": [{"name": path}], "object": "list", "data": [{"id": path, "owned_by": "llamacpp"}]}

    def error(self, status: int, message: str) -> web.StreamResponse:
        self.refusals.append(message)
        error = {"code": status, "message": message, "type": "server_error"}
        return web.json_response({"error": error}, status=status)

    def refusal(self, body: Json) -> tuple[int, str] | None:
        if body.get("tools"):
            return 500, "tools param requires --jinja flag"
        roles = [message["role"] for message in body["messages"] if message["role"] != "system"]
        if roles[0] != "user" or any(one == other for one, other in itertools.pairwise(roles)):
            return (
                500,
                "Conversation roles must alternate user/assistant/user/assistant/... at row 1, column 1",
            )
        return None

    def chunks(self, body: Json) -> Iterator[Json]:
        for chunk in super().chunks(body):
            ends = bool(chunk["choices"]) and chunk["choices"][0]["finish_reason"]
            yield {**chunk, "timings": {"prompt_n": 21, "predicted_n": 9}} if ends else chunk


class Groq(StandIn):
    """`x_groq` in the first and the last chunk, with the usage; a strict API; voices in wav only, of unknown length."""

    name = "groq"
    stages = ("stt", "llm", "tts")
    paths = ("/v1",)
    key = ("Authorization", "Bearer gsk-1234567")

    def refusal(self, body: Json) -> tuple[int, str] | None:
        known = {"model", "messages", "stream", "stream_options", "tools", "tool_choice", "reasoning_effort"}
        if unknown := sorted(body.keys() - known):
            return 400, f"property '{unknown[0]}' is unsupported"
        return None

    def chunks(self, body: Json) -> Iterator[Json]:
        assert body["reasoning_effort"] == "low"
        for number, chunk in enumerate(super().chunks(body)):
            if number == 0:
                yield {**chunk, "x_groq": {"id": "req_1"}}
                yield self.chunk({"reasoning": "They want a price.", "channel": "analysis"})
            elif chunk["choices"] and chunk["choices"][0]["finish_reason"]:
                usage = {"queue_time": 0.01, **self.usage, "total_time": 0.1}
                yield {**chunk, "x_groq": {"id": "req_1", "usage": usage}}
            elif chunk["choices"]:
                yield chunk

    def transcription(self, body: Json) -> web.StreamResponse:
        return web.json_response({"text": f" {HEARD}", "x_groq": {"id": "req_2"}})

    def speech(self, body: Json) -> web.StreamResponse:
        if body["response_format"] != "wav":
            return self.error(400, "response_format must be one of [wav]")
        return web.Response(body=endless_wav(48_000), content_type="audio/wav")


class OpenRouter(StandIn):
    """Comments while it waits for a provider; the usage, with what it cost, in a chunk with an empty choice."""

    name = "openrouter"
    key = ("Authorization", "Bearer sk-or-1234567")

    def lines(self, body: Json) -> Iterator[str]:
        yield ": OPENROUTER PROCESSING"
        yield ": OPENROUTER PROCESSING"
        yield from super().lines(body)

    def head(self) -> Json:
        return {**super().head(), "id": "gen-1", "provider": "OpenAI"}

    def chunks(self, body: Json) -> Iterator[Json]:
        assert body["usage"] == {"include": True}
        yield from (chunk for chunk in super().chunks(body) if chunk["choices"])
        usage = {**self.usage, "cost": 0.00042, "cost_details": {"upstream_inference_cost": None}}
        yield {**self.chunk({"role": "assistant", "content": ""}), "usage": usage}


class Azure(StandIn):
    """The key in `api-key`, the deployment in the path; a first chunk without choices, and filters beside the text."""

    name = "azure"
    paths = ("/openai/deployments/YOUR-DEPLOYMENT",)
    key = ("api-key", "azure-1234567")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if not request.query.get("api-version") or "Authorization" in request.headers:
            return self.error(404, "Resource not found")
        return await super().answer(request)

    def unknown_path(self, request: web.Request) -> web.StreamResponse:
        return self.error(404, "Resource not found")

    def error(self, status: int, message: str) -> web.StreamResponse:
        self.refusals.append(message)
        return web.json_response({"error": {"code": str(status), "message": message}}, status=status)

    def chunks(self, body: Json) -> Iterator[Json]:
        safe = {"hate": {"filtered": False, "severity": "safe"}}
        prompt = [{"prompt_index": 0, "content_filter_results": safe}]
        yield {
            "choices": [],
            "created": 0,
            "id": "",
            "model": "",
            "object": "",
            "prompt_filter_results": prompt,
        }
        for chunk in super().chunks(body):
            if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                chunk["choices"][0]["content_filter_results"] = safe
            yield chunk
            if chunk["choices"] and chunk["choices"][0]["finish_reason"]:
                offsets = {"check_offset": 1, "start_offset": 1, "end_offset": 9}
                choice = {"index": 0, "finish_reason": None, "content_filter_offsets": offsets}
                yield {**self.head(), "choices": [{**choice, "content_filter_results": safe}]}


class Speaches(StandIn):
    """Raw sound at the model's rate, which it does not say; a model that is not installed is a 404 with a detail."""

    name = "speaches"
    stages = ("stt", "tts")

    def error(self, status: int, message: str) -> web.StreamResponse:
        self.refusals.append(message)
        return web.json_response({"detail": message}, status=status)

    def transcription(self, body: Json) -> web.StreamResponse:
        if body["model"] != "Systran/faster-distil-whisper-small.en":
            return self.error(404, f"Model '{body['model']}' is not installed locally.")
        return web.Response(
            text=json.dumps({"text": HEARD, "logprobs": None}), content_type="application/json"
        )

    def speech(self, body: Json) -> web.StreamResponse:
        rate = body.get("sample_rate") or 22_050
        return web.Response(body=tone(rate), content_type="audio/pcm")


class Kokoro(StandIn):
    """A voice alone; errors are a detail with a message."""

    name = "kokoro"
    stages = ("tts",)

    def models(self) -> Json:
        return {"object": "list", "data": [{"id": name} for name in ("tts-1", "tts-1-hd", "kokoro")]}

    def speech(self, body: Json) -> web.StreamResponse:
        if body["voice"] != "af_heart":
            detail = {"error": "validation_error", "message": f"Voice {body['voice']} not found."}
            return web.json_response({"detail": detail}, status=400)
        return web.Response(body=tone(24_000), content_type="audio/pcm")


class LocalAi(StandIn):
    """Usage and an empty finish reason in every chunk; segments with the text; a whole wav whatever is asked for."""

    name = "localai"
    stages = ("stt", "llm", "tts")

    def models(self) -> Json:
        return {
            "object": "list",
            "data": [{"id": name, "object": "model"} for name in ("gpt-4", "whisper-1", "tts-1")],
        }

    def chunks(self, body: Json) -> Iterator[Json]:
        for chunk in super().chunks(body):
            for choice in chunk["choices"]:
                choice["finish_reason"] = choice["finish_reason"] or ""
            yield {**chunk, "usage": self.usage if not chunk["choices"] else {"prompt_tokens": 0}}

    def transcription(self, body: Json) -> web.StreamResponse:
        segment = {"id": 0, "start": 0, "end": 1500000000, "text": f" {HEARD}", "tokens": [1, 2]}
        return web.json_response({"segments": [segment], "text": HEARD})

    def speech(self, body: Json) -> web.StreamResponse:
        return web.Response(body=wav(22_050), content_type="audio/x-wav")


STAND_INS: dict[str, type[StandIn]] = {
    kind.name: kind
    for kind in (Ollama, LmStudio, Vllm, LlamaCpp, Groq, OpenRouter, Azure, Speaches, Kokoro, LocalAi)
}
