"""What the checks of a source and a sink share: it is used for a while, and then cancelled wherever it waits."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Generic, TypeVar

from workbench.engine.interfaces import Sink, Source
from workbench.testing.contract.cancellation import require_prompt_end, require_whole_opening
from workbench.testing.contract.check import ContractCheck, Members, run
from workbench.testing.contract.rules import Report

D = TypeVar("D", Source, Sink)


class DeviceCheck(ContractCheck, Generic[D]):
    """The check of one end of a transport; `seconds` are played or recorded."""

    def __init__(
        self, stage: str, members: Members, make: Callable[[], D], seconds: float, deadline_s: float
    ) -> None:
        super().__init__(stage, 3 * seconds + deadline_s)
        self._members = members
        self._make: Callable[[], D] = make
        self._seconds = seconds

    @abstractmethod
    async def use(self, device: D) -> None:
        """Use it for a while."""

    @abstractmethod
    async def use_briefly(self) -> None:
        """Open it and use it for a moment."""

    def run(self, *, virtual: bool) -> Report:
        """Check it, on a virtual loop or on a real one."""
        run(self.check_use, virtual=virtual)
        with self.closing():
            run(self._check_cancellation, virtual=virtual)
        return self.report()

    async def check_use(self) -> None:
        """Use it for a while, which must not hold the loop."""

        async def use() -> None:
            async with AsyncExitStack() as stack:
                device = await self.enter(stack, self._make)
                self.require_members(device, self._members)
                await self.use(device)

        async with self.watching_the_loop():
            await self.require_free_loop("playing" if self.stage == "sink" else "listening", use)

    async def _check_cancellation(self) -> None:
        before = asyncio.all_tasks()
        await require_whole_opening(self, self.use_briefly)
        await require_prompt_end(self, self.use_briefly)
        await self.require_no_tasks(before)
