"""A language model by `/chat/completions`, streamed."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from openai import AsyncStream
from openai.types.chat import (
    ChatCompletionChunk,
    ChatCompletionContentPartParam,
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
)
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall
from openai.types.shared_params import FunctionDefinition

from workbench.engine.interfaces import Llm, LlmPart, Text
from workbench.model.clock import outside
from workbench.model.conversation import Message, Picture, ToolCall, ToolSpec, Usage
from workbench.model.errors import EndedEarlyError, GarbageError, RefusedError
from workbench.plugin.values import ProviderOptions
from workbench.providers.openai.client import ApiStage
from workbench.providers.openai.errors import Endpoint

Chunks = AsyncStream[ChatCompletionChunk]


class OpenAiLlm(ApiStage, Llm):
    """Streams pieces of text as they come, whole tool calls when they are complete, and the usage at the end."""

    sees = True
    """Messages may have pictures."""

    def __init__(self, options: ProviderOptions) -> None:
        super().__init__("llm", options)

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> AsyncIterator[AsyncIterator[LlmPart]]:
        """Ask for an answer; leaving the context closes the connection, so that the server stops too."""
        options: dict[str, Any] = {"tools": [_tool(tool) for tool in tools]} if tools else {}
        with self.endpoint.request():
            chunks: Chunks = await self.client.chat.completions.create(
                model=self.endpoint.model,
                messages=_messages(messages),
                stream=True,
                stream_options={"include_usage": True},
                **options,
            )
        try:
            async with aclosing(_parts(chunks, self.endpoint)) as parts:
                yield parts
        finally:
            with outside():
                await chunks.close()


async def _parts(chunks: Chunks, endpoint: Endpoint) -> AsyncGenerator[LlmPart]:
    answer = StreamedAnswer(endpoint)
    while True:
        try:
            with endpoint.request(streaming=True):
                chunk = await anext(chunks, None)
        except EndedEarlyError:
            if not answer.finished:
                raise
            break  # the answer is whole, only its usage or the end of the stream is missing
        if chunk is None:
            break
        for part in answer.read(chunk):
            yield part
    answer.check_end(chunks.response.headers.get("content-type", ""))
    if answer.usage:
        yield answer.usage


class StreamedAnswer:
    """An answer, put together from its chunks."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._calls: list[StreamedCall] = []
        self._finish: str | None = None
        """The `finish_reason` of the model."""
        self.usage: Usage | None = None

    @property
    def finished(self) -> bool:
        """Whether the model has ended the answer."""
        return self._finish is not None

    def read(self, chunk: ChatCompletionChunk) -> list[LlmPart]:
        """Return the parts that are complete with this chunk; GarbageError if it is not shaped like one.

        The SDK does not validate chunks, so that anything can be in any field.
        """
        try:
            return self._read(chunk)
        except (AttributeError, TypeError, ValueError, IndexError) as error:
            text = f"streamed what is no chunk of an answer: {self._endpoint.clean(str(error))}"
            hint = "check that llm.base_url is an OpenAI-compatible API"
            raise GarbageError(f"{self._endpoint.server} {text}", hint, stage="llm") from error

    def _read(self, chunk: ChatCompletionChunk) -> list[LlmPart]:
        if chunk.usage:
            self.usage = Usage(int(chunk.usage.prompt_tokens or 0), int(chunk.usage.completion_tokens or 0))
        parts: list[LlmPart] = []
        for choice in chunk.choices[:1]:
            if choice.delta and choice.delta.content:
                parts.append(Text("" + choice.delta.content))
            for delta in (choice.delta and choice.delta.tool_calls) or ():
                self._extend(delta)
            if choice.finish_reason and not self._finish:
                self._finish = choice.finish_reason
                parts += [call.complete(number) for number, call in enumerate(self._calls)]
        return parts

    def _extend(self, delta: ChoiceDeltaToolCall) -> None:
        """Add a piece: most servers give each an index and the first an id; some send whole calls with index 0."""
        call = next((call for call in reversed(self._calls) if call.index == delta.index), None)
        if call is None or (delta.id and call.id and delta.id != call.id):
            call = StreamedCall(delta.index)
            self._calls.append(call)
        call.id = call.id or delta.id or ""
        if delta.function:
            call.name += delta.function.name or ""
            call.arguments += delta.function.arguments or ""

    def check_end(self, content_type: str) -> None:
        """Raise unless the answer came to an end of its own."""
        server = self._endpoint.server
        if self._finish == "content_filter":
            reason = f"the content filter of {server} stopped the answer"
            raise RefusedError(reason, "say it in other words", stage="llm")
        if self.finished:
            return
        if "event-stream" not in content_type:
            sent = self._endpoint.clean(content_type) or "something unnamed"
            hint = "check that llm.base_url is an OpenAI-compatible API (it usually ends in /v1)"
            raise GarbageError(f"{server} sent {sent} instead of streaming an answer", hint, stage="llm")
        raise EndedEarlyError(f"{server} stopped its answer before the end", "try again", stage="llm")


class StreamedCall:
    """A tool call that is still being streamed."""

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.arguments = ""

    def complete(self, number: int) -> ToolCall:
        """Return the call; one without an id is named by its number, so that its result has one."""
        if not self.name:
            raise ValueError("a tool call without a name")
        return ToolCall(self.id or f"call_{number}", self.name, self.arguments or json.dumps({}))


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


def _tool(tool: ToolSpec) -> ChatCompletionToolParam:
    function: FunctionDefinition = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    if tool.strict:  # some servers refuse a field that they do not know
        function["strict"] = True
    return {"type": "function", "function": function}
