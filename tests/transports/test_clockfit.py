"""The mapping of samples to time, from observations that come late, drift and step."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.model.events import ClockMapped
from workbench.trace.trace import Trace
from workbench.transports.clockfit import MappingLog, TrackClock

RATE = 16_000
BLOCK = 160


def run(
    clock: TrackClock,
    seconds: float,
    *,
    start: int = 0,
    origin: float = 100.0,
    drift: float = 0.0,
    seed: int = 1,
) -> tuple[int, list[float]]:
    """Blocks of 10 ms by a device that is `drift` off, seen late at random, now and then by much; its steps."""
    rng = np.random.default_rng(seed)
    steps = []
    position = start
    for position in range(start + BLOCK, start + int(seconds * RATE), BLOCK):
        late = rng.exponential(0.002) + (0.2 if rng.random() < 0.01 else 0)
        steps.append(clock.observe(position, origin + position / RATE * (1 + drift) + late))
    return position, [step for step in steps if step]


@pytest.mark.parametrize("drift", [0.0, 80e-6, -200e-6])
def test_late_looks_do_not_matter(drift: float) -> None:
    clock = TrackClock(RATE)
    end, steps = run(clock, 60, drift=drift)
    assert steps == []
    for sample in (end, end - 3 * RATE, end + RATE):
        assert clock.time_of(sample) == pytest.approx(100 + sample / RATE * (1 + drift), abs=0.001)
    assert clock.time_of(10 * RATE) == pytest.approx(100 + 10 * (1 + drift), abs=0.003)
    assert clock.rate == pytest.approx(RATE * (1 - drift), abs=RATE * 60e-6)
    assert clock.sample_at(clock.time_of(end)) == pytest.approx(end)


def test_known_from_the_first_look() -> None:
    clock = TrackClock(RATE)
    assert (clock.known, clock.time_of(5), clock.rate) == (False, 0.0, RATE)
    clock.observe(160, 7.03)
    clock.observe(320, 7.02)
    assert clock.known
    assert clock.time_of(320) == pytest.approx(7.02)
    assert clock.sample_at(7.04) == pytest.approx(640)


def test_lost_sound_is_a_step() -> None:
    clock = TrackClock(RATE)
    end, _ = run(clock, 20)
    after, steps = run(clock, 20, start=end, origin=100.05)
    assert steps == [pytest.approx(0.05, abs=0.001)]
    assert clock.time_of(after) == pytest.approx(100.05 + after / RATE, abs=0.001)
    assert clock.time_of(end - RATE) == pytest.approx(100 + (end - RATE) / RATE, abs=0.001)
    assert clock.sample_at(clock.time_of(end - RATE)) == pytest.approx(end - RATE)


def test_doubled_sound_is_a_step_back() -> None:
    clock = TrackClock(RATE)
    end, _ = run(clock, 20)
    after, steps = run(clock, 5, start=end, origin=99.97)
    assert steps == [pytest.approx(-0.03, abs=0.001)]
    assert clock.time_of(after) == pytest.approx(99.97 + after / RATE, abs=0.001)


def test_a_stall_that_is_caught_up_is_none() -> None:
    clock = TrackClock(RATE)
    end, _ = run(clock, 20)
    stall = 100 + end / RATE + 0.4
    assert all(clock.observe(end + n * BLOCK, stall + n * 0.0001) == 0.0 for n in range(40))
    after, steps = run(clock, 20, start=end + 40 * BLOCK)
    assert steps == []
    assert clock.time_of(after) == pytest.approx(100 + after / RATE, abs=0.001)


def test_a_device_that_was_opened_again() -> None:
    clock = TrackClock(RATE)
    end, _ = run(clock, 20)
    clock.restart(end + RATE, 121.5)
    assert clock.time_of(end + RATE) == pytest.approx(121.5)
    after, steps = run(clock, 5, start=end + RATE, origin=100.3)
    assert steps == []
    assert clock.time_of(after) == pytest.approx(100.3 + after / RATE, abs=0.001)
    assert clock.time_of(end) == pytest.approx(100 + end / RATE, abs=0.001)


def test_the_mapping_is_logged() -> None:
    clock = TrackClock(RATE)
    trace = Trace(lambda: 0.0)
    log = MappingLog(trace, "user", clock)
    log._session_start = 90.0
    clock.observe(0, 100.0)
    for position in range(0, 3 * RATE, BLOCK):
        log.log(position)
    clock.restart(3 * RATE, 103.5)
    log.log(3 * RATE)
    told = [entry.event for entry in trace.since(0)]
    assert told == [ClockMapped("user", n * RATE, 10_000.0 + n * 1000, float(RATE)) for n in range(3)] + [
        ClockMapped("user", 3 * RATE, 13_500.0, float(RATE))
    ]
