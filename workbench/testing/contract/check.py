"""The base of every check: requirements and figures, and calls of the provider under test within a deadline."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from workbench.engine.tasks import beside, single
from workbench.model.errors import StageError, UsageError, WorkbenchError, foreign
from workbench.model.text import plain
from workbench.plugin.values import Provider, ProviderOptions
from workbench.simulation.clock import VirtualLoop
from workbench.testing.contract import holdings
from workbench.testing.contract.holdings import Holdings
from workbench.testing.contract.rules import BrokenRule, Figure, Report, Rule

T = TypeVar("T")
Work = Coroutine[Any, Any, T]
Factory = Callable[[], T] | Provider
"""Gives a fresh provider at each call; or a `Provider` as a plugin registers it."""
Members = Mapping[str, type | None]
"""Names of attributes, and their types; None stands for a method."""
BEAT_S = 0.005
LOOP_S = 0.1
"""The loop may be held for so long, s. The engine needs it every 20 ms; the bound is for a busy machine."""
ABANDONED_S = 1.0
"""A call that does not end when cancelled is waited for so long, s, and then left alone."""
SCHEDSTAT = Path("/proc/thread-self/schedstat")

# --- unexpected input ---------------------------------------------------------------------------------------

_SENTENCE = "The old harbour was quiet in the morning, and a few boats lay in the water. "
LONG_TEXTS = {"a text of 10,000 characters": (_SENTENCE * (10_000 // len(_SENTENCE) + 1))[:10_000]}
ODD_TEXTS = {
    "an empty text": "",
    "white space": " \t\n ",
    "signs without a word": "… ?! —",
    "unicode": "naïve 你好 مرحبا 👩‍👩‍👧‍👦 e\u0301 \u202edrowssap \ufeff",
    "control characters": "\x1b[31mred\x07 \x00",
}
"""By what is odd about them."""
LOUDEST = 32_767


def full_scale(rate: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Return a second of a square wave as loud as samples can be, int16."""
    return np.where(np.arange(rate) // 40 % 2, LOUDEST, -LOUDEST - 1).astype(np.int16)


class ContractCheck:
    """A check of one provider: what it requires, the figures of the rules so far, and a watch on the loop."""

    def __init__(self, stage: str, deadline_s: float = math.inf) -> None:
        self.stage = stage
        self.deadline_s = deadline_s
        self.who = f"the {stage}"
        self._figures: dict[Rule, Figure] = {}
        self._held_s = 0.0

    def name(self, provider: object) -> None:
        """Take the provider's own name for verdicts."""
        name = getattr(provider, "name", None)
        label = name if isinstance(name, str) and name.strip() else type(provider).__name__
        self.who = f"{self.stage} {plain(label, 60, one_line=True)}"

    # --- rules -------------------------------------------------------------------------------------------------------

    def require(self, condition: object, rule: Rule, text: str, hint: str = "") -> None:
        """Raise BrokenRule unless the condition holds."""
        if not condition:
            raise self.broken(rule, text, hint)

    def broken(self, rule: Rule, text: str, hint: str = "") -> BrokenRule:
        """Return the error to raise."""
        return BrokenRule(self.who, rule, text, hint)

    def keep(self, rule: Rule, value: float, unit: str) -> None:
        """Note that the rule was kept; of several figures of one rule the largest counts."""
        before = self._figures.get(rule)
        self._figures[rule] = Figure(max(value, before.value) if before else value, unit)

    def report(self) -> Report:
        """Return the figures in the order of the rules."""
        return Report(self.who, {rule: self._figures[rule] for rule in Rule if rule in self._figures})

    def require_members(self, provider: object, members: Members) -> None:
        """Raise BrokenRule for a member that is missing, or of another type."""
        for name, kind in members.items():
            value = getattr(provider, name, None)
            fits = callable(value) if kind is None else isinstance(value, kind)
            expected = "a method" if kind is None else f"of type {kind.__name__}"
            self.require(fits, Rule.SHAPE, f"`{name}` must be {expected}, and is {short_repr(value)}")
        empty = "name" in members and not getattr(provider, "name", "").strip()
        self.require(not empty, Rule.SHAPE, "`name` is empty")
        self.keep(Rule.SHAPE, len(members), "members")

    def require_samples(self, samples: object) -> None:
        """Raise BrokenRule unless it is mono PCM16: int16, of one dimension."""
        if not isinstance(samples, np.ndarray):
            raise self.broken(Rule.FORMAT, f"samples must be an array, not {short_repr(samples)}")
        fits = samples.dtype == np.int16 and samples.ndim == 1
        shape = f"{samples.dtype} of shape {samples.shape}"
        self.require(fits, Rule.FORMAT, f"samples must be int16 of shape (n,), not {shape}")

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Require that nothing that is opened inside is left open."""
        before = Holdings.now()
        yield
        if remaining := before.remaining():
            raise self.broken(Rule.CLOSES, f"left open: {', '.join(remaining[:5])}")
        self.keep(Rule.CLOSES, 0, "left open")

    @contextmanager
    def tolerating(self, text: str) -> Iterator[None]:
        """Require that a detector, which runs inline, raises nothing on odd input."""
        try:
            with foreign(self.who, self.stage):
                yield
        except StageError as error:
            cause = error.__cause__ or error
            if isinstance(cause, BrokenRule):
                raise cause from None
            raise self.broken(Rule.TOLERATES, f"{text}: {error.reason}", "answer without an error") from cause

    # --- calls -------------------------------------------------------------------------------------------------------

    async def enter(self, stack: AsyncExitStack, make: Callable[[], T]) -> T:
        """Return a fresh provider, entered until the stack is left."""
        provider: Any = make()
        self.require_members(provider, {"__aenter__": None, "__aexit__": None})

        async def enter() -> T:
            entered: T = await provider.__aenter__()
            return entered

        async def leave() -> None:
            await provider.__aexit__(None, None, None)

        entered = await self.complete("entering", enter())
        self.name(entered)
        stack.push_async_callback(lambda: self.complete("leaving", leave()))
        return entered

    async def complete(self, label: str, work: Work[T]) -> T:
        """Return the result of a call. It must end within the deadline, and without an error."""
        task = await self.finish(label, work)
        self._require_reason(task, label)
        error = task.exception()
        if isinstance(error, WorkbenchError):
            raise self.broken(Rule.ANSWERS, f"{label} failed: {error.reason}", error.hint)
        return task.result()

    async def tolerate(self, label: str, work: Work[Any], patience_s: float | None = None) -> None:
        """Require an answer to odd input, or a StageError that says what is wrong with it.

        With `patience_s`, a call that takes longer is cancelled, and has to end then.
        """
        task = await self.finish(label, work, patience_s, may_be_cancelled=patience_s is not None)
        if not task.cancelled():
            self._require_reason(task, label, Rule.TOLERATES)

    async def fail(self, label: str, work: Work[Any]) -> None:
        """Require that a call ends with an error that has a reason and a hint."""
        task = await self.finish(label, work)
        self._require_reason(task, label)
        error = task.exception()
        self.require(error, Rule.WHY, f"{label} worked, and was to fail")
        assert isinstance(error, WorkbenchError)
        helpful = error.reason.strip() and error.hint.strip()
        self.require(helpful, Rule.WHY, f"{label} failed with {error!r}")
        self.keep(Rule.WHY, 1, f"failure, by {type(error).__name__}")

    async def finish(
        self, label: str, work: Work[T], deadline_s: float | None = None, *, may_be_cancelled: bool = False
    ) -> asyncio.Task[T]:
        """Return the task of a call when it is done; at the deadline it is cancelled, which may be allowed.

        A loose task on purpose: a group would wait for one that never ends.
        """
        limit_s = self.deadline_s if deadline_s is None else deadline_s
        task = asyncio.get_running_loop().create_task(work)
        try:
            await asyncio.wait({task}, timeout=limit_s)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=ABANDONED_S)
                self.require(task.done(), Rule.CANCELS, f"{label} went on after it was cancelled")
        done = may_be_cancelled or not task.cancelled()
        self.require(done, Rule.ANSWERS, f"{label} was not done after {limit_s:g} s")
        return task

    def _require_reason(self, task: asyncio.Task[Any], label: str, rule: Rule = Rule.WHY) -> None:
        """Require that an error is one of ours: others do not say why. A BrokenRule goes on as it is."""
        error = task.exception()
        while isinstance(error, BaseExceptionGroup):
            error = single(error)
        if error is None or isinstance(error, WorkbenchError):
            return
        if isinstance(error, BrokenRule):
            raise error
        if "read-only" in str(error):  # the arrays that a check gives cannot be written to
            raise self.broken(Rule.UNTOUCHED, f"it writes into the sound: {error}") from error
        text = f"{label} raised {type(error).__name__}: {short_repr(str(error))}"
        raise self.broken(rule, text) from error

    # --- the loop, and things left open ------------------------------------------------------------------------------

    @asynccontextmanager
    async def watching_the_loop(self) -> AsyncIterator[None]:
        """Measure meanwhile for how long the loop is held."""

        async def watch() -> None:
            while True:
                before = awake_s()
                await asyncio.sleep(BEAT_S)
                self._held_s = max(self._held_s, awake_s() - before - BEAT_S)

        async with beside(watch()):
            yield

    async def require_free_loop(self, label: str, call: Callable[[], Work[Any]]) -> None:
        """Require that a call does not hold the loop. The best of three counts: the machine may be busy with others."""
        held_s = list[float]()
        while len(held_s) < 3:
            self._held_s = 0.0
            await self.complete(label, call())
            await asyncio.sleep(2 * BEAT_S)  # the beat that it held up is counted when it comes
            held_s.append(self._held_s)
            if held_s[-1] < LOOP_S:
                self.keep(Rule.LOOP, held_s[-1] * 1000, "ms held")
                return
        raise self.broken(Rule.LOOP, f"{label} held the loop for {min(held_s) * 1000:.0f} ms")

    async def require_no_growth(self, call: Callable[[], Work[Any]], times: int = 4) -> None:
        """Require that calls do not leave more and more open while the provider is in use."""
        before = Holdings.now()
        for _ in range(times):
            await self.complete("a call", call())
        new = await settle(lambda: before.growth(times))
        names = ", ".join(new[:4])
        text = f"{times} calls left {len(new)} things open until the provider is left: {names}"
        self.require(not new, Rule.CLOSES, text)

    async def require_no_tasks(self, before: set[asyncio.Task[Any]]) -> None:
        """Require that no other tasks than before are on the loop."""
        mine = {*before, asyncio.current_task()}
        tasks = await settle(lambda: list(asyncio.all_tasks() - mine))
        names = ", ".join(sorted(short_repr(task.get_coro()) for task in tasks))
        self.require(not tasks, Rule.CLOSES, f"tasks go on after it was left: {names}")


def resolve(make: Factory[Any], stage: str, options: ProviderOptions | None) -> Callable[[], Any]:
    """Return a function that makes fresh providers. ValueError for a `Provider` of another stage."""
    if not isinstance(make, Provider):
        return make
    if make.stage != stage:
        raise ValueError(f"{make.name} is a provider of the stage {make.stage}, not of {stage}")
    chosen = options or ProviderOptions(make.models[0] if make.models else "default")
    return lambda: make.make(chosen)


def run(main: Callable[[], Work[T]], *, virtual: bool = False) -> T:
    """Run a coroutine on a loop of its own. What does not end by itself is abandoned, so that a check always ends."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise UsageError(
            "a check runs a loop of its own", "call it from a plain function, not from a coroutine"
        )
    loop = VirtualLoop() if virtual else asyncio.new_event_loop()
    threads = ThreadPoolExecutor(thread_name_prefix="worker of the loop")
    loop.set_default_executor(threads)
    try:
        return loop.run_until_complete(main())
    finally:
        loop.set_exception_handler(lambda *_: None)  # nobody would read the errors of what is abandoned
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=ABANDONED_S))
        loop.run_until_complete(loop.shutdown_asyncgens())
        threads.shutdown(wait=False, cancel_futures=True)
        loop.close()


async def settle(remaining: Callable[[], list[T]], seconds: float | None = None) -> list[T]:
    """Return what remains when all had the time to end: nothing tells when that is."""
    for _ in range(round((holdings.SETTLE_S if seconds is None else seconds) / BEAT_S)):
        if not (now := remaining()):
            return now
        await asyncio.sleep(BEAT_S)
    return remaining()


def short_repr(value: object) -> str:
    """Return a value as it stands in an error message."""
    return plain(f"a {type(value).__name__}" if callable(value) else repr(value), 80, one_line=True)


def now_s() -> float:
    """Return the time to measure a provider with: the loop's where that is virtual, else `awake_s`."""
    loop = asyncio.get_running_loop()
    return loop.time() if isinstance(loop, VirtualLoop) else awake_s()


def awake_s() -> float:
    """Return a time that stands still while this thread is ready to run and the machine is busy with others, where the
    system tells (Linux)."""
    try:
        waited = int(SCHEDSTAT.read_text().split()[1])
    except (OSError, IndexError, ValueError):
        waited = 0
    return time.monotonic() - waited / 1e9
