"""What the checks of the model stages (stt, llm, tts) have in common: a provider that is entered, called and left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from workbench.model.errors import WorkbenchError
from workbench.simulation.clock import Deadlock
from workbench.testing.contract.cancel import ends_at_once, opens_or_not
from workbench.testing.contract.leaks import Holdings
from workbench.testing.contract.rules import Ledger, Report, Rule, shown
from workbench.testing.contract.trial import Trial, run

T = TypeVar("T")
LONG_S = 5.0
"""What takes longer than this for a very long input is left, s: then it has to end as any other call."""
Work = Coroutine[Any, Any, Any]


@dataclass(frozen=True)
class Use(Generic[T]):
    """How a stage is used. Each call checks the format of what it gets, and raises BrokenRule."""

    members: Mapping[str, type | None]
    """What a provider must have: attributes of these types; None: something to call."""
    whole: Callable[[T], Work]
    """An ordinary call, from its start to its end."""
    brief: Callable[[T], Work]
    """A short one, to be made many times."""
    odd: Mapping[str, Callable[[T], Work]]
    """Calls with odd input, by what is odd about it."""
    long: Mapping[str, Callable[[T], Work]]
    """Calls with very long input, by what is long about it."""
    more: Callable[[Trial, T], Work]
    """What else is asked of this stage."""


def check(
    make: Callable[[], T], use: Use[T], ledger: Ledger, failing: Callable[[], T] | None, deadline_s: float
) -> Report:
    """One session to get warm, then one in which everything is tried, then one under the virtual clock."""
    run(lambda: _session(make, use, ledger, deadline_s))
    before = Holdings.now()
    run(lambda: _everything(make, use, ledger, deadline_s))
    if left := before.left():
        raise ledger.broken(Rule.CLOSES, f"left open: {', '.join(left[:5])}")
    ledger.kept(Rule.CLOSES, 0, "left open")
    _under_the_virtual_clock(make, use, ledger, deadline_s)
    if failing is not None:
        run(lambda: _fails(failing, use, ledger, deadline_s))
    return ledger.report()


def has_members(ledger: Ledger, provider: object, members: Mapping[str, type | None]) -> None:
    """BrokenRule for a member that is not there, or of another type."""
    for name, kind in members.items():
        value = getattr(provider, name, None)
        fits = callable(value) if kind is None else isinstance(value, kind)
        wanted = "a method" if kind is None else f"of type {kind.__name__}"
        ledger.need(fits, Rule.SHAPE, f"`{name}` must be {wanted}, and is {shown(value)}")
    empty = "name" in members and not getattr(provider, "name", "").strip()
    ledger.need(not empty, Rule.SHAPE, "`name` is empty")
    ledger.kept(Rule.SHAPE, len(members), "members")


async def enter(trial: Trial, stack: AsyncExitStack, make: Callable[[], T]) -> T:
    """A fresh provider, entered until the stack is left."""
    made = make()
    has_members(trial.ledger, made, {"__aenter__": None, "__aexit__": None})
    provider: T = await trial.done("entering", _aenter(made))
    trial.ledger.name(provider)

    async def leave() -> None:
        await trial.done("leaving", _aexit(made))

    stack.push_async_callback(leave)
    return provider


async def _aenter(made: Any) -> Any:
    return await made.__aenter__()


async def _aexit(made: Any) -> Any:
    return await made.__aexit__(None, None, None)


async def _session(make: Callable[[], T], use: Use[T], ledger: Ledger, deadline_s: float) -> None:
    trial = Trial(ledger, deadline_s)
    async with AsyncExitStack() as stack:
        provider = await enter(trial, stack, make)
        has_members(ledger, provider, use.members)
        await trial.done("warm()", provider.warm())  # type: ignore[attr-defined]
        await trial.done("a call", use.whole(provider))


async def _everything(make: Callable[[], T], use: Use[T], ledger: Ledger, deadline_s: float) -> None:
    trial = Trial(ledger, deadline_s)
    async with trial.watched():
        known = asyncio.all_tasks()
        await opens_or_not(trial, lambda: _briefly(make))
        async with AsyncExitStack() as stack:
            provider = await enter(trial, stack, make)
            await trial.done("warm()", provider.warm())  # type: ignore[attr-defined]
            await trial.loop_kept_free("a call", lambda: use.whole(provider))
            await _beside_another(trial, make, use, provider)
            await use.more(trial, provider)
            for what, odd in use.odd.items():
                await trial.tolerated(what, odd(provider))
            for what, long in use.long.items():
                await trial.tolerated(what, long(provider), patience_s=LONG_S)
            await trial.done("a call after odd ones", use.brief(provider))
            ledger.kept(Rule.TOLERATES, len(use.odd) + len(use.long), "odd inputs")
            await ends_at_once(trial, lambda: use.brief(provider))
            await trial.nothing_grows(lambda: use.brief(provider))
        await trial.no_tasks(known)


async def _briefly(make: Callable[[], Any]) -> None:
    async with make() as provider:
        await provider.warm()


async def _beside_another(trial: Trial, make: Callable[[], T], use: Use[T], provider: T) -> None:
    """Two calls at once; and another provider may come and go meanwhile, as another session's does."""
    async with AsyncExitStack() as stack:
        other = await enter(trial, stack, make)
        trial.ledger.need(other is not provider, Rule.TOGETHER, "the factory gives the same object twice")
        works = [use.brief(provider), use.brief(provider), use.brief(other)]
        await _all(trial, works)
    task = await trial.ended("a call", use.brief(provider))
    error = task.exception()
    if error is not None:
        raise trial.ledger.broken(
            Rule.TOGETHER, f"when another one was left, a call raised {type(error).__name__}: {error}"
        )
    trial.ledger.kept(Rule.TOGETHER, len(works), "calls at once")


async def _all(trial: Trial, works: list[Work]) -> None:
    results = await trial.done("calls at once", _gathered(works))
    for error in filter(None, results):
        raise trial.ledger.broken(
            Rule.TOGETHER, f"of calls at once one raised {type(error).__name__}: {error}"
        )


async def _gathered(works: list[Work]) -> list[BaseException | None]:
    """What each raised."""
    results = await asyncio.gather(*works, return_exceptions=True)
    return [result if isinstance(result, BaseException) else None for result in results]


def _under_the_virtual_clock(make: Callable[[], T], use: Use[T], ledger: Ledger, deadline_s: float) -> None:
    async def main() -> None:
        trial = Trial(ledger, 3600.0)
        async with AsyncExitStack() as stack:
            provider = await enter(trial, stack, make)
            await trial.done("warm()", provider.warm())  # type: ignore[attr-defined]
            await trial.done("a call", use.brief(provider))

    try:
        run(main, virtual=True)
    except (Deadlock, AssertionError) as error:
        what = error.reason if isinstance(error, Deadlock) else str(error)
        raise ledger.broken(
            Rule.CLOCK, f"under a virtual clock it does not come to an end: {what}"
        ) from error
    ledger.kept(Rule.CLOCK, 1, "call under a virtual clock")


async def _fails(make: Callable[[], T], use: Use[T], ledger: Ledger, deadline_s: float) -> None:
    trial = Trial(ledger, deadline_s)

    async def call() -> None:
        async with make() as provider:  # type: ignore[attr-defined]
            await use.brief(provider)

    error: WorkbenchError = await trial.failing("a call that has to fail", call())
    ledger.kept(Rule.WHY, 1, f"failure, by {type(error).__name__}")
