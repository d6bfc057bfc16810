"""Requests to a guarded provider: deadlines, retries, Retry-After, the circuit breaker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.breaker import CircuitBreaker
from workbench.engine.guarded import Guarded, GuardedLlm
from workbench.engine.interfaces import Llm
from workbench.engine.settings import EngineSettings, LimitSettings
from workbench.model.errors import (
    BusyError,
    DeadlineError,
    EndedEarlyError,
    GarbageError,
    OpenBreakerError,
    RefusedError,
    StageError,
)
from workbench.model.events import BreakerChanged, Event, Notice, ProviderRetried
from workbench.simulation.clock import run_virtual
from workbench.simulation.scripted import ScriptedLlm
from workbench.trace.trace import Trace


def guarded(**limits: float) -> tuple[Guarded[Llm], Trace]:
    """The LLM `parrot` behind its guard, and the trace of its events."""
    loop = asyncio.get_running_loop()
    trace = Trace(lambda: loop.time() * 1000)
    parrot = ScriptedLlm([])
    parrot.name = "parrot"
    return GuardedLlm(parrot, EngineSettings.model_validate({"limits": limits}), trace), trace


def events(trace: Trace) -> list[tuple[float, Event]]:
    return [(entry.t_ms, entry.event) for entry in trace.since(0)]


def states(trace: Trace) -> list[tuple[float, str]]:
    return [(at, event.state) for at, event in events(trace) if isinstance(event, BreakerChanged)]


class Request:
    """Answers with each of `answers` in turn, the last one for ever; notes when it was made."""

    def __init__(self, *answers: str | Exception | float) -> None:
        self.answers = list(answers)
        self.asked: list[float] = []

    async def __call__(self, provider: object = None) -> str:
        self.asked.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            return answer
        await asyncio.sleep(answer)
        return "slow"


async def fails(
    llm: Guarded[Llm], request: Callable[[Llm], Awaitable[str]], deadline_ms: float = 1000
) -> StageError:
    with pytest.raises(StageError) as raised:
        await llm.call(request, deadline_ms)
    return raised.value


# --- deadlines and retries -------------------------------------------------------------------------------------------


def test_a_failure_is_retried_after_a_wait_that_doubles() -> None:
    async def main() -> None:
        llm, trace = guarded(retries=3, backoff_ms=100)
        request = Request(StageError("1"), StageError("2"), StageError("3"), "at last")
        assert await llm.call(request, 1000) == "at last"
        assert request.asked == pytest.approx([0, 0.1, 0.3, 0.7])
        assert [event for _, event in events(trace)] == [
            ProviderRetried("llm", "parrot", 1, 100.0, "1"),
            ProviderRetried("llm", "parrot", 2, 200.0, "2"),
            ProviderRetried("llm", "parrot", 3, 400.0, "3"),
        ]

    run_virtual(main())


def test_the_wait_and_the_number_of_retries_are_bounded() -> None:
    async def main() -> None:
        llm, _ = guarded(retries=3, backoff_ms=1000, max_backoff_ms=1500, breaker_failures=99)
        request = Request(StageError("no"))
        assert (await fails(llm, request)).reason == "no"
        assert request.asked == pytest.approx([0, 1, 2.5, 4])

    run_virtual(main())


def test_a_refusal_is_not_retried() -> None:
    async def main() -> None:
        llm, trace = guarded()
        request = Request(RefusedError("wrong key"))
        assert isinstance(await fails(llm, request), RefusedError)
        assert len(request.asked) == 1
        assert events(trace) == []

    run_virtual(main())


def test_every_try_has_the_deadline() -> None:
    async def main() -> None:
        llm, _ = guarded(retries=1, backoff_ms=0)
        request = Request(10.0)
        assert isinstance(await fails(llm, request, 400), DeadlineError)
        assert request.asked == pytest.approx([0, 0.4])
        assert asyncio.get_running_loop().time() == pytest.approx(0.8)

    run_virtual(main())


# --- Retry-After -----------------------------------------------------------------------------------------------------


def test_retry_after_is_obeyed_instead_of_the_backoff() -> None:
    async def main() -> None:
        llm, _ = guarded(backoff_ms=100)
        request = Request(BusyError("429", retry_after=2.5), "now")
        assert await llm.call(request, 1000) == "now"
        assert request.asked == pytest.approx([0, 2.5])

    run_virtual(main())


def test_no_request_is_made_before_retry_after() -> None:
    async def main() -> None:
        llm, trace = guarded(retries=0)
        request = Request(BusyError("429", retry_after=3), "now")
        await fails(llm, request)
        await asyncio.sleep(2)
        error = await fails(llm, request)
        assert isinstance(error, OpenBreakerError)
        assert error.reason == "parrot asked us to come back in 1.0 s"
        await asyncio.sleep(1)
        assert await llm.call(request, 1000) == "now"
        assert request.asked == pytest.approx([0, 3])
        assert states(trace) == []

    run_virtual(main())


def test_a_retry_after_longer_than_the_longest_wait_ends_the_call_at_once_and_is_still_obeyed() -> None:
    async def main() -> None:
        llm, _ = guarded(max_backoff_ms=8000)
        request = Request(BusyError("429", retry_after=60), "now")
        assert isinstance(await fails(llm, request), BusyError)
        assert asyncio.get_running_loop().time() == 0
        await asyncio.sleep(59.9)
        assert isinstance(await fails(llm, request), OpenBreakerError)
        await asyncio.sleep(0.1)
        assert await llm.call(request, 1000) == "now"

    run_virtual(main())


def test_retry_after_outlives_a_success_of_another_request() -> None:
    async def main() -> None:
        llm, _ = guarded(retries=0)
        slow = asyncio.create_task(llm.call(Request(1.0), 5000))
        await asyncio.sleep(0)
        await fails(llm, Request(BusyError("429", retry_after=5)))
        assert await slow == "slow"
        assert isinstance(await fails(llm, Request("now")), OpenBreakerError)

    run_virtual(main())


@pytest.mark.parametrize("strange", [-5.0, float("nan"), 0.0])
def test_a_strange_retry_after_is_no_wait(strange: float) -> None:
    async def main() -> None:
        llm, _ = guarded()
        request = Request(BusyError("429", retry_after=strange), "now")
        assert await llm.call(request, 1000) == "now"
        assert request.asked == [0, 0]

    run_virtual(main())


# --- the breaker -----------------------------------------------------------------------------------------------------


def test_five_failures_in_a_row_open_the_breaker_a_probe_closes_it() -> None:
    async def main() -> None:
        llm, trace = guarded(retries=1, backoff_ms=0, breaker_ms=15_000)
        broken = Request(StageError("down"))
        for _ in range(3):  # 2 + 2 + 1 tries
            await fails(llm, broken)
        assert len(broken.asked) == 5
        error = await fails(llm, broken)
        assert isinstance(error, OpenBreakerError)
        assert not error.retryable
        assert error.stage == "llm"
        assert "5 failures in a row" in error.reason
        assert len(broken.asked) == 5, "an open breaker does not ask"
        await asyncio.sleep(15)
        assert await llm.call(Request("well again"), 1000) == "well again"
        assert states(trace) == [(0, "open"), (15_000, "half_open"), (15_000, "closed")]
        assert [event.wait_ms for _, event in events(trace) if isinstance(event, BreakerChanged)] == [
            15_000,
            0,
            0,
        ]

    run_virtual(main())


def test_a_success_in_between_starts_the_count_anew() -> None:
    async def main() -> None:
        llm, trace = guarded(retries=0)
        for _ in range(3):
            for _ in range(4):
                await fails(llm, Request(StageError("down")))
            await llm.call(Request("up"), 1000)
        assert states(trace) == []

    run_virtual(main())


async def opened(**limits: float) -> tuple[Guarded[Llm], Trace]:
    llm, trace = guarded(retries=0, breaker_failures=2, breaker_ms=1000, **limits)
    for _ in range(2):
        await fails(llm, Request(StageError("down")))
    await asyncio.sleep(1)
    return llm, trace


def test_a_probe_that_fails_opens_it_again() -> None:
    async def main() -> None:
        llm, trace = await opened()
        await fails(llm, Request(StageError("still down")))
        assert isinstance(await fails(llm, Request("x")), OpenBreakerError)
        assert [state for _, state in states(trace)] == ["open", "half_open", "open"]

    run_virtual(main())


def test_only_one_request_probes_at_a_time() -> None:
    async def main() -> None:
        llm, trace = await opened()
        probe = asyncio.create_task(llm.call(Request(0.5), 1000))
        await asyncio.sleep(0.1)
        other = Request("other")
        error = await fails(llm, other)
        assert isinstance(error, OpenBreakerError)
        assert "probed by another request" in error.reason
        assert other.asked == []
        assert await probe == "slow"
        assert await llm.call(other, 1000) == "other"
        assert [state for _, state in states(trace)] == ["open", "half_open", "closed"]

    run_virtual(main())


def test_a_cancelled_probe_proves_nothing_and_the_next_one_may_try() -> None:
    async def main() -> None:
        llm, trace = await opened()
        probe = asyncio.create_task(llm.call(Request(0.5), 1000))
        await asyncio.sleep(0.1)
        probe.cancel()
        await asyncio.wait([probe])
        assert await llm.call(Request("up"), 1000) == "up"
        assert [state for _, state in states(trace)] == ["open", "half_open", "open", "half_open", "closed"]

    run_virtual(main())


def test_a_request_made_before_the_breaker_opened_may_still_answer() -> None:
    async def main() -> None:
        llm, trace = guarded(retries=0, breaker_failures=2)
        early = asyncio.create_task(llm.call(Request(0.5), 1000))
        await asyncio.sleep(0)
        for _ in range(2):
            await fails(llm, Request(StageError("down")))
        assert await early == "slow"
        assert await llm.call(Request("up"), 1000) == "up"
        assert [state for _, state in states(trace)] == ["open", "closed"]

    run_virtual(main())


@settings(deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["fails", "works", "busy", "cancelled", "waits"]), max_size=40))
def test_a_refused_provider_is_never_called(steps: list[str]) -> None:
    limits = LimitSettings(breaker_failures=3, breaker_ms=1000)
    breaker, now = CircuitBreaker(limits), 0.0
    barred, in_a_row = 0.0, 0
    for step in steps:
        now += 0.3
        if step == "waits":
            now += 0.9
        refused = breaker.refusal(now)
        assert (refused is not None) == (now < barred - 1e-6)
        if refused is not None or step == "waits":
            continue
        breaker.admit()
        if step == "works":
            assert breaker.succeed() == "closed"
            in_a_row = 0
        elif step == "cancelled":
            assert breaker.abandon() != "half_open"
        else:
            in_a_row += 1
            probing = breaker.state == "half_open"
            if step == "busy":
                breaker.hold(now, 2.0)
                barred = now + 2.0
            state = breaker.fail(now)
            assert (state == "open") == (in_a_row >= 3 or probing)
            if state == "open":
                barred = max(barred, now + 1.0)


# --- streams ---------------------------------------------------------------------------------------------------------

Step = int | Exception | float


class Streams:
    """Streams by script, one a call: items, failures, waits (s); counts what is open."""

    def __init__(self, *scripts: Sequence[Step], leaving: Exception | float | None = None) -> None:
        self.scripts = list(scripts)
        self.leaving = leaving
        self.asked = 0
        self.open = 0

    def __call__(self, provider: object = None) -> AbstractAsyncContextManager[AsyncIterator[int]]:
        return self._opened(self.scripts[min(self.asked, len(self.scripts) - 1)])

    @asynccontextmanager
    async def _opened(self, script: Sequence[Step]) -> AsyncIterator[AsyncIterator[int]]:
        self.asked += 1
        self.open += 1
        try:
            yield self._items(script)
        finally:
            self.open -= 1
            if isinstance(self.leaving, Exception):
                raise self.leaving
            if self.leaving:
                await asyncio.sleep(self.leaving)

    async def _items(self, script: Sequence[Step]) -> AsyncIterator[int]:
        for step in script:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                yield step


async def read(llm: Guarded[Llm], streams: Streams, first_ms: float = 1000, gap_ms: float = 500) -> list[int]:
    got: list[int] = []
    try:
        async with llm.stream(streams, first_ms, gap_ms, lambda item: item >= 0) as items:
            async for item in items:
                got.append(item)  # noqa: PERF401  # what came before a failure counts
    except StageError:
        got.append(-1)
    assert streams.open == 0
    return got


def test_a_stream_is_retried_only_before_its_first_item() -> None:
    async def main() -> None:
        llm, trace = guarded()
        down = StageError("down")
        assert await read(llm, Streams([down], [down], [1, 2])) == [1, 2]
        late = Streams([1, down], [1, 2])
        assert await read(llm, late) == [1, -1]
        assert late.asked == 1
        assert sum(isinstance(event, ProviderRetried) for _, event in events(trace)) == 2

    run_virtual(main())


def test_a_stream_without_items_has_ended_early() -> None:
    async def main() -> None:
        llm, _ = guarded(retries=0)
        with pytest.raises(EndedEarlyError, match="answered with nothing"):
            async with llm.stream(Streams([]), 1000, 1000):
                pass

    run_virtual(main())


def test_the_first_item_has_one_deadline_the_next_ones_another() -> None:
    async def main() -> None:
        llm, _ = guarded(retries=0)
        assert await read(llm, Streams([0.9, 1, 0.4, 2, 0.4, 3])) == [1, 2, 3]
        assert await read(llm, Streams([1.1, 1])) == [-1]
        began = asyncio.get_running_loop().time()
        assert await read(llm, Streams([1, 0.6, 2])) == [1, -1]
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.5)

    run_virtual(main())


def test_invalid_items_are_garbage() -> None:
    async def main() -> None:
        llm, _ = guarded(retries=1, backoff_ms=0)
        assert await read(llm, Streams([-7], [1])) == [1]
        async with llm.stream(Streams([1, -7]), 1000, 1000, lambda item: item >= 0) as items:
            assert await anext(items) == 1
            with pytest.raises(GarbageError, match="parrot answered with what cannot be used: -7"):
                await anext(items)

    run_virtual(main())


def test_streams_that_fail_midway_open_the_breaker_too() -> None:
    async def main() -> None:
        llm, trace = guarded()
        for _ in range(5):
            assert await read(llm, Streams([1, StageError("cut off")])) == [1, -1]
        assert [state for _, state in states(trace)] == ["open"]

    run_virtual(main())


def test_a_stream_left_half_way_counts_as_a_success_and_is_closed() -> None:
    async def main() -> None:
        llm, trace = await opened()
        streams = Streams([1, 2, 3])
        async with llm.stream(streams, 1000, 1000) as items:
            assert await anext(items) == 1
        assert streams.open == 0
        assert [state for _, state in states(trace)] == ["open", "half_open", "closed"]

    run_virtual(main())


@pytest.mark.parametrize("leaving", [RuntimeError("cannot close"), 60.0])
def test_a_stream_that_cannot_be_closed_costs_a_notice_and_not_the_turn(leaving: Exception | float) -> None:
    async def main() -> None:
        llm, trace = guarded()
        assert await read(llm, Streams([1, 2], leaving=leaving)) == [1, 2]
        (notice,) = (event for _, event in events(trace) if isinstance(event, Notice))
        assert notice.owner == "llm"
        assert asyncio.get_running_loop().time() <= 1

    run_virtual(main())


@pytest.mark.parametrize("leaving", [RuntimeError("cannot close"), 60.0, None])
@pytest.mark.parametrize("at", [0.05, 0.3, 0.5])
def test_a_cancellation_gets_out_of_a_stream_in_any_state(
    at: float, leaving: Exception | float | None
) -> None:
    """Before the first item, between two, and while the body is busy with one."""

    async def main() -> None:
        llm, _ = guarded()
        streams = Streams([0.1, 1, 0.3, 2], leaving=leaving)

        async def body() -> None:
            async with llm.stream(streams, 1000, 1000) as items:
                async for _ in items:
                    await asyncio.sleep(0.15)

        task = asyncio.create_task(body())
        await asyncio.sleep(at)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert streams.open == 0
        assert asyncio.get_running_loop().time() <= at + 1

    run_virtual(main())


def test_a_stream_that_is_left_half_way_leaves_no_task() -> None:
    async def main() -> int:
        llm, _ = guarded()

        @asynccontextmanager
        async def opened() -> AsyncIterator[AsyncIterator[int]]:
            yield Numbers()

        async with llm.stream(lambda provider: opened(), 1000, 1000) as items:
            async for _ in items:
                break
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert run_virtual(main()) == 1


class Numbers:
    def __init__(self) -> None:
        self.last = 0

    def __aiter__(self) -> Numbers:
        return self

    async def __anext__(self) -> int:
        self.last += 1
        return self.last
