"""Positions survive resampling: sample k of the output is the sound at the same time of the input."""

from __future__ import annotations

import numpy as np
import pytest

from tests.transports.waves import tone
from workbench.transports.resample import Resampler, Wave, to_samples, to_wave

RATES = [
    (48_000, 16_000),
    (44_100, 16_000),
    (8_000, 16_000),
    (96_000, 16_000),
    (24_000, 48_000),
    (24_000, 44_100),
]


def streamed(source: int, target: int, *, live: bool, hz: float) -> tuple[Wave, list[float]]:
    """Two seconds of a tone in blocks of 10 ms, and the seconds kept back after each."""
    resampler = Resampler(source, target, live=live)
    wave = tone(2, source, hz).astype(np.float32)
    out, behind, made = [], [], 0
    for at in range(0, len(wave), source // 100):
        out.append(resampler(wave[at : at + source // 100]))
        made += len(out[-1])
        behind.append((at + source // 100) / source - made / target)
    out.append(resampler.flush())
    return np.concatenate(out), behind


def shift_ms(wave: Wave, rate: int, hz: float) -> float:
    """How much later than at the start of `wave` the tone in its second half begins."""
    n = np.arange(len(wave) // 2, len(wave))
    phase = np.angle(np.sum(wave[n] * np.exp(-2j * np.pi * hz * n / rate)) * 1j)
    return float(-phase / (2 * np.pi * hz) * 1000)


@pytest.mark.parametrize(("source", "target"), RATES)
@pytest.mark.parametrize("live", [False, True])
def test_positions_are_kept(source: int, target: int, live: bool) -> None:
    wave, _ = streamed(source, target, live=live, hz=500)
    assert len(wave) == 2 * target
    assert abs(shift_ms(wave, target, 500)) < (0.15 if live else 0.01)
    assert np.sqrt(np.mean(wave**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


@pytest.mark.parametrize(("source", "target"), [pair for pair in RATES if pair[0] > 8_000])
def test_live_keeps_little_back(source: int, target: int) -> None:
    _, behind = streamed(source, target, live=True, hz=500)
    assert max(behind) < 0.015


def test_same_rate_is_untouched() -> None:
    wave = tone(0.1, 16_000).astype(np.float32)
    resampler = Resampler(16_000, 16_000)
    assert resampler(wave) is wave
    assert len(resampler.flush()) == 0


def test_samples_and_waves() -> None:
    samples = np.array([-32768, -1, 0, 1, 32767], np.int16)
    assert np.array_equal(to_samples(to_wave(samples)), samples)
    assert np.array_equal(to_samples(np.array([2.0, -2.0], np.float32)), [32767, -32768])
