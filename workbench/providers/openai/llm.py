"""A language model by `/chat/completions`, streamed."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from openai import AsyncStream
from openai.types.chat import (
    ChatCompletionChunk,
    ChatCompletionContentPartParam,
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
)
from openai.types.shared_params import FunctionDefinition

from workbench.engine.interfaces import Llm, LlmPart
from workbench.model.clock import outside
from workbench.model.conversation import Message, Picture, ToolSpec
from workbench.model.errors import BusyError, DeadlineError, EndedEarlyError, StageError
from workbench.plugin.values import ProviderOptions
from workbench.providers.openai.client import ApiStage
from workbench.providers.openai.stream import AnswerStream

Chunks = AsyncStream[ChatCompletionChunk]
NO_TOOLS = re.compile(
    r"not support (?:\w+ )?(?:tools|function)|tools? (?:choice|param) requires|endpoints found that support tool use"
)
"""How Ollama, vLLM, llama.cpp and OpenRouter say that a model, or the server as it was started, takes no tools."""


class OpenAiLlm(ApiStage, Llm):
    """Streams pieces of text as they come, whole tool calls when they are complete, and the usage at the end."""

    sees = True
    """Messages may have pictures."""

    def __init__(self, options: ProviderOptions) -> None:
        super().__init__("llm", options)
        self._tools: Sequence[ToolSpec] = ()
        """The tools of the last request that had any."""

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> AsyncIterator[AsyncIterator[LlmPart]]:
        """Ask for an answer; leaving the context closes the connection, so that the server stops too."""
        chunks = await self._open(messages, tools)
        try:
            async with aclosing(self._parts(chunks, may_be_empty=_has_spoken(messages))) as parts:
                yield parts
        finally:
            with outside():
                await chunks.close()

    async def _parts(self, chunks: Chunks, *, may_be_empty: bool) -> AsyncGenerator[LlmPart]:
        answer = AnswerStream(self.endpoint)
        while True:
            try:
                with self.endpoint.request(streaming=True):
                    chunk = _plain(await anext(chunks, None))
            except (EndedEarlyError, DeadlineError):
                if not answer.finished:
                    raise
                break  # the answer is whole, only its usage or the end of the stream is missing
            if chunk is None:
                break
            for part in answer.read(chunk):
                self.load.answered()
                yield part
        for part in answer.end(chunks.response.headers.get("content-type", ""), may_be_empty=may_be_empty):
            yield part

    async def _open(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Chunks:
        """Make the request, again without what the server refuses and can be left out; that is remembered."""
        self._tools = tools or self._tools
        while True:
            request = self._request(messages, tools)
            try:
                return await self.load.run(partial(self._create, request), AsyncStream.close)
            except (BusyError, DeadlineError, EndedEarlyError):
                raise
            except StageError as error:
                adaptation = self._adaptation(request, error.reason.lower())
                if adaptation is not None:
                    self._refused.add(adaptation)
                elif not self.leave_out((), error):
                    raise
                if adaptation == "tools":
                    hint = "choose a model that can use tools"
                    self._notice(f"the agent's tools are not used: {error.reason}", hint)

    async def _create(self, request: dict[str, Any]) -> Chunks:
        with self.endpoint.request():
            chunks: Chunks = await self.client.chat.completions.create(**request)
        return chunks

    def _request(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> dict[str, Any]:
        refused, choice = self._refused, None
        params: list[Any] = [*_messages(_alternating(messages) if "roles" in refused else messages)]
        if "content" in refused:
            params = [{**param, "content": param.get("content") or ""} for param in params]
        if "missing_tools" in refused and not tools and any(message.calls for message in messages):
            choice, tools = "none", self._tools
        return self.body(
            model=self.endpoint.model,
            messages=params,
            stream=True,
            stream_options={"include_usage": True},
            tool_choice=choice,
            tools=[_tool(tool, strict="strict" not in refused) for tool in tools] or None,
        )

    def _adaptation(self, request: Mapping[str, Any], reason: str) -> str | None:
        """Return what to change after a refusal that names it; None if nothing can be."""
        params = request["messages"]
        has_calls = any("tool_calls" in param for param in params)
        signs: dict[str, bool] = {
            "stream_options": "stream_options" in request
            and ("stream_options" in reason or "include_usage" in reason),
            "strict": re.search(r"\bstrict\b", reason) is not None
            and any("strict" in tool["function"] for tool in request.get("tools", ())),
            "roles": "alternate" in reason and "role" in reason,
            "content": "content" in reason
            and any(param.get("content", "") is None for param in params)
            and any(word in reason for word in ("null", "none", "string", "required", "empty", "missing")),
            "missing_tools": "tools" in reason and has_calls and "tools" not in request and bool(self._tools),
            "tools": "tools" in request and NO_TOOLS.search(reason) is not None,
        }
        return next((name for name, found in signs.items() if found and name not in self._refused), None)


def _alternating(messages: Sequence[Message]) -> list[Message]:
    """Return the history as templates want it that know user and assistant in turn only, and begin with the user."""
    alternating: list[Message] = []
    for message in messages:
        last = alternating[-1] if alternating else None
        first = last is None or last.role == "system"
        if first and message.role == "assistant":
            alternating.append(Message("user", "…"))
        if (
            last is not None
            and last.role == message.role
            and message.role in ("user", "assistant")
            and not last.calls
        ):
            text = "\n".join(filter(None, (last.text, message.text)))
            pictures = last.pictures + message.pictures
            alternating[-1] = replace(message, text=text, pictures=pictures)
        else:
            alternating.append(message)
    return alternating


def _plain(chunk: Any) -> Any:
    """Return a chunk as plain JSON: the SDK does not validate it, so that anything can be in any field."""
    return chunk.to_dict(mode="json", warnings=False) if isinstance(chunk, ChatCompletionChunk) else chunk


def _has_spoken(messages: Sequence[Message]) -> bool:
    """Whether the agent said something in this turn already, before it used a tool."""
    for message in reversed(messages):
        if message.role == "user":
            return False
        if message.role == "assistant" and message.text.strip():
            return True
    return False


def _messages(messages: Sequence[Message]) -> list[ChatCompletionMessageParam]:
    """Return messages for the API: a tool's result is text, so its pictures follow the results as the user's."""
    params: list[ChatCompletionMessageParam] = []
    pictures: list[Picture] = []
    for message in messages:
        if message.role != "tool" and pictures:
            params.append({"role": "user", "content": _images(pictures)})
            pictures = []
        if message.role == "tool":
            pictures += [picture for picture in message.pictures if picture.jpeg]
        params.append(_message(message))
    if pictures:
        params.append({"role": "user", "content": _images(pictures)})
    return params


def _images(pictures: Iterable[Picture]) -> list[ChatCompletionContentPartParam]:
    urls = [
        f"data:image/jpeg;base64,{b64encode(picture.jpeg).decode()}" for picture in pictures if picture.jpeg
    ]
    return [{"type": "image_url", "image_url": {"url": url}} for url in urls]


def _message(message: Message) -> ChatCompletionMessageParam:
    match message.role:
        case "system":
            return {"role": "system", "content": message.text}
        case "user" if images := _images(message.pictures):
            return {"role": "user", "content": [{"type": "text", "text": message.text}, *images]}
        case "user":
            return {"role": "user", "content": message.text}
        case "tool":
            return {"role": "tool", "content": message.text, "tool_call_id": message.call_id or ""}
        case "assistant" if message.calls:
            return {
                "role": "assistant",
                "content": message.text or None,
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": call.arguments},
                    }
                    for call in message.calls
                ],
            }
        case "assistant":
            return {"role": "assistant", "content": message.text}


def _tool(tool: ToolSpec, *, strict: bool) -> ChatCompletionToolParam:
    function: FunctionDefinition = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    if tool.strict and strict:  # some servers refuse a field that they do not know
        function["strict"] = True
    return {"type": "function", "function": function}
