"""The ends of a recorded session: its frames come when they came, and its sink pulls when it pulled."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, NoReturn, get_args

import numpy as np
from numpy.typing import NDArray

from workbench.engine.interfaces import Pull, Source, Transit
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Frame, silence
from workbench.model.conversation import Picture
from workbench.model.events import Part
from workbench.replay.session_clock import SessionClock, Waiting, look_again, resolve
from workbench.trace.cassette import Cassette, Row
from workbench.trace.recorded_errors import recorded_error
from workbench.trace.trace import Trace
from workbench.trace.track import Track
from workbench.transports.paced import PacedSink

PARTS = get_args(Part)
READ_AHEAD = INPUT_RATE * 10
"""Samples of a track that are read from disk at a time."""
NEXT_BLOCK_S = 0.03
"""A sink whose next pull is further away than a block dozes, s."""
WOKEN_S = 0.05
"""So far from its recorded time a sink may be woken, s; else the rerun goes its own way, and the sink with it."""


class Mapping:
    """When the samples of a track are at the user, as it was known when they came, on the session's clock."""

    def __init__(self, positions: NDArray[Any], times: NDArray[Any], rate: int) -> None:
        self._positions: list[int] = np.maximum.accumulate(positions).tolist() if len(positions) else []
        self._rate = rate
        self._origins: list[float] = []
        origin = 0.0
        for position, time in zip(self._positions, times.tolist(), strict=True):
            if origin + position / rate != time:  # a clock that runs on is told to the last bit
                origin = time - position / rate
            self._origins.append(origin)

    def time_of(self, sample: int) -> float:
        """Return the time of a sample, s."""
        at = bisect_right(self._positions, sample) - 1
        return (self._origins[max(0, at)] if self._origins else 0.0) + sample / self._rate


class _Transits:
    """The parts of a sample's way, as they were."""

    def __init__(self, cassette: Cassette, side: str, clock: SessionClock) -> None:
        self._clock = clock
        self._rows: dict[int, list[tuple[Part, float]]] = {}
        for row in cassette.of("transit"):
            if row["side"] == side and all(_is_part(part) for part in row["parts"]):
                self._rows[row["sample"]] = [(part, float(until)) for part, until in row["parts"]]

    def of(self, sample: int, time: float, time_of: Any) -> Transit | None:
        """Return the way of a sample that is there at `time`; None where none was recorded."""
        if not self._rows:
            return None
        near = sample if sample in self._rows else min(self._rows, key=lambda other: abs(other - sample))
        shift = time - time_of(near)
        return [(part, until + shift + self._clock.origin) for part, until in self._rows[near]]


def _is_part(part: Any) -> bool:
    match part:
        case [str(name), float() | int()]:
            return name in PARTS
        case _:
            return False


class PlayedSource(Source):
    """The user's sound from the track `user`, each frame when it came."""

    def __init__(self, cassette: Cassette, clock: SessionClock, user: Track, mic: Track | None) -> None:
        self.name = "the recording"
        self._cassette, self._clock = cassette, clock
        self._user, self._mic = _Blocks(user), None if mic is None else _Blocks(mic)
        self._mapping = Mapping(cassette.frames["position"], cassette.frames["spoken"], INPUT_RATE)
        self._transits = _Transits(cassette, "source", clock)

    async def frames(self) -> AsyncIterator[Frame]:
        """See `Source`. Where the session was stopped, nothing more comes."""
        for t, _, position, count, i in self._cassette.frames.tolist():
            await self._clock.until(t, i)
            await self._clock.in_order(i)
            raw = None if self._mic is None else self._mic.read(position, position + count)
            yield Frame(self._user.read(position, position + count), INPUT_RATE, position, raw)
        await _ended(self._cassette, "source", self._clock)

    def time_of(self, sample: int) -> float:
        """See `Source`."""
        return self._mapping.time_of(sample) + self._clock.origin

    def transit(self, sample: int) -> Transit:
        """See `Source`."""
        time_of = self._mapping.time_of
        return self._transits.of(sample, time_of(sample), time_of) or ()


class PlayedSink(PacedSink):
    """Pulls when the recorded sink did, as long as the rerun goes the same way; then like a paced one."""

    def __init__(self, cassette: Cassette, clock: SessionClock, trace: Trace) -> None:
        super().__init__(trace, name="the recording")
        self._cassette, self._clock = cassette, clock
        pulls = cassette.pulls
        self._pulls: list[tuple[float, float, int, int, int, int]] = pulls.tolist()
        positions = np.concatenate(([0], np.cumsum(pulls["count"])[:-1])) if len(pulls) else pulls["count"]
        self._mapping = Mapping(positions, pulls["leaves"], OUTPUT_RATE)
        self._transits = _Transits(cassette, "sink", clock)
        self._dozes = bool(pulls["woken"].any())
        self._next = 0
        self._own_way = False
        self._timer: asyncio.Future[None] | None = None
        self._wakes, self._wakened = 0, Waiting()
        self.disconnected = False

    async def __aenter__(self) -> PlayedSink:
        return self

    async def play(self, pull: Pull) -> None:
        """See `Sink`."""
        self._pull = pull
        while self._next < len(self._pulls) and not self._own_way:
            t, _, count, woken, wakes, i = self._pulls[self._next]
            at = self._next
            await self._wait(t + (WOKEN_S if woken else 0.0), i)
            if at == self._next:
                await self._clock.in_order(i)
            if at == self._next and wakes > self._wakes:
                await self._clock.first(self._wakened, partial(self._is_woken, wakes))
            if at == self._next and not self._own_way:
                self._next += 1
                self._take(count)
        if not self._own_way:
            await _ended(self._cassette, "sink", self._clock, goes_on=True)
            self._go_own_way()
        while True:
            await self._step()

    def _is_woken(self, times: int) -> bool:
        return times <= self._wakes

    def wake(self) -> None:
        """See `Sink`."""
        self._wakes += 1
        look_again(self._wakened)
        if self._own_way:
            super().wake()
            return
        if not self._dozes or self._next >= len(self._pulls):
            return
        t, _, count, woken, _, _ = self._pulls[self._next]
        now = self._clock.now()
        if woken and abs(t - now) <= WOKEN_S:
            self._next += 1
            self._clock.count()
            self._take(count)
            self._rouse()
        elif t - now > NEXT_BLOCK_S:
            self._go_own_way()
            self._catch_up()
            self._quiet = 0
            self._rouse()

    def _rouse(self) -> None:
        if self._timer is not None:
            resolve(self._timer)

    def time_of(self, sample: int) -> float:
        """See `Sink`."""
        if self._own_way and sample >= self._left_at:
            return self.due(sample)
        return self._mapping.time_of(sample) + self._clock.origin

    def transit(self, sample: int) -> Transit:
        """See `Sink`."""
        parts = (
            None
            if self._own_way
            else self._transits.of(sample, self._mapping.time_of(sample), self._mapping.time_of)
        )
        return parts or [("output_buffer", self.time_of(sample))]

    def _go_own_way(self) -> None:
        """From here on the recording says nothing any more of when to pull."""
        self._own_way, self._left_at = True, self._position
        self._start = (
            self._mapping.time_of(self._position) + self._clock.origin - self._position / OUTPUT_RATE
        )
        self._dozing = False

    async def _wait(self, t: float, i: int) -> None:
        """Wait for a time, or until a pull is made meanwhile."""
        if self._clock.now() < t:
            self._timer = self._clock.timer(t, i)
            await self._timer


class PlayedVision:
    """What was shown, in the order in which it was."""

    def __init__(self, cassette: Cassette, clock: SessionClock) -> None:
        self._cassette, self._clock = cassette, clock
        self._rows = list(cassette.of("pictures"))

    async def look(self, reply: int) -> tuple[Picture, ...]:
        """See `Vision`."""
        now = self._clock.now()
        row = next((row for row in self._rows if abs(float(row["began"]) - now) <= WOKEN_S), None)
        if row is None:
            return ()
        self._rows.remove(row)
        await self._clock.until(row["t"])
        return tuple(_pictures(row, self._cassette.data(row)))


def _pictures(row: Row, data: bytes) -> list[Picture]:
    pictures, at = [], 0
    for item in row["pictures"]:
        match item:
            case [int(size), int(width), int(height), str(file)] if size >= 0:
                pictures.append(Picture(data[at : at + size], width, height, file))
                at += size
    return pictures


class _Blocks:
    """A track, read from disk in long stretches."""

    def __init__(self, track: Track) -> None:
        self._track = track
        self._start, self._samples = 0, silence(0)

    def read(self, start: int, stop: int) -> Any:
        if not self._start <= start <= stop <= self._start + len(self._samples):
            self._start, self._samples = start, self._track.read(start, max(stop, start + READ_AHEAD))
        return self._samples[start - self._start : stop - self._start]


async def _ended(cassette: Cassette, side: str, clock: SessionClock, *, goes_on: bool = False) -> None:
    """Wait for the recorded end of a side: return where it ended by itself, raise where it failed. Where the session
    was stopped, wait for that (or, with `goes_on`, for nothing)."""
    row = next((row for row in cassette.of("shut") if row["side"] == side), None)
    if row is not None:
        await clock.until(row["t"])
        if isinstance(row.get("error"), dict):
            raise recorded_error(row["error"])
    elif not goes_on:
        await _for_ever()


async def _for_ever() -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError
