"""An answer of `/chat/completions`, put together from its chunks as servers really send them.

Names, ids and indexes of tool calls are repeated, missing, empty, equal or changing; arguments are text, an object or
null; content is text or a list of typed parts; thinking comes in a field of its own or as `<think>` in the text.
However it is cut, the same answer gives the same parts.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from workbench.engine.interfaces import ALIVE, LlmPart, Progress, Text
from workbench.model.conversation import ToolCall, Usage
from workbench.model.errors import (
    EmptyAnswerError,
    EndedEarlyError,
    GarbageError,
    RefusedError,
)
from workbench.providers.openai.errors import Endpoint, message_of
from workbench.providers.openai.thinking import ThinkingFilter


class AnswerStream:
    """Takes chunks, as plain JSON, and gives parts: text as it comes, whole tool calls, progress, the usage."""

    def __init__(self, endpoint: Endpoint, *, opens_in_thought: bool = False) -> None:
        self.usage: Usage | None = None
        self.finished = False
        """Whether the model has ended the answer."""
        self.thinking = ThinkingFilter(open_at_start=opens_in_thought)
        self._endpoint = endpoint
        self._calls: list[StreamedCall] = []
        self._empty = True
        self._thought = False
        self._reason = ""

    def read(self, chunk: Any) -> list[LlmPart]:
        """Return the parts that this chunk completes. GarbageError if it is none; a server's error in it is raised."""
        if not isinstance(chunk, Mapping):
            raise self._garbage(f"{type(chunk).__name__} instead of an object")
        try:
            choice = next(iter(chunk.get("choices") or ()), None)
            if error := _error_of(chunk, choice):
                failure = self._endpoint.failure(*error)
                failure.stage = "llm"
                raise failure
            self._read_usage(chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage"))
            parts = self._read_choice(choice) if choice is not None else []
        except (AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
            raise self._garbage(str(error)) from error
        self._empty = self._empty and not any(isinstance(part, Text | ToolCall) for part in parts)
        return parts or [ALIVE]

    def _garbage(self, text: str) -> GarbageError:
        clean = self._endpoint.clean(text)
        reason = f"{self._endpoint.server} streamed what is no chunk of an answer: {clean}"
        hint = "check that llm.base_url is an OpenAI-compatible API"
        return GarbageError(reason, hint, stage="llm")

    def _read_usage(self, usage: Any) -> None:
        if not isinstance(usage, Mapping):
            return
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
        cost: Any = usage.get("cost")  # OpenRouter says what it charges
        priced = type(cost) in (int, float) and 0 <= cost < math.inf
        with suppress(ValueError, TypeError, OverflowError):  # a bad bill is no reason to lose an answer
            self.usage = Usage(
                int(usage.get("prompt_tokens") or 0),
                int(usage.get("completion_tokens") or 0),
                cached_tokens=int(cached or usage.get("prompt_cache_hit_tokens") or 0),
                cost=float(cost) if priced else 0.0,
                unpriced=not priced,
            )

    def _read_choice(self, choice: Mapping[str, Any]) -> list[LlmPart]:
        delta = choice.get("delta")
        if delta is None:  # an answer that is not streamed; behind one that is, it says all of it again
            delta = (choice.get("message") if self._empty else None) or {}
        text, thought = _content(delta.get("content"))
        thought = thought or _reasoning(delta)
        parts: list[LlmPart] = [Progress("thinking", thought)] if thought else []
        if thought:
            self._thought = True
            parts += self.thinking.reveal()
        parts += self.thinking.feed(text + (delta.get("refusal") or ""))
        deltas = _list(delta.get("tool_calls"))
        if delta.get("function_call") and not deltas:
            deltas = [{"function": delta["function_call"]}]
        parts += [
            Progress("arguments", piece) for call in deltas if (piece := self._extend(call)) is not None
        ]
        if choice.get("finish_reason"):
            self.finished = True
            self._reason = self._reason or str(choice["finish_reason"])
            parts += self._flush() + self._complete(at_end=False)
            for call in self._calls:
                call.closed = True
        return parts

    def _flush(self) -> list[LlmPart]:
        return self.thinking.flush(truncated=self._reason == "length")

    def _extend(self, delta: Mapping[str, Any] | None) -> str | None:
        """Add a piece to the call that it belongs to, or begin another. Return its arguments; None for no piece."""
        if not delta:
            return None
        function = delta.get("function") or {}
        name, arguments = function.get("name") or "", function.get("arguments")
        index, identity = delta.get("index"), str(delta.get("id") or "")
        call = self._find(index, identity, bool(name))
        if call is not None and call.is_repeated(identity, name, arguments):
            return ""
        if call is None or call.emitted or call.is_another(identity, name, arguments):
            call = StreamedCall(index)
            self._calls.append(call)
        call.identity = call.identity or identity
        return call.add(name, arguments)

    def _find(self, index: Any, identity: str, named: bool) -> StreamedCall | None:
        """Return the call that a piece belongs to: by its index, else its id, else the last one that is open."""
        latest = [*reversed(self._calls)]
        if index is not None:
            same = next((call for call in latest if call.index == index), None)
            if same is not None or named:
                return same
        same = next((call for call in latest if identity and call.identity == identity), None)
        if same is not None or (identity and named):
            return same
        return next((call for call in latest if not call.emitted), None)

    def _complete(self, *, at_end: bool) -> list[LlmPart]:
        """Return the calls that were not given yet: those that are surely complete, `at_end` all."""
        parts: list[LlmPart] = []
        taken = {call.identity for call in self._calls if call.emitted}
        later = {call.identity for call in self._calls if call.identity}
        for number, call in enumerate(self._calls):
            if call.emitted or not (at_end or call.whole):
                continue
            call.emitted = True
            if not call.name:
                if call.arguments_json == "{}":
                    continue  # a call of nothing with nothing
                raise ValueError("a tool call without a name")
            if not call.identity or call.identity in taken:
                base = call.identity or "call"
                names = (f"{base}_{at}" for at in itertools.count(number))
                call.identity = next(name for name in names if name not in taken | later)
            taken.add(call.identity)
            parts.append(ToolCall(call.identity, call.name, call.arguments_json))
        return parts

    def end(self, content_type: str, *, odd: str = "", may_be_empty: bool = False) -> list[LlmPart]:
        """Return what is left at the end of the stream. Raises where that was no end, or where there is no answer.

        `odd` is what came and was no JSON.
        """
        server = self._endpoint.server
        if self._reason.startswith("content_filter"):
            reason = f"the content filter of {server} stopped the answer"
            raise RefusedError(reason, "say it in other words", stage="llm")
        parts = self._flush()
        if not self.finished:
            if "event-stream" not in content_type and self._empty:
                sent = self._endpoint.clean(content_type) or "something unnamed"
                hint = "check that llm.base_url is an OpenAI-compatible API (it usually ends in /v1)"
                raise GarbageError(f"{server} sent {sent} instead of streaming an answer", hint, stage="llm")
            if odd:
                raise self._garbage(odd)
            raise EndedEarlyError(f"{server} stopped its answer before the end", "try again", stage="llm")
        try:
            parts += self._complete(at_end=True)
        except ValueError as error:
            raise self._garbage(str(error)) from error
        self._empty = self._empty and not any(isinstance(part, Text | ToolCall) for part in parts)
        if self._empty and not may_be_empty:
            raise EmptyAnswerError(
                f"{server} {self._emptiness()}", "ask again, or choose another model", stage="llm"
            )
        return [*parts, self.usage] if self.usage else parts

    def _emptiness(self) -> str:
        thought = ", though it was thinking" if self._thought or self.thinking.has_thinking else ""
        limit = " (it reached its limit of tokens)" if self._reason == "length" else ""
        return f"answered with neither words nor a call{thought}{limit}"


class StreamedCall:
    """A tool call that is still being streamed."""

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.identity = ""
        self.name = ""
        self.emitted = self.closed = False
        """Given to the engine; followed by a finish reason."""
        self._arguments = ""

    @property
    def arguments_json(self) -> str:
        """The arguments as the text of a JSON object, as far as the model wrote one."""
        return "{}" if self._arguments.strip() in ("", "null", "[]") else self._arguments

    @property
    def whole(self) -> bool:
        """Whether it has a name and arguments that are a complete JSON object."""
        try:
            return bool(self.name) and isinstance(json.loads(self._arguments), dict)
        except (ValueError, RecursionError):
            return False

    def is_repeated(self, identity: str, name: str, arguments: Any) -> bool:
        """Whether a piece says again what this call has already, all of it."""
        same = identity == self.identity if name and name == self.name else not name
        return same and bool(identity or not name) and self.whole and _json_text(arguments) == self._arguments

    def is_another(self, identity: str, name: str, arguments: Any) -> bool:
        """Whether a piece begins another call: it has a name, and this call is complete or has another id.

        An id alone is no sign: some servers give each piece of a call a new one. A name alone is none either: some
        repeat it in each piece.
        """
        differs = bool(identity) and bool(self.identity) and identity != self.identity
        if not name or not self.name:
            return False
        if self.closed and not (identity and identity == self.identity):
            return True
        if self._arguments.strip() in ("{}", "null") and identity and not differs and arguments:
            return False  # a placeholder before the arguments
        if self._arguments.strip():
            return self.whole and (differs or bool(arguments) or name != self.name)
        return differs and (not arguments or name != self.name)

    def add(self, name: str, arguments: Any) -> str:
        """Add a piece of the name, and of the arguments: text, or an object at once. Return the arguments' text."""
        if name.startswith(self.name):  # the whole name again, or more of it
            self.name = name
        else:
            self.name += name
        text = _json_text(arguments)
        if self._arguments.strip() in ("{}", "null") and text.strip():
            self._arguments = ""
        if isinstance(arguments, dict) and self.whole:
            text = _json_text(json.loads(self._arguments) | arguments)
            self._arguments = ""
        self._arguments += text
        return text


def _json_text(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return json.dumps(arguments, ensure_ascii=False)


def _content(content: Any) -> tuple[str, str]:
    """Return the text of a delta's content, and the thinking in it."""
    if content is None or isinstance(content, str):
        return content or "", ""
    text = thought = ""
    for part in _list(content):
        if isinstance(part, str):
            text += part
        elif part.get("type", "text") in ("text", "output_text", "refusal"):
            text += _words(part)
        else:
            thought += _words(part)
    return text, thought


def _words(value: Any) -> str:
    """Return the text in a part of an answer, whatever the field that it is in."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_words, value))
    names = ("text", "thinking", "reasoning", "summary", "value", "refusal", "content")
    return next((_words(value[name]) for name in names if value.get(name)), "")


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _reasoning(delta: Mapping[str, Any]) -> str:
    names = (
        "reasoning_content",
        "reasoning",
        "reasoning_text",
        "thinking",
        "reasoning_details",
        "thinking_blocks",
    )
    return next((_words(delta[name]) for name in names if delta.get(name)), "")


def _error_of(chunk: Mapping[str, Any], choice: Any) -> tuple[str, Any] | None:
    """Return the words and the code of an error that a server streams in place of a chunk, or within one."""
    in_choice = choice if isinstance(choice, Mapping) else {}
    error = chunk.get("error") or in_choice.get("error")
    if isinstance(error, Mapping):
        code = next((error[name] for name in ("code", "status", "type") if error.get(name)), None)
        return message_of(error), code
    if error:
        return str(error), chunk.get("code")
    if in_choice.get("finish_reason") == "error":
        return "the answer ended with an error", None
    if not choice and "usage" not in chunk and (chunk.get("message") or chunk.get("detail")):
        return message_of(chunk), chunk.get("code")
    return None
