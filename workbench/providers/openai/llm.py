"""A language model by `/chat/completions`, streamed."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from openai import AsyncAPIResponse, AsyncStream
from openai.types.chat import (
    ChatCompletionChunk,
    ChatCompletionContentPartParam,
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
)
from openai.types.shared_params import FunctionDefinition

from workbench.engine.interfaces import ALIVE, Llm, LlmPart
from workbench.model.clock import outside
from workbench.model.conversation import Message, Picture, ToolSpec
from workbench.model.errors import BusyError, DeadlineError, EndedEarlyError, StageError
from workbench.plugin.values import ProviderOptions
from workbench.providers.openai.client import ApiStage
from workbench.providers.openai.stream import AnswerStream
from workbench.providers.openai.wire import EventReader

NO_TOOLS = re.compile(
    r"not support (?:\w+ )?(?:tools|function)|tools? (?:choice|param) requires|endpoints found that support tool use"
)
"""How Ollama, vLLM, llama.cpp and OpenRouter say that a model, or the server as it was started, takes no tools."""
Response = AsyncAPIResponse[AsyncStream[ChatCompletionChunk]]
OPENS_IN_THOUGHT = re.compile(r"deepseek-?r1|qwq|thinking", re.IGNORECASE)
"""Models whose templates open the tag of thinking, so that only its end is in the answer."""
DRAIN_S = 0.1
"""After the last event the rest of the body is read for so long, s, so that the connection can be used again."""


class OpenAiLlm(ApiStage, Llm):
    """Streams pieces of text as they come, whole tool calls when they are complete, and the usage at the end."""

    sees = True
    """Messages may have pictures."""

    def __init__(self, options: ProviderOptions) -> None:
        super().__init__("llm", options)
        self._tools: Sequence[ToolSpec] = ()
        """The tools of the last request that had any."""
        self._opens_in_thought = bool(OPENS_IN_THOUGHT.search(options.model))

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> AsyncIterator[AsyncIterator[LlmPart]]:
        """Ask for an answer; leaving the context closes the connection, so that the server stops too."""
        async with AsyncExitStack() as stack:
            parts = await self._ask(stack, messages, tools)
            yield await stack.enter_async_context(aclosing(self._answer(stack, messages, tools, parts)))

    async def _answer(
        self,
        stack: AsyncExitStack,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        parts: AsyncIterator[LlmPart],
    ) -> AsyncGenerator[LlmPart]:
        """Yield the parts; where a server refuses within the stream, as LM Studio does, those of the next request."""
        begun = False
        while True:
            try:
                async for part in parts:
                    begun = True
                    yield part
                return
            except StageError as error:
                if begun or not self._adapts(self._request(messages, tools), error):
                    raise
            parts = await self._ask(stack, messages, tools)

    async def _ask(
        self, stack: AsyncExitStack, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[LlmPart]:
        """Make the request; leaving the stack closes its connection."""
        response = await self._open(messages, tools)

        async def close() -> None:
            with outside():
                await response.close()

        stack.push_async_callback(close)
        parts = self._parts(response, may_be_empty=_has_spoken(messages))
        return await stack.enter_async_context(aclosing(parts))

    async def _parts(self, response: Response, *, may_be_empty: bool) -> AsyncGenerator[LlmPart]:
        answer = AnswerStream(self.endpoint, opens_in_thought=self._opens_in_thought)
        events, body = EventReader(), response.iter_bytes()
        begun = False
        while not events.done:
            try:
                with self.endpoint.request(streaming=True):
                    data = await anext(body, None)
            except (EndedEarlyError, DeadlineError):
                if not answer.finished:
                    raise
                break  # the answer is whole, only its usage or the end of the stream is missing
            for chunk in events.flush() if data is None else events.feed(data):
                for part in [ALIVE] if chunk is None else answer.read(chunk):
                    if part is not ALIVE:
                        self.load.answered()
                    if begun or part is not ALIVE:  # before that, a failed request can be made again
                        yield part
                    begun = True
            if data is None:
                break
        answer.finished = answer.finished or events.done
        kind = response.headers.get("content-type", "")
        for part in answer.end(kind, odd=events.odd, may_be_empty=may_be_empty):
            yield part
        self._opens_in_thought = bool(answer.thinking.unopened)
        if events.done:
            with suppress(StageError), self.endpoint.request():
                async with asyncio.timeout(DRAIN_S):
                    await anext(body, None)

    async def _open(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Response:
        """Make the request, again without what the server refuses and can be left out; that is remembered."""
        self._tools = tools or self._tools
        while True:
            request = self._request(messages, tools)
            try:
                return await self.load.run(partial(self._create, request), AsyncAPIResponse.close)
            except StageError as error:
                if not self._adapts(request, error):
                    raise

    async def _create(self, request: dict[str, Any]) -> Response:
        with self.endpoint.request():
            manager = self.client.chat.completions.with_streaming_response.create(**request)
            response: Response = await manager.__aenter__()  # closed by `reply`
        return response

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

    def _adapts(self, request: Mapping[str, Any], error: StageError) -> bool:
        """Whether the next request leaves out what this refusal names."""
        if isinstance(error, BusyError | DeadlineError | EndedEarlyError):
            return False
        adaptation = self._adaptation(request, error.reason.lower())
        if adaptation is None:
            return self.leave_out(("stream_options", "tool_choice"), error)
        self._refused.add(adaptation)
        if adaptation == "tools":
            hint = "choose a model that can use tools"
            self._notice(f"the agent's tools are not used: {error.reason}", hint)
        return True

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
        "parameters": {"type": "object", "properties": {}, **tool.parameters},
    }
    if tool.strict and strict:  # some servers refuse a field that they do not know
        function["strict"] = True
    return {"type": "function", "function": function}
