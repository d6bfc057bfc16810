"""What the checks of the model stages (stt, llm, tts) share: a provider that is entered, called and left."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Generic, TypeVar

from workbench.engine.interfaces import ModelProvider
from workbench.simulation.clock import Deadlock
from workbench.testing.contract.cancellation import require_prompt_end, require_whole_opening
from workbench.testing.contract.check import ContractCheck, Members, Work, run, short_repr
from workbench.testing.contract.rules import Report, Rule

P = TypeVar("P", bound=ModelProvider)
LONG_S = 5.0
"""A call with very long input is cancelled after this time, s: then it has to end as any other call."""
VIRTUAL_S = 3600.0
"""The deadline of calls under the virtual clock, s."""
BRIEF = 2
"""Items that a short call takes before it leaves the stream."""
LEAVE_S = 0.1
"""Leaving a stream takes so long at most, s."""
TRIES = 3
"""So often it may be late before it is the provider's fault and not the machine's."""
AFTER_S = 1.0
"""An iterator that is asked for more after its end must say within this time that it is over, s."""


class ModelCheck(ContractCheck, Generic[P]):
    """The check of a model stage. Each of its calls checks the format of what it gets, and raises BrokenRule.

    `odd` and `long` are inputs for `call_with`, by what is odd or long about them.
    """

    def __init__(
        self,
        stage: str,
        deadline_s: float,
        members: Members,
        odd: Mapping[str, Any],
        long: Mapping[str, Any],
    ) -> None:
        super().__init__(stage, deadline_s)
        self._members = members
        self._odd = odd
        self._long = long

    @abstractmethod
    async def call(self, provider: P) -> None:
        """Make an ordinary call, from its start to its end."""

    @abstractmethod
    async def call_briefly(self, provider: P) -> object:
        """Make a short call; it is made many times."""

    @abstractmethod
    async def call_with(self, provider: P, odd: Any) -> object:
        """Make a call with odd or very long input."""

    @abstractmethod
    async def check_stage(self, provider: P) -> None:
        """Check the rules of this stage only."""

    def run(self, make: Callable[[], P], failing: Callable[[], P] | None) -> Report:
        """Run one session to get warm, one in which everything is tried, and one under the virtual clock."""
        run(lambda: self._session(make))
        with self.closing():
            run(lambda: self._everything(make))
        self._check_clock(make)
        if failing is not None:
            run(lambda: self.fail("a call that has to fail", self._open_and_call(failing)))
        return self.report()

    async def _session(self, make: Callable[[], P]) -> None:
        async with AsyncExitStack() as stack:
            provider = await self.enter(stack, make)
            self.require_members(provider, self._members)
            await self.complete("warm()", provider.warm())
            await self.complete("a call", self.call(provider))

    async def _everything(self, make: Callable[[], P]) -> None:
        async def open_only() -> None:
            async with make() as provider:
                await provider.warm()

        async with self.watching_the_loop():
            before = asyncio.all_tasks()
            await require_whole_opening(self, open_only)
            async with AsyncExitStack() as stack:
                provider = await self.enter(stack, make)
                await self.complete("warm()", provider.warm())
                await self.require_free_loop("a call", lambda: self.call(provider))
                await self._check_two(make, provider)
                await self.check_stage(provider)
                await self._check_odd(provider)
                await require_prompt_end(self, lambda: self.call_briefly(provider))
                await self.require_no_growth(lambda: self.call_briefly(provider))
            await self.require_no_tasks(before)

    async def _open_and_call(self, make: Callable[[], P]) -> None:
        async with make() as provider:
            await self.call_briefly(provider)

    async def _check_odd(self, provider: P) -> None:
        for label, odd in self._odd.items():
            await self.tolerate(label, self.call_with(provider, odd))
        for label, long in self._long.items():
            await self.tolerate(label, self.call_with(provider, long), patience_s=LONG_S)
        await self.complete("a call after odd ones", self.call_briefly(provider))
        self.keep(Rule.TOLERATES, len(self._odd) + len(self._long), "odd inputs")

    async def _check_two(self, make: Callable[[], P], provider: P) -> None:
        """Require that two calls work at once, and that another provider may come and go, as another session's does."""

        async def gather(*calls: Work[Any]) -> list[Any]:
            return await asyncio.gather(*calls, return_exceptions=True)

        async with AsyncExitStack() as stack:
            other = await self.enter(stack, make)
            self.require(other is not provider, Rule.TOGETHER, "the factory gives the same object twice")
            calls = [self.call_briefly(each) for each in (provider, provider, other)]
            for result in await self.complete("calls at once", gather(*calls)):
                failed = isinstance(result, BaseException)
                text = f"of calls at once one raised {type(result).__name__}: {result}"
                self.require(not failed, Rule.TOGETHER, text)
        error = (await self.finish("a call", self.call_briefly(provider))).exception()
        text = f"when another one was left, a call raised {type(error).__name__}: {error}"
        self.require(error is None, Rule.TOGETHER, text)
        self.keep(Rule.TOGETHER, len(calls), "calls at once")

    def _check_clock(self, make: Callable[[], P]) -> None:
        async def main() -> None:
            async with AsyncExitStack() as stack:
                provider = await self.enter(stack, make)
                await self.complete("warm()", provider.warm())
                await self.complete("a call", self.call_briefly(provider))

        deadline_s, self.deadline_s = self.deadline_s, VIRTUAL_S
        try:
            run(main, virtual=True)
        except (Deadlock, AssertionError) as error:
            reason = error.reason if isinstance(error, Deadlock) else str(error)
            text = f"under a virtual clock it does not come to an end: {reason}"
            raise self.broken(Rule.CLOCK, text) from error
        self.deadline_s = deadline_s
        self.keep(Rule.CLOCK, 1, "call under a virtual clock")

    # --- streams: a call of an LLM or a TTS is a context that gives an iterator ---------------------------------------

    def open_stream(self, stream: Any, method: str) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
        """Return the stream; BrokenRule if it is no context."""
        if asyncio.iscoroutine(stream):
            stream.close()  # or Python warns that nobody awaited it
        self.require(
            hasattr(stream, "__aenter__") and hasattr(stream, "__aexit__"),
            Rule.SHAPE,
            f"{method} gives {short_repr(stream)} and no async context",
            "decorate it with contextlib.asynccontextmanager, and yield the iterator",
        )
        return stream  # type: ignore[no-any-return]

    async def items_of(
        self, stream: object, method: str, take: int | None, check: Callable[[Any], None]
    ) -> list[Any]:
        """Return the items of a call, checked as they come; with `take`, only so many, and then the stream is left."""
        received: list[Any] = []
        async with self.open_stream(stream, method) as items:
            iterates = hasattr(items, "__aiter__") and hasattr(items, "__anext__")
            text = f"the context of {method} gives {short_repr(items)} and no async iterator"
            self.require(iterates, Rule.SHAPE, text)
            async for item in items:
                check(item)
                received.append(item)
                if take is not None and len(received) >= take:
                    break
        return received

    async def check_leaving(self, call: Callable[[], object], method: str) -> None:
        """Require that a stream left after an item is over at once: its iterator gives nothing more."""

        async def leave() -> tuple[float, Any]:
            loop = asyncio.get_running_loop()
            async with self.open_stream(call(), method) as items:
                await anext(items, None)
                left_at = loop.time()
            return loop.time() - left_at, items

        async def ask(items: AsyncIterator[Any]) -> Any:
            return await anext(items, None)

        seconds, items = await self.complete("leaving a call after an item", leave())
        took_s = [seconds]
        while took_s[-1] > LEAVE_S and len(took_s) < TRIES:
            seconds, items = await self.complete("leaving a call after an item", leave())
            took_s.append(seconds)
        self.require(min(took_s) <= LEAVE_S, Rule.LEAVES, f"leaving took {min(took_s) * 1000:.0f} ms")
        task = asyncio.get_running_loop().create_task(ask(items))
        await asyncio.wait({task}, timeout=AFTER_S)
        is_open = not task.done() or (task.exception() is None and task.result() is not None)
        task.cancel()
        await asyncio.wait({task}, timeout=AFTER_S)
        self.require(not is_open, Rule.LEAVES, "its iterator is still open after the context was left")
        self.keep(Rule.LEAVES, min(took_s) * 1000, "ms")
