"""How much is taken in of whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from workbench.model.events import Notice
from workbench.simulation.clock import run_virtual
from workbench.trace.trace import Trace
from workbench.transports.livekit.rate_limit import (
    MOST_A_SECOND,
    MOST_AT_ONCE,
    MOST_OF_ONE,
    MOST_SENDERS,
    MOST_WITH_FIRST,
    QUIET_S,
    RateLimiter,
)


def admitting(talk: Callable[[RateLimiter], Awaitable[None]]) -> list[str]:
    """What was noticed."""
    trace = Trace(lambda: 0.0)

    async def main() -> None:
        await talk(RateLimiter(trace))

    run_virtual(main())
    return [entry.event.reason for entry in trace.since(0) if isinstance(entry.event, Notice)]


def test_a_flood_shuts_out_who_makes_it_and_is_told_once_until_it_comes_again() -> None:
    async def talk(admission: RateLimiter) -> None:
        for _ in range(2):
            for _ in range(5):
                taken = [admission.message("bob") for _ in range(100)]
                assert taken == [True] * MOST_A_SECOND + [False] * (100 - MOST_A_SECOND)
                assert admission.message("ann")
                await asyncio.sleep(1)
            await asyncio.sleep(QUIET_S)

    assert (
        admitting(talk)
        == [f"more than {MOST_A_SECOND} messages a second came from bob: the rest is dropped"] * 2
    )


def test_streams_left_open_keep_out_nobody_else() -> None:
    async def talk(admission: RateLimiter) -> None:
        open_ = [[admission.stream(who) for _ in range(4)] for who in ("bob", "eve", "joe")]
        taken = [[one is not None for one in each] for each in open_]
        assert taken[:2] == [[True] * MOST_OF_ONE + [False]] * 2
        assert sum(map(sum, taken)) == MOST_AT_ONCE
        ann = admission.stream("ann")
        assert ann
        assert not admission.stream("ann")
        ann.ended()
        assert admission.stream("ann")
        first = [admission.stream(f"crowd {number}") for number in range(50)]
        assert sum(one is not None for one in first) == MOST_WITH_FIRST - MOST_AT_ONCE - 1

    assert (
        "more texts and files at the same time than are read came from bob: the rest is dropped"
        in admitting(talk)
    )


def test_of_many_senders_no_more_is_kept_than_is_needed() -> None:
    async def talk(admission: RateLimiter) -> None:
        held = admission.stream("ann")
        for second in range(3):
            taken = [admission.message(f"{second} {number}") for number in range(200)]
            assert sum(taken) >= MOST_SENDERS - 2 + MOST_A_SECOND
            assert sum(taken) <= MOST_SENDERS + MOST_A_SECOND
            assert len(admission._senders) <= MOST_SENDERS + 1
            await asyncio.sleep(1)
        assert held is admission._of("ann")
        assert held.reading == 1

    admitting(talk)
