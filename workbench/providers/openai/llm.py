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
from workbench.providers.openai.errors import Asked, told

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
        more: dict[str, Any] = {"tools": [_tool(tool) for tool in tools]} if tools else {}
        with told(self.asked), outside():
            chunks: Chunks = await self.client.chat.completions.create(
                model=self.asked.model,
                messages=_asked(messages),
                stream=True,
                stream_options={"include_usage": True},
                **more,
            )
        try:
            async with aclosing(_parts(chunks, self.asked)) as parts:
                yield parts
        finally:
            with outside():
                await chunks.close()


async def _parts(chunks: Chunks, asked: Asked) -> AsyncGenerator[LlmPart]:
    answer = _Answer(asked)
    while True:
        try:
            with told(asked, streaming=True), outside():
                chunk = await anext(chunks, None)
        except EndedEarlyError:
            if not answer.finished:
                raise
            break  # the answer is whole, only its bill or the farewell is missing
        if chunk is None:
            break
        for part in answer.read(chunk):
            yield part
    answer.check_end(chunks.response.headers.get("content-type", ""))
    if answer.usage:
        yield answer.usage


class _Answer:
    """What the chunks so far add up to."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._calls: list[_GrowingCall] = []
        self._finish: str | None = None
        """Why the model ended, as it says."""
        self.usage: Usage | None = None

    @property
    def finished(self) -> bool:
        """The model said that this is all."""
        return self._finish is not None

    def read(self, chunk: ChatCompletionChunk) -> list[LlmPart]:
        """The parts that are complete with this chunk; GarbageError if it is not shaped like one.

        The SDK does not validate what it streams, so that anything can be in any field.
        """
        try:
            return self._read(chunk)
        except (AttributeError, TypeError, ValueError, IndexError) as error:
            raise GarbageError(
                f"{self._asked.place} streamed what is no chunk of an answer: {self._asked.clean(str(error))}",
                "check that llm.base_url is an OpenAI-compatible API",
                stage="llm",
            ) from error

    def _read(self, chunk: ChatCompletionChunk) -> list[LlmPart]:
        if chunk.usage:
            self.usage = Usage(int(chunk.usage.prompt_tokens or 0), int(chunk.usage.completion_tokens or 0))
        parts: list[LlmPart] = []
        for choice in chunk.choices[:1]:
            if choice.delta and choice.delta.content:
                parts.append(Text("" + choice.delta.content))
            for delta in (choice.delta and choice.delta.tool_calls) or ():
                self._grow(delta)
            if choice.finish_reason and not self._finish:
                self._finish = choice.finish_reason
                parts += [call.whole(number) for number, call in enumerate(self._calls)]
        return parts

    def _grow(self, delta: ChoiceDeltaToolCall) -> None:
        """Most servers give each piece an index and the first an id; some give whole calls, all with index 0."""
        call = next((call for call in reversed(self._calls) if call.index == delta.index), None)
        if call is None or (delta.id and call.id and delta.id != call.id):
            call = _GrowingCall(delta.index)
            self._calls.append(call)
        call.id = call.id or delta.id or ""
        if delta.function:
            call.name += delta.function.name or ""
            call.arguments += delta.function.arguments or ""

    def check_end(self, content_type: str) -> None:
        """Raise unless the answer came to an end of its own."""
        if self._finish == "content_filter":
            raise RefusedError(
                f"the content filter of {self._asked.place} stopped the answer",
                "say it in other words",
                stage="llm",
            )
        if self.finished:
            return
        if "event-stream" not in content_type:
            sent = self._asked.clean(content_type) or "something unnamed"
            raise GarbageError(
                f"{self._asked.place} sent {sent} instead of streaming an answer",
                "check that llm.base_url is an OpenAI-compatible API (it usually ends in /v1)",
                stage="llm",
            )
        raise EndedEarlyError(
            f"{self._asked.place} stopped its answer before the end", "try again", stage="llm"
        )


class _GrowingCall:
    """A tool call that is still being streamed."""

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.arguments = ""

    def whole(self, number: int) -> ToolCall:
        """The call; one that came without an id is named by its number, so that its result can be told apart."""
        if not self.name:
            raise ValueError("a tool call without a name")
        return ToolCall(self.id or f"call_{number}", self.name, self.arguments or json.dumps({}))


def _asked(messages: Sequence[Message]) -> list[ChatCompletionMessageParam]:
    """The messages as the API takes them: a tool's result is text, so its pictures follow the results as the user's."""
    asked: list[ChatCompletionMessageParam] = []
    shown: list[Picture] = []
    for message in messages:
        if message.role != "tool" and shown:
            asked.append({"role": "user", "content": _images(shown)})
            shown = []
        if message.role == "tool":
            shown += [picture for picture in message.pictures if picture.jpeg]
        asked.append(_message(message))
    if shown:
        asked.append({"role": "user", "content": _images(shown)})
    return asked


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
    if tool.strict:  # servers that do not know the word are not bothered with it
        function["strict"] = True
    return {"type": "function", "function": function}
