"""Every rule of `check_source` and `check_sink` can be broken: one for each that breaks it, and is caught."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Self

import numpy as np
import pytest

from tests.testing.contract.sabotage import (
    a_file,
    a_task,
    a_thread,
    blocking,
    caught,
    every,
    nothing,
    now,
    opened,
    swallowing,
    with_member,
)
from workbench.engine import interfaces
from workbench.engine.interfaces import Pull
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Frame, Samples, silence
from workbench.testing import Rule, check_sink, check_source

FRAME = 320


class Source(interfaces.Source):
    """A good one, but for what is asked of it."""

    name = "broken"

    def __init__(
        self,
        frames: Callable[[int], object] = lambda at: Frame(silence(FRAME), INPUT_RATE, at),
        *,
        late_s: float = 0.0,
        off_s: float = 0.0,
        seconds: float = 2.0,
        before: Callable[[], Any] = nothing,
        entering: Callable[[], Any] = nothing,
    ) -> None:
        self.make, self.late_s, self.off_s, self.seconds = frames, late_s, off_s, seconds
        self.before, self.entering = before, entering
        self.began = 0.0

    async def __aenter__(self) -> Self:
        await self.entering()
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def frames(self) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        self.began = loop.time()
        for at in range(0, round(self.seconds * INPUT_RATE), FRAME):
            await asyncio.sleep(max(0.0, self.began + self.late_s + (at + FRAME) / INPUT_RATE - loop.time()))
            await self.before()
            yield self.make(at)

    def time_of(self, sample: int) -> float:
        return self.began + self.off_s + sample / INPUT_RATE


class NoFrames(Source):
    async def frames(self) -> Any:  # type: ignore[override]
        return [Frame(silence(FRAME), INPUT_RATE, 0)]


class SameArray(Source):
    """Every frame is the same array."""

    def __init__(self) -> None:
        self.array = silence(FRAME)
        super().__init__(self.filled)

    def filled(self, at: int) -> Frame:
        self.array[:] = at % 1000
        return Frame(self.array, INPUT_RATE, at)


async def half_open() -> None:
    """Opened by a thread that nobody stops: who is cancelled meanwhile does not close it."""
    a_thread()
    await asyncio.sleep(0.005)
    opened.pop()()
    opened.pop()()


source = partial(check_source, virtual=True, deadline_s=2)
SOURCE: list[tuple[Rule, str, Callable[[], object]]] = [
    (Rule.SHAPE, "`time_of` must be", lambda: with_member(Source(), "time_of", None)),
    (Rule.SHAPE, "no async iterator", NoFrames),
    (Rule.ANSWERS, "no frame", lambda: Source(seconds=0)),
    (Rule.ANSWERS, "not done after", lambda: Source(before=asyncio.Event().wait)),
    (Rule.WHY, "RuntimeError", lambda: Source(before=oops)),
    (Rule.FORMAT, "not a Frame", lambda: Source(lambda at: silence(FRAME))),
    (Rule.FORMAT, "float32", lambda: Source(lambda at: Frame(np.zeros(FRAME, np.float32), INPUT_RATE, at))),
    (Rule.FORMAT, "10 or 20 ms", lambda: Source(lambda at: Frame(silence(512), INPUT_RATE, at))),
    (Rule.FORMAT, "at 8000 Hz", lambda: Source(lambda at: Frame(silence(FRAME), 8000, at))),
    (Rule.FORMAT, "ascend from 0", lambda: Source(lambda at: Frame(silence(FRAME), INPUT_RATE, at + 1))),
    (Rule.FORMAT, "ascend from 0", lambda: Source(lambda at: Frame(silence(FRAME), INPUT_RATE, at // 2))),
    (Rule.FORMAT, "changed after", SameArray),
    (Rule.FORMAT, "`raw`", lambda: Source(lambda at: Frame(silence(FRAME), INPUT_RATE, at, silence(5)))),
    (Rule.TIME, "before it can have been spoken", lambda: Source(late_s=-5)),
    (Rule.TIME, "ms before that frame came", lambda: Source(off_s=1_000_000)),
    (Rule.CANCELS, "ordinary end", lambda: Source(before=swallowing)),
    (Rule.CLOSES, "thread", lambda: Source(entering=half_open)),
    (Rule.CLOSES, "task", lambda: Source(before=now(a_task))),
    (Rule.LOOP, "held the loop", lambda: Source(before=every(30, blocking))),
]


async def oops() -> None:
    raise RuntimeError("oops")


@pytest.mark.parametrize(("rule", "what", "make"), SOURCE)
def test_a_broken_source_is_caught(rule: Rule, what: str, make: Callable[[], Any]) -> None:
    assert caught(lambda: source(make), what) == rule


def test_every_rule_of_a_source_can_be_broken() -> None:
    assert {rule for rule, _, _ in SOURCE} >= set(source(Source).figures)


class Sink(interfaces.Sink):
    """A good one, but for what is asked of it."""

    name = "broken"

    def __init__(
        self,
        *,
        pace: float = 1.0,
        off_s: float = 0.0,
        count: Callable[[int], Any] = int,
        before: Callable[[], Any] = nothing,
        seconds: float = 1e9,
        wakes: bool = True,
        change: Callable[[Samples], object] = len,
    ) -> None:
        self.pace, self.off_s, self.count, self.before = pace, off_s, count, before
        self.seconds, self.wakes, self.change = seconds, wakes, change
        self.began = 0.0
        self.woken = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def play(self, pull: Pull) -> None:
        loop = asyncio.get_running_loop()
        self.began, position = loop.time(), 0
        while position < self.seconds * OUTPUT_RATE:
            await asyncio.sleep(max(0.0, self.began + position / OUTPUT_RATE / self.pace - loop.time()))
            await self.before()
            samples = pull(self.count(480))
            self.change(samples)
            position += 480
            if not samples.any() and not self.wakes:
                await asyncio.sleep(60)

    def wake(self) -> None:
        pass

    def time_of(self, sample: int) -> float:
        return self.began + self.off_s + sample / OUTPUT_RATE


class Goes(Sink):
    """Its thread pulls on when nobody listens."""

    async def play(self, pull: Pull) -> None:
        try:
            await super().play(pull)
        finally:
            loop = asyncio.get_running_loop()
            for after in range(1, 100):
                loop.call_later(after / 100, pull, 480)


class Backwards(Sink):
    def time_of(self, sample: int) -> float:
        return self.began + 1 - sample / OUTPUT_RATE


def louder(samples: Samples) -> None:
    samples *= 2


sink = partial(check_sink, virtual=True, deadline_s=2)
SINK: list[tuple[Rule, str, Callable[[], object]]] = [
    (Rule.SHAPE, "`wake` must be", lambda: with_member(Sink(), "wake", None)),
    (Rule.ANSWERS, "returned by itself", lambda: Sink(seconds=0.1)),
    (Rule.FORMAT, "it pulled", lambda: Sink(count=float)),
    (Rule.UNTOUCHED, "writes into the sound", lambda: Sink(change=louder)),
    (Rule.TIME, "it pulled", lambda: Sink(pace=5)),
    (Rule.TIME, "it pulled", lambda: Sink(pace=0.2)),
    (Rule.TIME, "from now", lambda: Sink(off_s=-1_000_000)),
    (Rule.TIME, "does not ascend", Backwards),
    (Rule.TIME, "not finite", lambda: Sink(off_s=float("nan"))),
    (Rule.WAKES, "did not pull", lambda: Sink(wakes=False)),
    (Rule.CANCELS, "goes on to pull", Goes),
    (Rule.CANCELS, "over only after", lambda: Sink(before=swallowing)),
    (Rule.CLOSES, "file", lambda: Sink(before=now(a_file))),
    (Rule.LOOP, "held the loop", lambda: Sink(before=every(60, blocking))),
]


@pytest.mark.parametrize(("rule", "what", "make"), SINK)
def test_a_broken_sink_is_caught(rule: Rule, what: str, make: Callable[[], Any]) -> None:
    assert caught(lambda: sink(make), what) == rule


def test_every_rule_of_a_sink_can_be_broken() -> None:
    assert {rule for rule, _, _ in SINK} >= set(sink(Sink).figures)
