"""How much is taken in of whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from workbench.model.events import Notice
from workbench.simulation.clock import run_virtual
from workbench.trace.trace import Trace
from workbench.transports.livekit.rate_limit import (
    MESSAGES_A_SECOND,
    MOST_SENDERS,
    QUIET_S,
    STREAMS,
    STREAMS_OF_ONE,
    STREAMS_WITH_FIRST,
    RateLimiter,
)


def notices_of(talk: Callable[[RateLimiter], Awaitable[None]]) -> list[str]:
    """Run it; the notices."""
    trace = Trace(lambda: 0.0)

    async def main() -> None:
        await talk(RateLimiter(trace))

    run_virtual(main())
    return [entry.event.reason for entry in trace.since(0) if isinstance(entry.event, Notice)]


def test_a_flood_shuts_out_who_makes_it_and_is_told_once_until_it_comes_again() -> None:
    async def talk(limiter: RateLimiter) -> None:
        for _ in range(2):
            for _ in range(5):
                taken = [limiter.allow_message("bob") for _ in range(100)]
                assert taken == [True] * MESSAGES_A_SECOND + [False] * (100 - MESSAGES_A_SECOND)
                assert limiter.allow_message("ann")
                await asyncio.sleep(1)
            await asyncio.sleep(QUIET_S)

    assert (
        notices_of(talk)
        == [f"more than {MESSAGES_A_SECOND} messages a second came from bob: the rest is dropped"] * 2
    )


def test_streams_left_open_keep_out_nobody_else() -> None:
    async def talk(limiter: RateLimiter) -> None:
        open_ = [[limiter.allow_stream(who) for _ in range(4)] for who in ("bob", "eve", "joe")]
        taken = [[one is not None for one in each] for each in open_]
        assert taken[:2] == [[True] * STREAMS_OF_ONE + [False]] * 2
        assert sum(map(sum, taken)) == STREAMS
        ann = limiter.allow_stream("ann")
        assert ann
        assert not limiter.allow_stream("ann")
        ann.end_stream()
        assert limiter.allow_stream("ann")
        first = [limiter.allow_stream(f"crowd {number}") for number in range(50)]
        assert sum(one is not None for one in first) == STREAMS_WITH_FIRST - STREAMS - 1

    assert (
        "more texts and files at the same time than are read came from bob: the rest is dropped"
        in notices_of(talk)
    )


def test_of_many_senders_no_more_is_kept_than_is_needed() -> None:
    async def talk(limiter: RateLimiter) -> None:
        held = limiter.allow_stream("ann")
        for second in range(3):
            taken = [limiter.allow_message(f"{second} {number}") for number in range(200)]
            assert sum(taken) >= MOST_SENDERS - 2 + MESSAGES_A_SECOND
            assert sum(taken) <= MOST_SENDERS + MESSAGES_A_SECOND
            assert len(limiter._senders) <= MOST_SENDERS + 1
            await asyncio.sleep(1)
        assert held is limiter._sender("ann")
        assert held.streams == 1

    notices_of(talk)
