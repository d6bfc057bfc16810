"""Calls of tools as strangers write them: whatever they do, the loop goes on and the model is told."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator

from tests.tools.support import Bench, on_bench, returned
from tests.waiting import PATIENCE_S, eventually
from workbench import RunContext, ToolError, tool
from workbench.model.errors import UsageError
from workbench.model.events import Notice, ToolMocked, ToolProgressed, ToolReturned, ToolsChanged, ToolStarted
from workbench.tools.tool import Tool, raw_tool


@dataclass
class Forecast:
    city: str
    degrees: float


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("sunny", "sunny"),
        ("", ""),
        (None, "done"),
        (3, "3"),
        (True, "true"),
        (float("nan"), "null"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ((1, 2), "[1,2]"),
        (Forecast("Oslo", 3.5), '{"city":"Oslo","degrees":3.5}'),
        (b"bytes", '"bytes"'),
        ("half \ud800 a character", "half ? a character"),
    ],
)
def test_a_result_becomes_text_for_the_model(result: object, text: str) -> None:
    def weather() -> Any:
        return result

    async def aweather() -> Any:
        return result

    for function in (weather, aweather):
        end = returned(tool(function))
        assert (end.status, end.result, end.error) == ("done", text, None)


def itself() -> Any:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize("result", [object(), threading.Lock(), itself(), {"deep": object()}, b"\xff\xfe"])
def test_a_result_that_is_no_json_is_refused_with_its_type(result: object) -> None:
    end = returned(tool(lambda_named(lambda: result)))
    assert end.status == "failed"
    assert end.error
    assert type(result).__name__ in end.error
    assert "cannot be written as JSON" in end.error


def lambda_named(function: Callable[..., Any], name: str = "odd") -> Callable[..., Any]:
    function.__name__ = name
    return function


def leave() -> None:
    sys.exit(3)


def interrupt() -> None:
    raise KeyboardInterrupt


def stop() -> None:
    raise StopIteration("enough")


def cancel() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (leave, "sys.exit(3)"),
        (interrupt, "KeyboardInterrupt"),
        (stop, "StopIteration"),
        (cancel, "Cancelled"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
    ids=["sys.exit", "ctrl-c", "stop iteration", "cancelled", "division"],
)
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_any_exception_of_a_tool_is_reported_to_the_model_and_the_loop_goes_on(
    function: Callable[[], None], told: str, is_async: bool
) -> None:
    async def coroutine() -> None:
        function()

    end = returned(tool(lambda_named(coroutine if is_async else lambda: function())))
    if is_async and function is stop:
        told = "StopIteration"  # as a RuntimeError
    if is_async and function is cancel:
        told = "cancelled itself"
    assert end.status == "failed"
    assert end.error
    assert "odd failed" in end.error
    assert told in end.error


def leaves(value: str) -> str:
    sys.exit(3)


def interrupts(value: str) -> str:
    raise KeyboardInterrupt


def hangs(value: str) -> str:
    CHECKED.append(threading.get_ident())
    LET_GO.wait(PATIENCE_S)
    return value


CHECKED: list[int] = []
LET_GO = threading.Event()


@tool
def by_leaving(city: Annotated[str, AfterValidator(leaves)]) -> None:
    raise AssertionError


@tool
def by_interrupting(city: Annotated[str, AfterValidator(interrupts)]) -> None:
    raise AssertionError


@tool(timeout_s=0.05)
def by_hanging(city: Annotated[str, AfterValidator(hangs)]) -> None:
    raise AssertionError


@pytest.mark.parametrize(
    ("checked", "told"), [(by_leaving, "sys.exit(3)"), (by_interrupting, "KeyboardInterrupt")]
)
def test_a_validator_of_a_tool_cannot_end_the_loop(checked: Tool, told: str) -> None:
    end = returned(checked, '{"city": "Oslo"}')
    assert (end.status, end.error) == ("failed", f"the arguments could not be checked: {told}")


def test_a_validator_of_a_tool_runs_in_a_thread_and_within_the_deadline() -> None:
    async def work(bench: Bench) -> None:
        assert (await bench.call("by_hanging", '{"city": "Oslo"}')).status == "failed"
        assert len(CHECKED) == 1
        assert threading.get_ident() not in CHECKED

    began = time.monotonic()
    try:
        on_bench(work, by_hanging)
    finally:
        LET_GO.set()
    assert time.monotonic() - began < 25


def test_an_endless_iterator_is_no_result() -> None:
    @tool
    def endless() -> Any:
        return itertools.count()

    @tool
    def some() -> Any:
        yield from "ab"

    assert "count of more than 100,000 items" in (returned(endless).error or "")
    assert returned(some).result == '["a","b"]'


def test_a_tool_error_without_words_says_so() -> None:
    @tool
    def book() -> None:
        raise ToolError

    assert returned(book).error == "book failed, and did not say why"


def test_the_text_of_a_tool_error_reaches_the_model_unchanged() -> None:
    @tool
    def book() -> None:
        raise ToolError("There is no table left at seven; eight is free.")

    assert returned(book).error == "There is no table left at seven; eight is free."


def test_secrets_of_the_environment_are_redacted_from_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHER_API_KEY", "abcdef123456")

    @tool
    def weather() -> None:
        raise ValueError("GET /?key=abcdef123456 gave 401, Bearer abc.def")

    error = returned(weather).error
    assert error
    assert "abcdef" not in error
    assert "abc.def" not in error


def test_a_plain_function_that_hangs_is_given_up_at_its_deadline_and_its_late_result_dropped() -> None:
    free = threading.Event()

    @tool(timeout_s=0.05)
    def slow(context: RunContext[str]) -> str:
        free.wait(PATIENCE_S)
        context.say("It is done.")
        return "too late" if context.cancelled else "?"

    async def work(bench: Bench) -> None:
        end = await bench.call("slow")
        assert (end.status, end.result) == ("failed", "")
        assert end.error == "the tool slow did not answer within 50 ms"
        free.set()
        await eventually(lambda: any("nobody waited" in notice.reason for notice in bench.all(Notice)))
        await asyncio.sleep(0)
        assert len(bench.all(ToolReturned)) == 1
        assert bench.said == []

    on_bench(work, slow)


def test_an_async_function_that_blocks_its_thread_keeps_neither_the_loop_nor_the_next_call() -> None:
    free = threading.Event()

    @tool(timeout_s=0.05)
    async def blocks() -> None:
        free.wait(PATIENCE_S)

    @tool
    async def quick() -> str:
        return threading.current_thread().name

    async def work(bench: Bench) -> None:
        assert (await bench.call("blocks")).status == "failed"
        await asyncio.sleep(0.6)  # more than its patience
        assert (await bench.call("quick")).result == "tools"
        free.set()

    on_bench(work, blocks, quick)


def cancels_all() -> None:
    for task in asyncio.all_tasks():
        task.cancel()


def stops_the_loop() -> None:
    asyncio.get_running_loop().stop()


@pytest.mark.parametrize("breaks", [cancels_all, stops_the_loop])
def test_an_async_function_that_ends_its_loop_ends_no_other_call(breaks: Callable[[], None]) -> None:
    @tool
    async def bad() -> None:
        breaks()
        await asyncio.sleep(60)

    @tool(timeout_s=20)
    async def quick() -> str:
        return "quick"

    async def work(bench: Bench) -> None:
        assert (await bench.call("bad")).status == "failed"
        assert (await bench.call("quick")).result == "quick"
        await asyncio.sleep(0.1)
        assert (await bench.call("quick")).result == "quick"

    on_bench(work, bad, quick)


def test_calls_beside_one_that_blocks_the_thread_still_finish() -> None:
    free = threading.Event()

    @tool(timeout_s=0.05)
    async def blocks() -> None:
        free.wait(PATIENCE_S)

    @tool
    async def innocent() -> str:
        await asyncio.sleep(0.3)
        return "done"

    @tool
    async def quick() -> str:
        return "quick"

    async def work(bench: Bench) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bench.runner.perform("innocent", "{}"))
            await eventually(lambda: bench.all(ToolStarted))
            assert (await bench.call("blocks")).status == "failed"
            await asyncio.sleep(0.6)  # more than the patience with its thread
            assert (await bench.call("quick")).result == "quick"
            free.set()
        (end,) = [end for end in bench.all(ToolReturned) if end.name == "innocent"]
        assert (end.status, end.result) == ("done", "done")

    on_bench(work, blocks, innocent, quick)


def test_a_plain_function_that_returns_a_coroutine_fails_with_a_hint() -> None:
    async def inner() -> str:
        return "never"

    end = returned(tool(lambda_named(lambda: inner())))
    assert end.error
    assert "write it with `async def`" in end.error


def test_every_call_has_an_id_of_its_own_even_where_the_models_ids_repeat() -> None:
    async def work(bench: Bench) -> None:
        ids = [bench.runner._unique_id(given) for given in ("x", "x#2", "x", "", "x#2", "x", "")]
        assert len(set(ids)) == len(ids)

    on_bench(work)


def test_an_unknown_option_of_the_decorator_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="@tool has no 'timout_s'") as caught:
        tool(timout_s=3)  # type: ignore[call-overload]
    assert caught.value.hint.startswith("did you mean timeout_s?")


def test_an_async_function_is_cancelled_at_its_deadline() -> None:
    ended = threading.Event()

    @tool(timeout_s=0.05)
    async def endless() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    assert returned(endless).status == "failed"
    assert ended.wait(PATIENCE_S)


def test_a_failing_tool_is_retried_as_often_as_it_says() -> None:
    tries: list[int] = []

    @tool(retries=2)
    def flaky() -> str:
        tries.append(len(tries))
        if len(tries) < 3:
            raise ConnectionError("gone")
        return "there"

    async def work(bench: Bench) -> None:
        assert (await bench.call("flaky")).result == "there"
        assert [start.attempt for start in bench.all(ToolStarted)] == [1, 2, 3]

    on_bench(work, flaky)


def test_concurrency_limits_how_many_calls_run_at_a_time() -> None:
    running, most = 0, 0

    @tool(concurrency=2)
    async def busy() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    async def work(bench: Bench) -> None:
        ends = await asyncio.gather(*(bench.call("busy") for _ in range(7)))
        assert len(bench.all(ToolReturned)) == 7
        assert all(end.status == "done" for end in ends)
        assert most == 2

    on_bench(work, busy)


def test_a_new_tool_of_the_same_name_has_concurrency_of_its_own() -> None:
    free = threading.Event()

    @tool(name="busy", concurrency=1)
    def hung() -> None:
        free.wait(PATIENCE_S)

    @tool(name="busy", concurrency=1)
    def busy() -> str:
        return "busy"

    async def work(bench: Bench) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bench.call("busy"))
            await eventually(lambda: bench.all(ToolStarted))
            bench.tools.remove("busy")
            bench.tools.add(busy)
            async with asyncio.timeout(PATIENCE_S):
                assert (await bench.call("busy")).result == "busy"
            free.set()

    on_bench(work, hung)


def test_too_many_calls_a_minute_are_refused_with_when_to_try_again() -> None:
    @tool(calls_per_minute=2)
    def rare() -> str:
        return "here"

    async def work(bench: Bench) -> None:
        ends = [await bench.call("rare") for _ in range(3)]
        assert [end.status for end in ends] == ["done", "done", "failed"]
        assert ends[2].error
        assert "2 times a minute; try again in" in ends[2].error

    on_bench(work, rare)


def test_a_run_context_gives_data_state_conversation_and_ways_to_speak() -> None:
    seen: list[RunContext[str]] = []

    @tool
    def look(context: RunContext[str], item: str) -> str:
        seen.append(context)
        context.state["looks"] = context.state.get("looks", 0) + 1
        context.say("One moment.")
        context.say("  ")
        context.progress("half of\x1b[2J it", 0.5)
        context.progress(fraction=float("nan"))
        context.progress(fraction=7)
        return f"{context.data} has {item}, {context.state['looks']}"

    async def work(bench: Bench) -> None:
        assert (await bench.call("look", '{"item": "oil"}')).result == "the data has oil, 1"
        assert (await bench.call("look", '{"item": "oil"}')).result == "the data has oil, 2"
        await asyncio.sleep(0)
        assert bench.said == ["One moment."] * 2
        told = [(event.text, event.fraction) for event in bench.all(ToolProgressed)][:3]
        assert told == [("half of it", 0.5), ("", None), ("", 1.0)]
        one, two = seen
        assert (one.tool, one.turn, one.session, one.conversation, one.said) == ("look", None, None, (), "")
        assert one.call != two.call
        assert one.cancelled

    on_bench(work, look)


def test_a_long_result_is_cut_for_the_model_and_whole_in_the_trace() -> None:
    end = returned(tool(lambda_named(lambda: "x" * 500)), tool_result_chars=100)
    assert (len(end.result), end.shown) == (500, 100)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        ("{}", "city"),
        ('{"city": "Oslo", "citty": 1}', "citty"),
        ('{"city": "Oslo", "days": "many"}', "days"),
        ('{"city": "Oslo", "unit": "kelvin"}', "celsius"),
        ("[" * 100_000, ""),
        ('{"city": "' + "x" * 2_000_000 + '"}', ""),
    ],
    ids=["broken", "list", "missing", "extra", "type", "choice", "deep", "huge"],
)
def test_wrong_arguments_are_explained_and_nothing_runs(arguments: str, told: str) -> None:
    @tool
    def weather(city: str, days: int = 1, unit: Literal["celsius", "fahrenheit"] = "celsius") -> str:
        return "sunny"

    async def work(bench: Bench) -> None:
        end = await bench.call("weather", arguments)
        assert end.status == "failed"
        assert end.error
        assert told in end.error
        assert len(end.error) < 2000
        assert bench.all(ToolStarted) == []

    on_bench(work, weather)


def test_numbers_as_text_and_null_for_a_default_are_accepted() -> None:
    @tool
    def weather(city: str, days: int = 1) -> str:
        return f"{city} {days + 1}"

    assert returned(weather, '{"city": "Oslo", "days": "3"}').result == "Oslo 4"
    assert returned(weather, '{"city": "Oslo", "days": null}').result == "Oslo 2"


def test_a_call_of_an_unknown_tool_lists_the_known_ones() -> None:
    @tool
    def weather() -> str:
        return "sunny"

    async def work(bench: Bench) -> None:
        end = await bench.call("wether")
        assert end.error == "there is no tool called 'wether'; did you mean weather? there are: weather"

    on_bench(work, weather)


def test_a_mock_answers_in_place_of_its_tool_until_it_is_removed() -> None:
    @tool
    def weather() -> str:
        return "sunny"

    async def work(bench: Bench) -> None:
        bench.tools.mock("weather", "hail")
        assert (await bench.call("weather")).result == "hail"
        bench.tools.mock("weather", None)
        assert (await bench.call("weather")).result == "sunny"
        assert [event.answer for event in bench.all(ToolMocked)] == ["hail", None]
        assert [event.mocked for event in bench.all(ToolStarted)] == [True, False]

    on_bench(work, weather)


def test_a_raw_tool_is_called_with_keywords_that_fit_its_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"the city": {"enum": ["Oslo", "Rome"]}},
        "required": ["the city"],
    }
    raw = raw_tool("weather", "The weather.", schema, lambda **given: f"sunny in {given['the city']}")
    assert returned(raw, '{"the city": "Oslo"}').result == "sunny in Oslo"
    error = returned(raw, '{"the city": "Bonn"}').error
    assert error
    assert "Oslo" in error


def test_the_end_of_the_session_leaves_no_call_running() -> None:
    began, ended = threading.Event(), threading.Event()

    @tool
    async def endless() -> None:
        began.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async def work(bench: Bench) -> None:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(bench.runner.perform("endless", "{}"))
            await eventually(began.is_set)
            task.cancel()
        (end,) = bench.all(ToolReturned)
        assert end.status == "cancelled"

    on_bench(work, endless)
    assert ended.wait(PATIENCE_S)


def test_many_calls_cost_the_loop_little() -> None:
    @tool
    def quick() -> str:
        time.sleep(0.2)  # in its thread
        return "done"

    async def work(bench: Bench) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(bench.call("quick"))
            turns = 0
            while len(bench.all(ToolReturned)) < 20:
                await asyncio.sleep(0.001)
                turns += 1
        assert turns > 20  # the loop went on while all of them slept

    on_bench(work, quick)


def test_two_tools_of_one_name_are_an_error_that_names_both_and_changes_nothing() -> None:
    one = tool(name="weather")(lambda: "sunny")
    two = tool(name="weather")(lambda: "hail")

    async def work(bench: Bench) -> None:
        bench.tools.add(one, origin="the plugin fair")
        bench.tools.add(one)  # the same once more is none
        with pytest.raises(
            UsageError, match=r"one from the plugin fair, test_invocation.py:\d+, one from the plugin foul"
        ):
            bench.tools.add(two, origin="the plugin foul")
        assert (await bench.call("weather")).result == "sunny"

    on_bench(work)


def test_adding_and_removing_tools_is_in_the_trace() -> None:
    @tool
    def weather() -> str:
        return "sunny"

    async def work(bench: Bench) -> None:
        bench.tools.add(weather)
        bench.tools.remove("weather")
        assert [event.names for event in bench.all(ToolsChanged)] == [("weather",), ()]

    on_bench(work)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
texts = st.text(max_size=50) | anything.map(lambda value: json.dumps(value, default=repr))


@given(st.lists(st.tuples(st.sampled_from(["weather", "odd", "\x1b[2J", ""]), texts, anything), max_size=4))
def test_any_call_with_any_arguments_and_result_ends_once_and_reaches_the_model(
    calls: list[tuple[str, str, object]],
) -> None:
    results = iter([result for _, _, result in calls])

    @tool
    def weather(city: str, days: int = 1) -> object:
        return next(results)

    @tool
    async def odd(what: list[dict[str, float]] | None = None) -> object:
        return next(results)

    async def work(bench: Bench) -> None:
        for name, arguments, _ in calls:
            end = await bench.call(name, arguments)
            assert end.status in ("done", "failed")
            assert (end.error is None) == (end.status == "done")
            assert "Traceback" not in (end.error or "")
        assert len(bench.all(ToolReturned)) == len(calls)

    on_bench(work, weather, odd)
