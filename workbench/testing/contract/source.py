"""`check_source`: what the engine relies on in a source."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.engine.interfaces import Source
from workbench.model.audio import INPUT_RATE, Frame, Samples
from workbench.testing.contract.cancel import ends_at_once, opens_or_not
from workbench.testing.contract.leaks import Holdings
from workbench.testing.contract.rules import Ledger, Report, Rule, shown
from workbench.testing.contract.stage import enter, has_members
from workbench.testing.contract.trial import Trial, run
from workbench.testing.contract.tts import check_samples

LENGTHS = (INPUT_RATE // 100, INPUT_RATE // 50)
"""Samples in a frame: 10 or 20 ms."""
BRIEFLY = INPUT_RATE // 10
"""Samples that are listened to for a while: 100 ms."""
EARLY_S = 0.03
"""A frame may come so much before it was spoken, s: clocks of devices are measured, and files have none."""
LATE_S = 2.0
"""… and so much after it, s."""


@dataclass(frozen=True, slots=True)
class Came:
    """A frame, a copy of its samples, and when it came, s on the loop's clock."""

    frame: Frame
    samples: Samples
    at: float
    ends_at: float
    """When the source says that its last sample was spoken."""


def check_source(
    make: Callable[[], Source], *, seconds: float = 1.0, virtual: bool = False, deadline_s: float = 10.0
) -> Report:
    """Check a source: listen to it for `seconds`, or until it ends. Raises BrokenRule.

    `virtual` is for one that goes by the loop's clock alone (files, arrays): nothing is waited for then. Opening it, or
    a frame, may take `deadline_s`.
    """
    ledger = Ledger("source")
    run(lambda: _listen(make, ledger, seconds, deadline_s), virtual=virtual)
    before = Holdings.now()
    run(lambda: _leave(make, ledger, deadline_s), virtual=virtual)
    if left := before.left():
        raise ledger.broken(Rule.CLOSES, f"left open: {', '.join(left[:5])}")
    ledger.kept(Rule.CLOSES, 0, "left open")
    return ledger.report()


async def _listen(make: Callable[[], Source], ledger: Ledger, seconds: float, deadline_s: float) -> None:
    trial = Trial(ledger, seconds + deadline_s)
    came: list[Came] = []
    began: list[float] = []

    async def listen() -> None:
        came.clear()
        began.clear()
        async with AsyncExitStack() as stack:
            source = await enter(trial, stack, make)
            has_members(ledger, source, {"name": str, "frames": None, "time_of": None, "transit": None})
            began.append(asyncio.get_running_loop().time())
            await _take(ledger, source, round(seconds * INPUT_RATE), came)

    async with trial.watched():
        await trial.loop_kept_free("listening", listen)
    ledger.need(came, Rule.ANSWERS, "it gave no frame")
    _check_frames(ledger, came)
    _check_times(ledger, came, began[0])


async def _take(ledger: Ledger, source: Source, samples: int, came: list[Came]) -> None:
    """What comes until so many samples have, or the source ends."""
    loop = asyncio.get_running_loop()
    async with aclosing(_frames(ledger, source)) as frames:
        async for frame in frames:
            if not isinstance(frame, Frame):
                raise ledger.broken(Rule.FORMAT, f"it gave {shown(frame)}, not a Frame")
            check_samples(ledger, frame.samples)
            came.append(Came(frame, frame.samples.copy(), loop.time(), source.time_of(frame.end)))
            if frame.end >= samples:
                break


def _frames(ledger: Ledger, source: Source) -> Any:
    """An iterator that can be closed: generators can, and most sources are one."""
    frames: Any = source.frames()
    if asyncio.iscoroutine(frames):
        frames.close()  # or Python warns that nobody awaited it
    iterates = hasattr(frames, "__aiter__") and hasattr(frames, "__anext__")
    ledger.need(iterates, Rule.SHAPE, f"frames() gives {shown(frames)} and no async iterator")
    return frames if hasattr(frames, "aclose") else _closable(frames)


async def _closable(frames: AsyncIterator[Frame]) -> Any:
    async for frame in frames:
        yield frame


def _check_frames(ledger: Ledger, came: list[Came]) -> None:
    end = 0
    for number, one in enumerate(came):
        frame = one.frame
        sized = frame.rate == INPUT_RATE and len(frame.samples) in LENGTHS
        ledger.need(
            sized,
            Rule.FORMAT,
            f"a frame is 10 or 20 ms at {INPUT_RATE} Hz, not {len(frame.samples)} samples at {frame.rate} Hz",
        )
        follows = frame.position >= end if number else frame.position == 0
        ledger.need(
            follows,
            Rule.FORMAT,
            f"positions ascend from 0: {frame.position} after a frame that ended at {end}",
        )
        ledger.need(
            np.array_equal(frame.samples, one.samples), Rule.FORMAT, "a frame changed after it was given"
        )
        if frame.raw is not None:
            check_samples(ledger, frame.raw)
            ledger.need(len(frame.raw) == len(frame.samples), Rule.FORMAT, "`raw` is as long as `samples`")
        end = frame.end
    ledger.kept(Rule.FORMAT, len(came), "frames")


def _check_times(ledger: Ledger, came: list[Came], began: float) -> None:
    """A frame comes when its last sample was spoken, and the source knows when that was."""
    for one in came:
        after = one.at - began - one.frame.end / INPUT_RATE
        end = one.frame.end
        ledger.need(
            after >= -EARLY_S,
            Rule.TIME,
            f"the frame that ends at {end} came {-after * 1000:.0f} ms before it can have been spoken",
            "yield a frame when its last sample has been spoken, not before",
        )
        ledger.need(math.isfinite(one.ends_at), Rule.TIME, f"time_of({end}) is {one.ends_at}")
        ago = one.at - one.ends_at
        ledger.need(
            -EARLY_S <= ago <= LATE_S,
            Rule.TIME,
            f"time_of({end}) is {ago * 1000:.0f} ms before that frame came",
            "time_of() is on the loop's clock (asyncio.get_running_loop().time(), time.monotonic())",
        )
    ledger.kept(Rule.TIME, max(one.at - one.ends_at for one in came) * 1000, "ms after it was spoken")


async def _leave(make: Callable[[], Source], ledger: Ledger, deadline_s: float) -> None:
    """Cancelled wherever it waits, one after another."""
    trial = Trial(ledger, deadline_s)
    known = asyncio.all_tasks()

    async def listen() -> None:
        async with make() as source:
            await _take(ledger, source, BRIEFLY, [])

    await opens_or_not(trial, listen)
    await ends_at_once(trial, listen)
    await trial.no_tasks(known)
