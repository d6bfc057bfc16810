"""`check_sink`: what the engine relies on in a sink."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workbench.engine.interfaces import Sink
from workbench.engine.tasks import beside
from workbench.model.audio import OUTPUT_RATE, Samples, silence
from workbench.simulation.synthesis import speech
from workbench.testing.contract.check import settle, short_repr
from workbench.testing.contract.device import DeviceCheck
from workbench.testing.contract.rules import Report, Rule

MEMBERS = {"name": str, "play": None, "wake": None, "time_of": None}
AHEAD_S = 1.0
"""A sink may hold so much that is not played yet, s."""
SLACK_S = 0.1
"""A device may begin so late, s."""
WAKE_S = 0.25
"""A sink that is woken pulls within this time, s."""
BRIEF_S = 0.3
"""How long a sink plays before it is cancelled, s."""
STOPPED_S = 0.1
"""A device's thread may pull for so long after the sink was cancelled, s."""


def check_sink(
    make: Callable[[], Sink], *, seconds: float = 1.0, virtual: bool = False, deadline_s: float = 10.0
) -> Report:
    """Check a sink: play `seconds` of sound and of silence. Raises BrokenRule.

    `virtual` is for one that goes by the loop's clock alone (files): nothing is waited for then. Opening it may take
    `deadline_s`.
    """
    return SinkCheck("sink", MEMBERS, make, seconds, deadline_s).run(virtual=virtual)


@dataclass(frozen=True, slots=True)
class Pulled:
    """Position after a pull, and when it was, s on the loop's clock."""

    end: int
    at: float


class PulledTrack:
    """A track for a sink to pull from: a voice, or silence; arrays that cannot be written to. Notes each pull."""

    def __init__(self) -> None:
        self.speaks = True
        self.pulls: list[Pulled] = []
        self.wrong_counts: list[object] = []
        self._loop = asyncio.get_running_loop()
        self._voice = np.concatenate([speech(1.0, rate=OUTPUT_RATE), np.full(100, -32_768, np.int16)])
        self._lock = threading.Lock()

    @property
    def position(self) -> int:
        """Samples pulled so far."""
        return self.pulls[-1].end if self.pulls else 0

    def pull(self, count: int) -> Samples:
        """Return the next samples of the track."""
        with self._lock:
            if not isinstance(count, int) or count <= 0:
                self.wrong_counts.append(count)
                return silence(0)
            samples = np.resize(self._voice, count) if self.speaks else silence(count)
            samples.setflags(write=False)
            self.pulls.append(Pulled(self.position + count, self._loop.time()))
            return samples


class SinkCheck(DeviceCheck[Sink]):
    """Lets a sink play, and checks how it pulls."""

    async def use(self, device: Sink) -> None:
        """Play sound, then silence through which it may doze, then wake it; and then it must stop."""
        track = PulledTrack()
        began = asyncio.get_running_loop().time()

        async def play() -> None:
            await device.play(track.pull)
            hint = "play until cancelled, through silence too"
            raise self.broken(Rule.ANSWERS, "play() returned by itself", hint)

        async with beside(play()):
            await asyncio.sleep(self._seconds)
            self._check_pace(device, track, began)
            track.speaks = False
            await asyncio.sleep(self._seconds)
            await self._check_wake(device, track)
        pulled = track.position
        await asyncio.sleep(STOPPED_S)
        stopped = track.position
        await asyncio.sleep(2 * STOPPED_S)
        text = "it goes on to pull after play() was cancelled"
        self.require(track.position == stopped, Rule.CANCELS, text)
        self.keep(Rule.UNTOUCHED, len(track.pulls), "pulls")
        self.keep(Rule.FORMAT, len(track.pulls), f"pulls of {pulled} samples")

    async def use_briefly(self) -> None:
        """Open it and play for 0.3 s."""
        track = PulledTrack()
        async with self._make() as sink:
            playing = sink.play(track.pull)
            try:
                async with asyncio.timeout(BRIEF_S):
                    await playing
            except TimeoutError:
                pass

    def _check_pace(self, sink: Sink, track: PulledTrack, began: float) -> None:
        """Require that sound is pulled at the pace of playing, and that the sink knows when each sample is played."""
        wrong = track.wrong_counts
        self.require(not wrong, Rule.FORMAT, f"it pulled {short_repr(wrong[:1])} samples")
        now = asyncio.get_running_loop().time()
        passed, played = now - began, track.position / OUTPUT_RATE
        self.require(
            passed / 2 - SLACK_S <= played <= passed + AHEAD_S,
            Rule.TIME,
            f"in {passed:.2f} s it pulled {played:.2f} s of sound",
            f"pull at the pace at which it is played, {OUTPUT_RATE} samples a second",
        )
        ends = [sink.time_of(pull.end) for pull in track.pulls]
        self.require(all(map(math.isfinite, ends)), Rule.TIME, "time_of() is not finite")
        self.require(ends == sorted(ends), Rule.TIME, "time_of() does not ascend with the position")
        ahead = ends[-1] - now
        text = f"time_of() of the last sample that it pulled is {ahead:+.2f} s from now"
        hint = "time_of() is on the loop's clock (asyncio.get_running_loop().time(), time.monotonic())"
        self.require(abs(ahead) <= AHEAD_S, Rule.TIME, text, hint)
        self.keep(Rule.TIME, ahead * 1000, "ms ahead")

    async def _check_wake(self, sink: Sink, track: PulledTrack) -> None:
        """Require that a sink that is woken after a long silence pulls at once."""
        loop = asyncio.get_running_loop()
        sink.wake()
        track.speaks = True
        began, before = loop.time(), track.position
        await settle(lambda: [track] if track.position == before else [], WAKE_S)
        took_ms = (loop.time() - began) * 1000
        woken = track.position > before
        self.require(woken, Rule.WAKES, f"woken, it did not pull within {took_ms:.0f} ms")
        self.keep(Rule.WAKES, took_ms, "ms")
