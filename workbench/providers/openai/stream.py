"""An answer of `/chat/completions`, put together from its chunks as servers really send them.

Names, ids and indexes of tool calls are repeated, missing, empty, equal or changing; arguments are text, an object or
null; content is text or a list of typed parts; thinking comes in a field of its own or as `<think>` in the text.
However it is cut, the same answer gives the same parts.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from workbench.engine.interfaces import LlmPart, Text
from workbench.model.conversation import ToolCall, Usage
from workbench.model.errors import EndedEarlyError, GarbageError, RefusedError, StageError
from workbench.providers.openai.errors import Endpoint

WORKING = Text("")
"""An empty text: the model works on what is not spoken, its thinking or the arguments of a call."""


class AnswerStream:
    """Takes chunks, as plain JSON, and gives parts: text as it comes, whole tool calls, the usage."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.usage: Usage | None = None
        self.finished = False
        """Whether the model has ended the answer."""
        self.empty = True
        """Whether it has neither words nor calls yet."""
        self._endpoint = endpoint
        self._calls: list[StreamedCall] = []
        self._thinking = ThinkingFilter()
        self._reason = ""

    def read(self, chunk: Any) -> list[LlmPart]:
        """Return the parts that this chunk completes. GarbageError if it is none; a server's error in it is raised."""
        if not isinstance(chunk, Mapping):
            raise self._garbage(f"{type(chunk).__name__} instead of an object")
        choices = chunk.get("choices")
        if not choices and (text := _error_text(chunk)):
            raise StageError(
                f"{self._endpoint.server} answered with an error: {self._endpoint.clean(text)}",
                "the server has a problem of its own: try again later, or choose another provider",
                stage="llm",
            )
        try:
            self._read_usage(chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage"))
            if choices is None:
                return []
            choice = next(iter(choices), None)
            return [] if choice is None else self._read_choice(choice)
        except (AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
            raise self._garbage(str(error)) from error

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
        delta = (choice.get("message") or {}) if delta is None else delta
        text, working = _content(delta.get("content"))
        spoken = self._thinking.feed(text + (delta.get("refusal") or ""))
        parts: list[LlmPart] = [Text(spoken)] if spoken else []
        for call in _list(delta.get("tool_calls")):
            self._extend(call)
        if delta.get("function_call"):
            self._extend({"function": delta["function_call"]})
        if choice.get("finish_reason"):
            self.finished = True
            self._reason = self._reason or str(choice["finish_reason"])
            parts += self._complete(only_whole=True)
        self.empty = self.empty and not parts
        hidden = working or text or delta.get("tool_calls") or delta.get("function_call") or _reasoning(delta)
        return parts or ([WORKING] if hidden else [])

    def _extend(self, delta: Mapping[str, Any]) -> None:
        """Add a piece to the call that it belongs to, or begin another."""
        function = delta.get("function") or {}
        name, arguments = function.get("name") or "", function.get("arguments")
        index, identity = delta.get("index"), str(delta.get("id") or "")
        call = self._find(index, identity, bool(name))
        if call is None or call.is_another(identity, name, arguments):
            call = StreamedCall(index)
            self._calls.append(call)
        call.identity = call.identity or identity
        call.add(name, arguments)

    def _find(self, index: int | None, identity: str, named: bool) -> StreamedCall | None:
        open_calls = [call for call in self._calls if not call.emitted]
        if index is not None:
            return next((call for call in reversed(open_calls) if call.index == index), None)
        same = next((call for call in reversed(open_calls) if identity and call.identity == identity), None)
        if same is not None or (identity and named):
            return same
        return open_calls[-1] if open_calls else None

    def _complete(self, *, only_whole: bool) -> list[LlmPart]:
        """Return the calls that were not given yet; the last ones whatever state they are in."""
        parts: list[LlmPart] = []
        taken = {call.identity for call in self._calls if call.emitted}
        later = {call.identity for call in self._calls if call.identity}
        for number, call in enumerate(self._calls):
            if call.emitted or (only_whole and not call.whole):
                continue
            if not call.name:
                raise ValueError("a tool call without a name")
            call.emitted = True
            if not call.identity or call.identity in taken:
                base = call.identity or "call"
                names = (f"{base}_{at}" for at in itertools.count(number))
                call.identity = next(name for name in names if name not in taken | later)
            taken.add(call.identity)
            parts.append(ToolCall(call.identity, call.name, call.arguments_json))
        return parts

    def end(self, content_type: str, *, may_be_empty: bool = False) -> list[LlmPart]:
        """Return what is left at the end of the stream. Raises where that was no end, or where there is no answer."""
        server = self._endpoint.server
        if self._reason == "content_filter":
            reason = f"the content filter of {server} stopped the answer"
            raise RefusedError(reason, "say it in other words", stage="llm")
        rest = self._thinking.flush()
        parts: list[LlmPart] = [Text(rest)] if rest else []
        if not self.finished:
            if "event-stream" not in content_type:
                sent = self._endpoint.clean(content_type) or "something unnamed"
                hint = "check that llm.base_url is an OpenAI-compatible API (it usually ends in /v1)"
                raise GarbageError(f"{server} sent {sent} instead of streaming an answer", hint, stage="llm")
            raise EndedEarlyError(f"{server} stopped its answer before the end", "try again", stage="llm")
        try:
            parts += self._complete(only_whole=False)
        except ValueError as error:
            raise self._garbage(str(error)) from error
        self.empty = self.empty and not parts
        if self.empty and not may_be_empty:
            why = " (it reached its limit of tokens)" if self._reason == "length" else ""
            hint = "ask again, or choose another model"
            raise EndedEarlyError(f"{server} answered with neither words nor a call{why}", hint, stage="llm")
        return [*parts, self.usage] if self.usage else parts


class StreamedCall:
    """A tool call that is still being streamed."""

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.identity = ""
        self.name = ""
        self.emitted = False
        self._arguments = ""

    @property
    def arguments_json(self) -> str:
        """The arguments as the text of a JSON object, as far as the model wrote one."""
        return "{}" if self._arguments.strip() in ("", "null") else self._arguments

    @property
    def whole(self) -> bool:
        """Whether the arguments are complete JSON."""
        try:
            json.loads(self.arguments_json)
        except (ValueError, RecursionError):
            return False
        return bool(self.name)

    def is_another(self, identity: str, name: str, arguments: Any) -> bool:
        """Whether a piece begins another call: it has a name, and this call is complete or has another id.

        An id alone is no sign: some servers give each piece of a call a new one. A name alone is none either: some
        repeat it in each piece.
        """
        differs = bool(identity) and bool(self.identity) and identity != self.identity
        if not name or not self.name:
            return False
        if self._arguments.strip():
            return self.whole and (differs or bool(arguments) or name != self.name)
        return differs and (not arguments or name != self.name)

    def add(self, name: str, arguments: Any) -> None:
        """Add a piece of the name, and of the arguments: text, or an object at once."""
        if name != self.name:
            self.name += name
        if isinstance(arguments, str):
            self._arguments += arguments
        elif arguments is not None:
            self._arguments += json.dumps(arguments, ensure_ascii=False)


class ThinkingFilter:
    """Takes out what stands between `<think>` and `</think>`, wherever chunks cut the tags."""

    NAMES = ("think", "thinking", "reasoning", "thought")
    TAGS = tuple(f"<{slash}{name}>" for name in NAMES for slash in ("", "/"))
    CLOSE = re.compile(rf"</(?:{'|'.join(NAMES)})>\s*", re.IGNORECASE)
    ANY = re.compile(rf"<(?:{'|'.join(NAMES)})>|{CLOSE.pattern}", re.IGNORECASE)

    def __init__(self) -> None:
        self._held = ""
        self._thinks = False
        self._began = False

    def feed(self, text: str) -> str:
        """Return what of the text so far may be spoken."""
        self._held += text
        spoken = ""
        while match := (self.CLOSE if self._thinks else self.ANY).search(self._held):
            if not self._thinks:
                spoken += self._held[: match.start()]
            self._thinks = not match[0].startswith("</")
            self._held = self._held[match.end() :]
        cut = self._held.rfind("<")
        if cut < 0 or not any(tag.startswith(self._held[cut:].lower()) for tag in self.TAGS):
            cut = len(self._held)
        ready, self._held = self._held[:cut], self._held[cut:]
        return self._trim(spoken + ("" if self._thinks else ready))

    def flush(self) -> str:
        """Return what was held back, as no more is to come."""
        rest, self._held = self._held, ""
        return "" if self._thinks else self._trim(rest)

    def _trim(self, text: str) -> str:
        """White space before the first word says nothing."""
        if not self._began:
            text = text.lstrip()
            self._began = bool(text)
        return text


def _content(content: Any) -> tuple[str, bool]:
    """Return the text of a delta's content, and whether there is more that is not spoken."""
    if content is None or isinstance(content, str):
        return content or "", False
    text, working = "", False
    for part in _list(content):
        if isinstance(part, str):
            text += part
        elif part.get("type", "text") in ("text", "output_text"):
            inner = part.get("text") or ""
            text += inner if isinstance(inner, str) else inner.get("value", "")
        else:
            working = True
    return text, working


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _reasoning(delta: Mapping[str, Any]) -> bool:
    return any(
        delta.get(name) for name in ("reasoning_content", "reasoning", "reasoning_details", "thinking")
    )


def _error_text(chunk: Mapping[str, Any]) -> str:
    """Return the words of an error that a server streams in place of a chunk."""
    error = chunk.get("error")
    if isinstance(error, Mapping):
        return str(error.get("message") or error)
    if error:
        return str(error)
    return str(chunk.get("message") or chunk.get("detail") or "") if "usage" not in chunk else ""
