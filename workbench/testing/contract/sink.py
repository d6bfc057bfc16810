"""`check_sink`: what the engine relies on in a sink."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import numpy as np

from workbench.engine.interfaces import Sink
from workbench.engine.tasks import beside
from workbench.model.audio import OUTPUT_RATE, Samples, silence
from workbench.simulation.synthesis import speech
from workbench.testing.contract.cancel import ends_at_once, opens_or_not
from workbench.testing.contract.leaks import Holdings
from workbench.testing.contract.rules import Ledger, Report, Rule, shown
from workbench.testing.contract.stage import enter, has_members
from workbench.testing.contract.trial import Trial, run, settled

AHEAD_S = 1.0
"""A sink may hold so much that is not played yet, s."""
SLACK_S = 0.1
"""A device may begin so late, s."""
WAKE_S = 0.25
"""A sink that is woken pulls within this time, s."""
BRIEFLY_S = 0.3
"""How long a sink plays before it is cancelled, s."""
MEMBERS = {
    "name": str, "disconnected": bool, "play": None, "wake": None, "time_of": None, "transit": None,
}  # fmt: skip
STOPPED_S = 0.1
"""A device's thread may pull for so long after the sink was cancelled, s."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """Position after a pull, and when it was, s on the loop's clock."""

    end: int
    at: float


class Mouth:
    """What a sink pulls from: a voice, or silence; arrays that cannot be written to. Notes each pull."""

    def __init__(self, ledger: Ledger) -> None:
        self.speaks = True
        self.pulls: list[Pulled] = []
        self.odd: list[object] = []
        """Counts that are none."""
        self._ledger = ledger
        self._loop = asyncio.get_running_loop()
        self._voice = np.concatenate([speech(1.0, rate=OUTPUT_RATE), np.full(100, -32_768, np.int16)])
        self._lock = threading.Lock()

    @property
    def position(self) -> int:
        """Samples pulled so far."""
        return self.pulls[-1].end if self.pulls else 0

    def pull(self, count: int) -> Samples:
        """The next samples of the track."""
        with self._lock:
            if not isinstance(count, int) or count <= 0:
                self.odd.append(count)
                return silence(0)
            samples = np.resize(self._voice, count) if self.speaks else silence(count)
            samples.setflags(write=False)
            self.pulls.append(Pulled(self.position + count, self._loop.time()))
            return samples


def check_sink(
    make: Callable[[], Sink], *, seconds: float = 1.0, virtual: bool = False, deadline_s: float = 10.0
) -> Report:
    """Check a sink: play `seconds` of sound and of silence. Raises BrokenRule.

    `virtual` is for one that goes by the loop's clock alone (files): nothing is waited for then. Opening it may take
    `deadline_s`.
    """
    ledger = Ledger("sink")
    run(lambda: _play(make, ledger, seconds, deadline_s), virtual=virtual)
    before = Holdings.now()
    run(lambda: _leave(make, ledger, deadline_s), virtual=virtual)
    if left := before.left():
        raise ledger.broken(Rule.CLOSES, f"left open: {', '.join(left[:5])}")
    ledger.kept(Rule.CLOSES, 0, "left open")
    return ledger.report()


async def _play(make: Callable[[], Sink], ledger: Ledger, seconds: float, deadline_s: float) -> None:
    trial = Trial(ledger, 3 * seconds + deadline_s)

    async def play() -> None:
        async with AsyncExitStack() as stack:
            sink = await enter(trial, stack, make)
            has_members(ledger, sink, MEMBERS)
            await _hear(ledger, sink, seconds)

    async with trial.watched():
        await trial.loop_kept_free("playing", play)


async def _hear(ledger: Ledger, sink: Sink, seconds: float) -> None:
    """Sound, then silence through which it may doze, then it is woken; and then it must stop."""
    mouth = Mouth(ledger)
    began = asyncio.get_running_loop().time()

    async def play() -> None:
        await sink.play(mouth.pull)
        raise ledger.broken(
            Rule.ANSWERS, "play() returned by itself", "play until cancelled, through silence too"
        )

    async with beside(play()):
        await asyncio.sleep(seconds)
        _check_pace(ledger, sink, mouth, began)
        mouth.speaks = False
        await asyncio.sleep(seconds)
        await _wake(ledger, sink, mouth)
    pulled = mouth.position
    await asyncio.sleep(STOPPED_S)
    stopped = mouth.position
    await asyncio.sleep(2 * STOPPED_S)
    ledger.need(mouth.position == stopped, Rule.CANCELS, "it goes on to pull after play() was cancelled")
    ledger.kept(Rule.UNTOUCHED, len(mouth.pulls), "pulls")
    ledger.kept(Rule.FORMAT, len(mouth.pulls), f"pulls of {pulled} samples")


def _check_pace(ledger: Ledger, sink: Sink, mouth: Mouth, began: float) -> None:
    """As much is pulled as can have been played, and the sink knows when each sample is heard."""
    ledger.need(not mouth.odd, Rule.FORMAT, f"it pulled {shown(mouth.odd[:1])} samples")
    now = asyncio.get_running_loop().time()
    passed = now - began
    played = mouth.position / OUTPUT_RATE
    ledger.need(
        passed / 2 - SLACK_S <= played <= passed + AHEAD_S,
        Rule.TIME,
        f"in {passed:.2f} s it pulled {played:.2f} s of sound",
        f"pull at the pace at which it is played, {OUTPUT_RATE} samples a second",
    )
    ends = [sink.time_of(one.end) for one in mouth.pulls]
    ledger.need(all(map(math.isfinite, ends)), Rule.TIME, "time_of() is not finite")
    ledger.need(ends == sorted(ends), Rule.TIME, "time_of() does not ascend with the position")
    off = ends[-1] - now
    ledger.need(
        abs(off) <= AHEAD_S,
        Rule.TIME,
        f"time_of() of the last sample that it pulled is {off:+.2f} s from now",
        "time_of() is on the loop's clock (asyncio.get_running_loop().time(), time.monotonic())",
    )
    ledger.kept(Rule.TIME, off * 1000, "ms ahead")


async def _wake(ledger: Ledger, sink: Sink, mouth: Mouth) -> None:
    """There is something to say after a long silence."""
    loop = asyncio.get_running_loop()
    sink.wake()
    mouth.speaks = True
    began, before = loop.time(), mouth.position
    await settled(lambda: [mouth] if mouth.position == before else [], WAKE_S)
    took_s = loop.time() - began
    ledger.need(mouth.position > before, Rule.WAKES, f"woken, it did not pull within {took_s * 1000:.0f} ms")
    ledger.kept(Rule.WAKES, took_s * 1000, "ms")


async def _leave(make: Callable[[], Sink], ledger: Ledger, deadline_s: float) -> None:
    """Cancelled wherever it waits, one after another."""
    trial = Trial(ledger, deadline_s)
    known = asyncio.all_tasks()

    async def play() -> None:
        mouth = Mouth(ledger)
        async with make() as sink:
            playing = sink.play(mouth.pull)
            try:
                async with asyncio.timeout(BRIEFLY_S):
                    await playing
            except TimeoutError:
                pass

    await opens_or_not(trial, play)
    await ends_at_once(trial, play)
    await trial.no_tasks(known)
