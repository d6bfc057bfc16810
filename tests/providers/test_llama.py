from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from tests.providers.test_worker import stat
from tests.waiting import PATIENCE_S, eventually
from workbench.engine.interfaces import LlmPart, Text
from workbench.model.conversation import Message, ToolCall, ToolSpec, Usage
from workbench.plugin.values import ProviderOptions
from workbench.providers import worker
from workbench.providers.llama import MAX_TOKENS, Llama
from workbench.providers.onboard.llama import shortened

T = TypeVar("T")
SYSTEM = Message("system", "You are a friendly assistant. Keep answers short.")
FRANCE = Message("user", "What is the capital of France?")
LONG = {"messages": [{"role": "user", "content": "Tell me a very long story."}], "max_tokens": 100}


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is told to end has time to, on a machine that has much to do."""
    monkeypatch.setattr(worker, "OVERRUN_S", PATIENCE_S)


def run(work: Callable[[Llama], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        async with asyncio.timeout(4 * PATIENCE_S), Llama(ProviderOptions("smollm2-135m")) as llm:
            await llm.warm()
            return await work(llm)

    return asyncio.run(main())


async def answer(llm: Llama, *messages: Message, tools: tuple[ToolSpec, ...] = ()) -> tuple[str, Usage]:
    async with llm.reply(messages, tools) as parts:
        got: list[LlmPart] = [part async for part in parts]
    assert isinstance(got[-1], Usage)
    assert all(isinstance(part, Text) for part in got[:-1])
    return "".join(part.text for part in got if isinstance(part, Text)), got[-1]


def message(role: str, length: int) -> dict[str, str]:
    return {"role": role, "content": role[0] * length}


# --- what does not fit, without a model ---------------------------------------------------------------------


def test_the_oldest_messages_go_first_and_the_system_prompt_stays() -> None:
    system, last = message("system", 50), message("user", 100)
    history = [message("user", 100), message("assistant", 100)] * 10
    short = shortened([system, *history, last], 0.5)
    assert short[0] == system
    assert short[-1] == last
    assert short == [system, *[*history, last][-len(short) + 1 :]]
    assert sum(len(one["content"]) for one in short) <= 0.5 * 2150


def test_a_single_message_that_is_too_long_loses_its_beginning() -> None:
    system = message("system", 10)
    short = shortened([system, {"role": "user", "content": "a" * 500 + "end"}], 0.4)
    assert short[0] == system
    assert short[1]["content"].endswith("end")
    assert len(short[1]["content"]) < 0.4 * 513


# --- the model ----------------------------------------------------------------------------------------------


@pytest.mark.models
def test_llama_answers_and_says_what_it_cost() -> None:
    async def main(llm: Llama) -> None:
        text, usage = await answer(llm, SYSTEM, FRANCE)
        assert "Paris" in text
        assert 20 < usage.input_tokens < 60
        assert 0 < usage.output_tokens <= MAX_TOKENS

    run(main)


@pytest.mark.models
def test_the_same_conversation_gets_the_same_answer() -> None:
    assert run(lambda llm: answer(llm, SYSTEM, FRANCE)) == run(lambda llm: answer(llm, SYSTEM, FRANCE))


@pytest.mark.models
def test_what_is_read_ahead_takes_nothing_from_the_answer() -> None:
    async def main(llm: Llama) -> None:
        for before in ((SYSTEM,), ()):
            await llm.prepare(before)
            text, _ = await answer(llm, *before, FRANCE)
            assert "Paris" in text

    run(main)


@pytest.mark.models
def test_tools_are_passed_over() -> None:
    messages = (
        SYSTEM,
        Message("user", "How warm is it?"),
        Message("assistant", "", calls=(ToolCall("1", "warmth", "{}"),)),
        Message("tool", '{"celsius": 20}', call_id="1"),
        FRANCE,
    )

    async def main(llm: Llama) -> None:
        text, _ = await answer(llm, *messages, tools=(ToolSpec("warmth", "How warm it is.", {}),))
        assert text

    run(main)


@pytest.mark.models
def test_leaving_stops_it_between_two_tokens_and_the_next_answer_is_whole() -> None:
    async def main(llm: Llama) -> None:
        async with llm.reply([SYSTEM, Message("user", "Tell me a very long story.")]) as parts:
            await anext(parts)
            pid = llm.worker.pid
            left = time.perf_counter()
        assert time.perf_counter() - left < 1  # all of the story takes several
        text, _ = await answer(llm, SYSTEM, FRANCE)
        assert "Paris" in text
        assert llm.worker.pid == pid

    run(main)


@pytest.mark.models
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_makes_no_token_while_nobody_reads_them_and_a_cancel_frees_it() -> None:
    async def main(llm: Llama) -> None:
        async with llm.worker.job("chat", LONG) as results:
            await anext(results)
            await eventually(lambda: stat(llm.worker.pid)[0] == "T")
            before = stat(llm.worker.pid)
            assert results.unread < 10  # of 100
            for _ in range(results.unread):
                await anext(results)
            await asyncio.sleep(0.1)  # in which it would make several
            assert not results.unread
            assert stat(llm.worker.pid)[:13] == before[:13]  # no work of the CPU either
            left = time.perf_counter()
        assert time.perf_counter() - left < 1
        text, _ = await answer(llm, SYSTEM, FRANCE)
        assert "Paris" in text

    run(main)


@pytest.mark.models
def test_no_message_and_far_too_many_are_answered() -> None:
    async def main(llm: Llama) -> None:
        assert (await answer(llm, SYSTEM))[0]
        history = [Message(role, "one two three four five " * 20) for role in ("user", "assistant")] * 15
        _, usage = await answer(llm, SYSTEM, *history, FRANCE)
        assert 1000 < usage.input_tokens <= 2048

    run(main)
