"""Work beside work, and stretches that can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.tasks import CancelScope, beside, within
from workbench.model.errors import DeadlineError, StageError
from workbench.simulation.clock import run_virtual


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


# --- beside ----------------------------------------------------------------------------------------------------------


def test_work_beside_ends_with_the_body() -> None:
    async def main() -> bool:
        async with beside(forever()) as task:
            await asyncio.sleep(1)
        return task.cancelled()

    assert run_virtual(main())


def test_a_failure_beside_ends_the_body_and_is_raised_as_it_is() -> None:
    async def fails() -> None:
        await asyncio.sleep(1)
        raise StageError("broken")

    async def main() -> float:
        with pytest.raises(StageError, match="broken"):
            async with beside(fails()):
                await forever()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 1


def test_an_error_of_the_body_ends_the_work_and_is_raised_as_it_is() -> None:
    async def main() -> None:
        with pytest.raises(KeyError):
            async with beside(forever()):
                raise KeyError
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def test_a_cancellation_during_the_wind_up_is_not_lost() -> None:
    async def tidies() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(1)

    async def body() -> None:
        async with beside(tidies()):
            await asyncio.sleep(1)
            raise StageError("broken")

    async def main() -> bool:
        task = asyncio.create_task(body())
        await asyncio.sleep(1.7)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run_virtual(main())


# --- scopes ----------------------------------------------------------------------------------------------------------


def test_a_cut_ends_the_scope_and_nothing_else() -> None:
    async def main() -> tuple[bool, float]:
        loop, scope = asyncio.get_running_loop(), CancelScope()
        loop.call_later(1, scope.cut)
        with scope.entered():
            await forever()
        await asyncio.sleep(1)
        return scope.was_cut, loop.time()

    assert run_virtual(main()) == (True, 2)


def test_a_scope_that_is_over_cannot_be_cut() -> None:
    async def main() -> bool:
        scope = CancelScope()
        scope.cut()
        with scope.entered():
            await asyncio.sleep(1)
        scope.cut()
        await asyncio.sleep(1)
        return scope.was_cut

    assert not run_virtual(main())


@pytest.mark.parametrize("swallowed", [True, False])
def test_a_cut_that_another_error_replaces_leaves_the_task_uncancelled(swallowed: bool) -> None:
    async def main() -> int:
        task, scope = asyncio.current_task(), CancelScope()
        assert task is not None
        asyncio.get_running_loop().call_later(1, scope.cut)
        try:
            with scope.entered():
                try:
                    await forever()
                except asyncio.CancelledError:
                    if not swallowed:
                        raise StageError("while being cut") from None
        except StageError:
            pass
        await asyncio.sleep(1)
        return task.cancelling()

    assert run_virtual(main()) == 0


Cuts = st.lists(st.tuples(st.floats(0, 4), st.sampled_from(["outer", "inner", "task"])), max_size=5)


@settings(deadline=None, derandomize=True)
@given(Cuts, st.floats(0.1, 3), st.floats(0, 1))
def test_each_cancellation_ends_its_own_scope(
    cuts: list[tuple[float, str]], work_s: float, tidy_s: float
) -> None:
    """Two scopes in a task: a cut of the inner one ends it alone, the outer one's both, the task's own all."""
    ended: list[str] = []

    async def body(outer: CancelScope, inner: CancelScope) -> int:
        with outer.entered():
            with inner.entered():
                try:
                    await asyncio.sleep(work_s)
                finally:
                    await asyncio.sleep(tidy_s)
            ended.append("inner")
            await asyncio.sleep(work_s)
        ended.append("outer")
        await asyncio.sleep(work_s)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    async def main() -> tuple[asyncio.Task[int], CancelScope]:
        loop = asyncio.get_running_loop()
        outer, inner = CancelScope(), CancelScope()
        task = asyncio.create_task(body(outer, inner))
        acts: dict[str, Callable[[], object]] = {"outer": outer.cut, "inner": inner.cut, "task": task.cancel}
        for at, what in cuts:
            loop.call_later(at, acts[what])
        await asyncio.wait([task])
        return task, outer

    task, outer = run_virtual(main())
    if task.cancelled():
        assert "task" in [what for _, what in cuts]
        return
    assert task.result() == 0
    assert ended[-1] == "outer"
    if not outer.was_cut:
        assert ended == ["inner", "outer"]


# --- within ----------------------------------------------------------------------------------------------------------


def failure(work: Coroutine[Any, Any, Any], deadline_ms: float = 1000) -> StageError:
    """What `within` makes of work that does not succeed."""

    async def main() -> StageError:
        with pytest.raises(StageError) as raised:
            await within("the parrot", "llm", lambda: work, deadline_ms)
        return raised.value

    return run_virtual(main())


def test_a_late_result_is_a_deadline_error() -> None:
    error = failure(forever(), 500)
    assert isinstance(error, DeadlineError)
    assert (error.stage, error.reason) == ("llm", "the parrot did not answer within 500 ms")


async def raises(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (StageError("no seed"), "no seed"),
        (ValueError("no\x1b[2J seed"), "the parrot raised ValueError: no seed"),
        (TimeoutError(), "the parrot raised TimeoutError: "),
        (asyncio.CancelledError(), "the parrot cancelled itself"),
        (ExceptionGroup("two", [ExceptionGroup("one", [StageError("first")]), KeyError()]), "first"),
        (ExceptionGroup("two", [KeyError("a")]), "the parrot raised KeyError: 'a'"),
    ],
)
def test_an_error_names_its_owner_and_the_stage(raised: BaseException, reason: str) -> None:
    error = failure(raises(raised))
    assert (error.stage, error.reason) == ("llm", reason)


def test_the_stage_of_an_error_is_kept() -> None:
    assert failure(raises(StageError("broken", stage="tools"))).stage == "tools"


@pytest.mark.parametrize("instead", [RuntimeError("while leaving"), None])
def test_a_provider_cannot_swallow_a_cancellation(
    instead: Exception | None,
) -> None:
    async def stubborn() -> str:
        try:
            await forever()
        except asyncio.CancelledError:
            if instead:
                raise instead from None
        return "too late"

    async def main() -> bool:
        task = asyncio.create_task(within("the parrot", "llm", stubborn, 10_000))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run_virtual(main())
