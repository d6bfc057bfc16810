"""Tracks of devices that run fast and slow, on one clock: within a millisecond, after an hour too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from workbench.model.audio import OUTPUT_RATE, Samples, silence
from workbench.model.events import ClockMapped, Entry, TrackName
from workbench.readers.moments import MomentsFold
from workbench.readers.waveform import mixed_samples
from workbench.trace.trace import Trace
from workbench.transports.clockfit import MappingLog, TrackClock

RATES: dict[TrackName, int] = {"user": 16_000, "agent": 24_000}
HOUR_S = 3600
BEGAN_S = 1.0


def test_a_clock_that_is_100_ppm_off_is_known_to_a_millisecond_after_an_hour() -> None:
    """Looks are late by 2 ms at random, the earliest of 25 counts: here that of each second."""
    rng, rate, drift = np.random.default_rng(1), RATES["user"], 100e-6
    trace = Trace(lambda: 0.0, keep=10_000)
    clock = TrackClock(rate)
    log = MappingLog(trace, "user", clock)
    for look, late_s in enumerate(rng.exponential(0.002 / 25, HOUR_S)):
        position = look * rate
        clock.observe(position, BEGAN_S + position / rate * (1 + drift) + late_s)
        log.log(position)
    moments = MomentsFold(RATES)
    for entry in trace.since(0):
        moments.feed(entry)
    for at_s in (31, 600, 1800, 3000, HOUR_S - 1):
        sample = round((at_s - BEGAN_S) / (1 + drift) * rate)
        assert moments.sample("user", at_s * 1000) == pytest.approx(sample, abs=rate / 1000)
        assert moments.time_ms("user", sample) == pytest.approx(at_s * 1000, abs=1)


@dataclass
class Clicks:
    """A track of silence with a click at each of some positions."""

    rate: int
    positions: tuple[int, ...]
    start: int = 0
    end: int = 1 << 40

    def read(self, start: int, stop: int) -> Samples:
        samples = silence(stop - start)
        for position in self.positions:
            if start <= position < stop:
                samples[position - start] = 20_000
        return samples


def test_sound_of_both_sides_stays_together() -> None:
    """One device is 100 ppm fast, one as slow: without mending they were 36 ms apart after three minutes."""
    drifts: dict[TrackName, float] = {"user": 100e-6, "agent": -100e-6}
    times_s = (1.0, 59.9, 90.0, 179.0)
    trace, moments = Trace(lambda: 180_000.0), MomentsFold(RATES)
    for track, drift in drifts.items():
        real = RATES[track] * (1 - drift)
        for second in range(180):
            mapped = ClockMapped(track, round(second * real), second * 1000.0, real)
            moments.feed(Entry(0, second * 1000.0, mapped))
        trace.tracks[track] = Clicks(RATES[track], tuple(round(at_s * real) for at_s in times_s))
    mixed = mixed_samples(trace, moments, 0.0, 180_000.0)
    assert len(mixed) == 180 * OUTPUT_RATE
    loud = np.flatnonzero(mixed > 5000) / OUTPUT_RATE
    for at_s in times_s:
        near = loud[np.abs(loud - at_s) < 0.5]
        assert len(near) >= 1
        assert np.abs(near - at_s).max() < 0.001
