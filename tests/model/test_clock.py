"""Waiting for the world outside."""

from __future__ import annotations

import asyncio

from workbench.model.clock import outside
from workbench.simulation.clock import run_virtual


def test_outside_does_nothing_on_an_ordinary_loop() -> None:
    async def run() -> None:
        with outside() as nothing:
            assert nothing is None

    asyncio.run(run())


def test_a_virtual_clock_does_not_skip_time_meanwhile() -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        with outside():
            await asyncio.to_thread(lambda: None)
        return loop.time()

    assert 0 < run_virtual(run()) < 30
