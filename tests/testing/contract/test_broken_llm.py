"""Every rule of `check_llm` can be broken: a provider for each that breaks it, and is caught."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Self

import pytest

from tests.testing.contract.sabotage import (
    LEAKS,
    Outside,
    a_socket,
    blocking,
    caught,
    deaf_to_cancellation,
    nothing,
    now,
    stubborn,
    swallowing,
    with_member,
)
from workbench.engine import interfaces
from workbench.engine.interfaces import LlmPart, Text
from workbench.model.conversation import Message, ToolCall, ToolSpec, Usage
from workbench.model.errors import StageError
from workbench.simulation.scripted import Raises, ScriptedLlm
from workbench.testing import BrokenRule, Rule, check_llm

HELLO: list[LlmPart] = [Text("Hello"), Text(" there"), Text("."), Usage(7, 3)]


class Llm(interfaces.Llm):
    """A good one, but for what is asked of it."""

    name = "broken"

    def __init__(
        self,
        parts: Sequence[object] = HELLO,
        *,
        entering: Callable[[], Any] = nothing,
        before: Callable[[], Any] = nothing,
        between: Callable[[], Any] = nothing,
        leaving: Callable[[], Any] = nothing,
        given: Callable[[Sequence[Message]], object] = len,
    ) -> None:
        self.parts, self.given = parts, given
        self.entering, self.before, self.between, self.leaving = entering, before, between, leaving

    async def __aenter__(self) -> Self:
        await self.entering()
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def warm(self) -> None:
        pass

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> AsyncIterator[AsyncIterator[Any]]:
        await self.before()
        self.given(messages)
        try:
            async with aclosing(self._stream()) as parts:
                yield parts
        finally:
            await self.leaving()

    async def _stream(self) -> AsyncGenerator[Any]:
        for part in self.parts:
            await asyncio.sleep(0)
            await self.between()
            yield part


class LeftOpen(Llm):
    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> AsyncIterator[AsyncIterator[Any]]:
        yield self._stream()


class NoContext(Llm):
    async def reply(self, messages: Any, tools: Any = ()) -> Any:  # type: ignore[override]
        return self._stream()


class NoIterator(Llm):
    @asynccontextmanager
    async def reply(self, messages: Any, tools: Any = ()) -> AsyncIterator[Any]:
        yield ["Hello"]


class Remembers(Llm):
    """Keeps the conversation itself: every call costs more."""

    cost = 7

    async def _stream(self) -> AsyncGenerator[Any]:
        self.cost += 7
        yield Text("Hello")
        yield Usage(self.cost, 1)


class OneAtATime(Llm):
    """Fails where two ask at once."""

    busy = False

    async def _stream(self) -> AsyncGenerator[Any]:
        if self.busy:
            raise StageError("busy", "wait")
        self.busy = True
        try:
            for part in HELLO:
                await asyncio.sleep(0.001)
                yield part
        finally:
            self.busy = False


class Shared(Llm):
    """One connection for all, closed by the first who leaves."""

    alive = 0

    async def __aenter__(self) -> Self:
        Shared.alive = 1
        return self

    async def __aexit__(self, *error: object) -> None:
        Shared.alive = 0

    async def _stream(self) -> AsyncGenerator[Any]:
        if not Shared.alive:
            raise StageError("the connection is closed", "open it")
        async for part in super()._stream():
            yield part


def choosy(messages: Sequence[Message]) -> None:
    if not messages[-1].text:
        raise IndexError("no token")


def forgetful(messages: Sequence[Message]) -> None:
    assert isinstance(messages, list)
    messages.append(Message("system", "Be brief."))


llm = partial(check_llm, deadline_s=1)
LLM: list[tuple[Rule, str, Callable[[], object]]] = [
    (Rule.SHAPE, "no async context", NoContext),
    (Rule.SHAPE, "no async iterator", NoIterator),
    (Rule.SHAPE, "`name` must be", lambda: with_member(Llm(), "name", None)),
    (Rule.SHAPE, "`name` is empty", lambda: with_member(Llm(), "name", " ")),
    (Rule.ANSWERS, "with nothing", lambda: Llm([])),
    (Rule.ANSWERS, "not done after 1 s", lambda: Llm(between=asyncio.Event().wait)),
    (
        Rule.ANSWERS,
        "no weights",
        lambda: ScriptedLlm(["hi"], faults=Raises(StageError("no weights", "get some"))),
    ),
    (Rule.WHY, "RuntimeError", lambda: ScriptedLlm(["hi"], faults=Raises(RuntimeError("oops")))),
    (Rule.FORMAT, "not Text, ToolCall or Usage", lambda: Llm(["Hello"])),
    (Rule.FORMAT, "must be a str", lambda: Llm([Text(b"Hello")])),  # type: ignore[arg-type]
    (Rule.FORMAT, "JSON text", lambda: Llm([ToolCall("1", "weather", {})])),  # type: ignore[arg-type]
    (Rule.FORMAT, "at the end", lambda: Llm([Usage(1, 1), Text("Hello")])),
    (Rule.FORMAT, "count tokens", lambda: Llm([Text("Hello"), Usage(-1, 1)])),
    (Rule.FORMAT, "same id", lambda: Llm([ToolCall("1", "a", "{}"), ToolCall("1", "b", "{}")])),
    (Rule.CANCELS, "after", lambda: Llm(before=deaf_to_cancellation)),
    (Rule.CANCELS, "after", lambda: Llm(between=deaf_to_cancellation)),
    (Rule.CANCELS, "ordinary end", lambda: Llm(before=swallowing)),
    (Rule.CANCELS, "went on", lambda: Llm(before=stubborn)),
    (Rule.LEAVES, "still open", LeftOpen),
    (Rule.LEAVES, "took", lambda: Llm(leaving=partial(asyncio.sleep, 0.2))),
    (Rule.CLOSES, "4 things open until", lambda: Llm(before=now(a_socket))),
    *((Rule.CLOSES, leak.__name__[2:], lambda leak=leak: Llm(entering=now(leak))) for leak in LEAKS),
    (Rule.TOLERATES, "IndexError", lambda: Llm(given=choosy)),
    (Rule.LOOP, "held the loop", lambda: Llm(between=blocking)),
    (Rule.FORGETS, "tokens", Remembers),
    (Rule.TOGETHER, "busy", OneAtATime),
    (Rule.TOGETHER, "the connection is closed", Shared),
    (Rule.CLOCK, "virtual clock", lambda: Llm(before=Outside().wait)),
    (Rule.UNTOUCHED, "list of messages", lambda: Llm(given=forgetful)),
]


@pytest.mark.parametrize(("rule", "what", "make"), LLM)
def test_a_broken_llm_is_caught(rule: Rule, what: str, make: Callable[[], Any]) -> None:
    assert caught(lambda: llm(make), what) == rule


def test_every_rule_can_be_broken() -> None:
    assert {rule for rule, _, _ in LLM} >= set(check_llm(Llm).figures) | {Rule.ANSWERS}


def test_an_error_that_says_nothing() -> None:
    for error in (StageError("it failed"), StageError("", "try again")):
        with pytest.raises(BrokenRule, match="failed with") as caught:
            llm(Llm, failing=lambda error=error: ScriptedLlm(["hi"], faults=Raises(error)))  # type: ignore[misc]
        assert caught.value.rule == Rule.WHY
    with pytest.raises(BrokenRule, match="was to fail"):
        llm(Llm, failing=Llm)
