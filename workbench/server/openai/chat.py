"""`POST /v1/chat/completions`."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Literal, Self

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import Field, model_validator

from workbench.engine.interfaces import Llm, LlmPart, Progress, Text
from workbench.model.conversation import Message, Role, ToolCall, ToolSpec, Usage
from workbench.server.openai.http import RequestPart, read_json, send_events


class ChatText(RequestPart):
    type: Literal["text"]
    text: str


class CalledFunction(RequestPart):
    name: str = Field(min_length=1)
    arguments: str


class ChatToolCall(RequestPart):
    id: str = Field(min_length=1)
    type: Literal["function"]
    function: CalledFunction


class ChatMessage(RequestPart):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ChatText] | None = None
    tool_calls: list[ChatToolCall] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.role == "tool" and not self.tool_call_id:
            raise ValueError("a message of the role tool needs tool_call_id")
        if self.content is None and self.role != "assistant":
            raise ValueError("a message needs content")
        return self

    def to_message(self) -> Message:
        parts = self.content if isinstance(self.content, list) else []
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in parts)
        calls = [
            ToolCall(call.id, call.function.name, call.function.arguments) for call in self.tool_calls or ()
        ]
        role: Role = "system" if self.role == "developer" else self.role
        return Message(role, text, tuple(calls), self.tool_call_id)


class ChatFunction(RequestPart):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})


class ChatTool(RequestPart):
    type: Literal["function"]
    function: ChatFunction

    def to_spec(self) -> ToolSpec:
        return ToolSpec(self.function.name, self.function.description, self.function.parameters)


class StreamOptions(RequestPart):
    include_usage: bool = False


class ResponseFormat(RequestPart):
    type: Literal["text"]


class ChatRequest(RequestPart):
    """The body of a request. Fields that would change the answer's meaning and cannot be obeyed are refused; those that
    only tune it (temperature, top_p, seed, max_tokens, stop…) are ignored, as an `Llm` takes none."""

    model: str = Field(min_length=1)
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[ChatTool] | None = None
    tool_choice: Literal["auto", "none"] | None = None
    n: Literal[1] | None = None
    response_format: ResponseFormat | None = None
    modalities: list[Literal["text"]] | None = None


def chat_handler(llm: Llm) -> Handler:
    """Return the handler that answers with this model, whole or streamed."""

    async def answer(http_request: web.Request) -> web.StreamResponse:
        request = await read_json(http_request, ChatRequest)
        tools = [] if request.tool_choice == "none" else [tool.to_spec() for tool in request.tools or ()]
        # `created` means the wall clock
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": llm.name}
        async with llm.reply([message.to_message() for message in request.messages], tools) as parts:
            if not request.stream:
                return web.json_response({**head, "object": "chat.completion", **await _completion(parts)})
            usage = bool(request.stream_options and request.stream_options.include_usage)
            async with aclosing(_chunks(parts, head, usage=usage)) as chunks:
                return await send_events(http_request, chunks, done="[DONE]")

    return answer


async def _completion(parts: AsyncIterator[LlmPart]) -> dict[str, Any]:
    text, calls, usage = "", [], Usage()
    async for part in parts:
        match part:
            case Text():
                text += part.text
            case ToolCall():
                calls.append(_call(part))
            case Usage():
                usage += part
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text or (None if calls else ""),
        "refusal": None,
    }
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(calls), "logprobs": None}
    return {"choices": [choice], "usage": _usage(usage)}


async def _chunks(
    parts: AsyncIterator[LlmPart], head: dict[str, Any], *, usage: bool
) -> AsyncGenerator[dict[str, Any]]:
    """Yield the chunks of a streamed answer; with `usage` a last one has its tokens."""
    head = {**head, "object": "chat.completion.chunk"}
    more = {"usage": None} if usage else {}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return {**head, "choices": [choice], **more}

    opening = chunk({"role": "assistant", "content": "", "refusal": None})
    begun, calls, tokens = False, 0, Usage()
    async for part in parts:
        if not begun:  # not before: a model may fail, which is then the request's status
            yield opening
            begun = True
        match part:
            case Text():
                yield chunk({"content": part.text})
            case Progress(kind="thinking"):
                yield chunk({"reasoning_content": part.text})
            case ToolCall():
                yield chunk({"tool_calls": [{"index": calls, **_call(part)}]})
                calls += 1
            case Usage():
                tokens += part
    if not begun:
        yield opening
    yield chunk({}, _finish_reason(calls))
    if usage:
        yield {**head, "choices": [], "usage": _usage(tokens)}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish_reason(calls: object) -> str:
    return "tool_calls" if calls else "stop"


def _usage(usage: Usage) -> dict[str, int]:
    tokens = {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}
    return {**tokens, "total_tokens": usage.input_tokens + usage.output_tokens}
