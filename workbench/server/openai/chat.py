"""`POST /v1/chat/completions`."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Literal, Self

from aiohttp import web
from pydantic import BaseModel, Field, model_validator

from workbench.engine.interfaces import Llm, LlmPart, Text
from workbench.model.conversation import Message, Role, ToolCall, ToolSpec, Usage
from workbench.server.openai.http import read_json, send_events

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class CalledFunction(BaseModel):
    name: str = Field(min_length=1)
    arguments: str


class PastCall(BaseModel):
    id: str = Field(min_length=1)
    type: Literal["function"]
    function: CalledFunction


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[PastCall] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.role == "tool" and not self.tool_call_id:
            raise ValueError("a message of the role tool needs tool_call_id")
        if self.content is None and not self.tool_calls:
            raise ValueError("a message needs content")
        return self

    def ours(self) -> Message:
        parts = self.content if isinstance(self.content, list) else []
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in parts)
        calls = tuple(
            ToolCall(call.id, call.function.name, call.function.arguments) for call in self.tool_calls or ()
        )
        return Message(ROLES[self.role], text, calls, self.tool_call_id)


class Function(BaseModel):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})


class Tool(BaseModel):
    type: Literal["function"]
    function: Function

    def ours(self) -> ToolSpec:
        return ToolSpec(self.function.name, self.function.description, self.function.parameters)


class StreamOptions(BaseModel):
    include_usage: bool = False


class ResponseFormat(BaseModel):
    type: Literal["text"]


class ChatRequest(BaseModel):
    """What is asked. Fields that would change the answer's meaning and cannot be obeyed are refused; those that only
    tune it (temperature, top_p, seed, max_tokens, stop…) are not obeyed, as an `Llm` takes none."""

    model: str = Field(min_length=1)
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["auto", "none"] | None = None
    n: Literal[1] | None = None
    response_format: ResponseFormat | None = None
    modalities: list[Literal["text"]] | None = None


class ChatRoute:
    """Answers with one `Llm`."""

    def __init__(self, llm: Llm) -> None:
        self._llm = llm

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Whole or streamed, as it was asked for."""
        asked = await read_json(request, ChatRequest)
        tools = [] if asked.tool_choice == "none" else [tool.ours() for tool in asked.tools or ()]
        head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),  # the wall clock: that is what this field means
            "model": self._llm.name,
        }
        async with self._llm.reply([message.ours() for message in asked.messages], tools) as parts:
            if not asked.stream:
                return web.json_response({**head, "object": "chat.completion", **await _whole(parts)})
            usage = bool(asked.stream_options and asked.stream_options.include_usage)
            async with aclosing(_chunks(parts, head, usage=usage)) as chunks:
                return await send_events(request, chunks, done="[DONE]")


async def _whole(parts: AsyncIterator[LlmPart]) -> dict[str, Any]:
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
    choice = {"index": 0, "message": message, "finish_reason": _finish(calls), "logprobs": None}
    return {"choices": [choice], "usage": _usage(usage)}


async def _chunks(
    parts: AsyncIterator[LlmPart], head: dict[str, Any], *, usage: bool
) -> AsyncGenerator[dict[str, Any]]:
    """The chunks of a streamed answer; with `usage` a last one tells what it cost."""
    head = {**head, "object": "chat.completion.chunk"}
    more = {"usage": None} if usage else {}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return {**head, "choices": [choice], **more}

    begun, calls, cost = False, 0, Usage()
    async for part in parts:
        if not begun:
            yield chunk({"role": "assistant", "content": "", "refusal": None})
            begun = True
        match part:
            case Text():
                yield chunk({"content": part.text})
            case ToolCall():
                yield chunk({"tool_calls": [{"index": calls, **_call(part)}]})
                calls += 1
            case Usage():
                cost += part
    if not begun:
        yield chunk({"role": "assistant", "content": "", "refusal": None})
    yield chunk({}, _finish(calls))
    if usage:
        yield {**head, "choices": [], "usage": _usage(cost)}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish(calls: object) -> str:
    return "tool_calls" if calls else "stop"


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
