"""`check_source`: what the engine relies on in a source."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.engine.interfaces import Source
from workbench.model.audio import INPUT_RATE, Frame, Samples
from workbench.testing.contract.check import short_repr
from workbench.testing.contract.device import DeviceCheck
from workbench.testing.contract.rules import Report, Rule

MEMBERS = {"name": str, "frames": None, "time_of": None}
LENGTHS = (INPUT_RATE // 100, INPUT_RATE // 50)
"""Samples in a frame: 10 or 20 ms."""
BRIEF = INPUT_RATE // 10
"""Samples that are read in a short call: 100 ms."""
EARLY_S = 0.03
"""A frame may arrive so much before it was spoken, s: clocks of devices are measured, and files have none."""
LATE_S = 2.0
"""… and so much after it, s."""


def check_source(
    make: Callable[[], Source], *, seconds: float = 1.0, virtual: bool = False, deadline_s: float = 10.0
) -> Report:
    """Check a source: listen to it for `seconds`, or until it ends. Raises BrokenRule.

    `virtual` is for one that goes by the loop's clock alone (files, arrays): nothing is waited for then. Opening it, or
    a frame, may take `deadline_s`.
    """
    return SourceCheck("source", MEMBERS, make, seconds, deadline_s).run(virtual=virtual)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame, a copy of its samples, and when it arrived, s on the loop's clock."""

    frame: Frame
    samples: Samples
    at: float
    ends_at: float
    """When the source says that its last sample was spoken."""


class SourceCheck(DeviceCheck[Source]):
    """Reads the frames of a source, and checks their format and their times."""

    began: float
    arrivals: list[Arrival]

    async def use(self, device: Source) -> None:
        """Read for a while."""
        self.began = asyncio.get_running_loop().time()
        self.arrivals = await self._read(device, round(self._seconds * INPUT_RATE))

    async def check_use(self) -> None:
        """Use it, and check its frames when nobody watches the loop any more."""
        await super().check_use()
        self.require(self.arrivals, Rule.ANSWERS, "it gave no frame")
        self._check_frames(self.arrivals)
        self._check_times(self.arrivals, self.began)

    async def use_briefly(self) -> None:
        """Open it and read 100 ms."""
        async with self._make() as source:
            await self._read(source, BRIEF)

    async def _read(self, source: Source, samples: int) -> list[Arrival]:
        """Return what arrives until so many samples have, or the source ends."""
        loop, arrivals = asyncio.get_running_loop(), list[Arrival]()
        async with aclosing(self._frames(source)) as frames:
            async for frame in frames:
                if not isinstance(frame, Frame):
                    raise self.broken(Rule.FORMAT, f"it gave {short_repr(frame)}, not a Frame")
                self.require_samples(frame.samples)
                ends_at = source.time_of(frame.end)
                arrivals.append(Arrival(frame, frame.samples.copy(), loop.time(), ends_at))
                if frame.end >= samples:
                    break
        return arrivals

    def _frames(self, source: Source) -> Any:
        """Return an iterator that can be closed: generators can, and most sources are one."""
        frames: Any = source.frames()
        if asyncio.iscoroutine(frames):
            frames.close()  # or Python warns that nobody awaited it
        iterates = hasattr(frames, "__aiter__") and hasattr(frames, "__anext__")
        text = f"frames() gives {short_repr(frames)} and no async iterator"
        self.require(iterates, Rule.SHAPE, text)
        return frames if hasattr(frames, "aclose") else _closable(frames)

    def _check_frames(self, arrivals: list[Arrival]) -> None:
        end = 0
        for number, arrival in enumerate(arrivals):
            frame = arrival.frame
            fits = frame.rate == INPUT_RATE and len(frame.samples) in LENGTHS
            expected = f"a frame is 10 or 20 ms at {INPUT_RATE} Hz"
            text = f"{expected}, not {len(frame.samples)} samples at {frame.rate} Hz"
            self.require(fits, Rule.FORMAT, text)
            ascends = frame.position >= end if number else frame.position == 0
            text = f"positions ascend from 0: {frame.position} after a frame that ended at {end}"
            self.require(ascends, Rule.FORMAT, text)
            same = np.array_equal(frame.samples, arrival.samples)
            self.require(same, Rule.FORMAT, "a frame changed after it was given")
            if frame.raw is not None:
                self.require_samples(frame.raw)
                fits = len(frame.raw) == len(frame.samples)
                self.require(fits, Rule.FORMAT, "`raw` is as long as `samples`")
            end = frame.end
        self.keep(Rule.FORMAT, len(arrivals), "frames")

    def _check_times(self, arrivals: list[Arrival], began: float) -> None:
        """A frame arrives when its last sample was spoken, and the source knows when that was."""
        for arrival in arrivals:
            end = arrival.frame.end
            after = arrival.at - began - end / INPUT_RATE
            text = f"the frame that ends at {end} came {-after * 1000:.0f} ms before it can have been spoken"
            hint = "yield a frame when its last sample has been spoken, not before"
            self.require(after >= -EARLY_S, Rule.TIME, text, hint)
            finite = math.isfinite(arrival.ends_at)
            self.require(finite, Rule.TIME, f"time_of({end}) is {arrival.ends_at}")
            ago = arrival.at - arrival.ends_at
            text = f"time_of({end}) is {ago * 1000:.0f} ms before that frame came"
            hint = "time_of() is on the loop's clock (asyncio.get_running_loop().time(), time.monotonic())"
            self.require(-EARLY_S <= ago <= LATE_S, Rule.TIME, text, hint)
        latest_s = max(arrival.at - arrival.ends_at for arrival in arrivals)
        self.keep(Rule.TIME, latest_s * 1000, "ms after it was spoken")


async def _closable(frames: AsyncIterator[Frame]) -> Any:
    async for frame in frames:
        yield frame
