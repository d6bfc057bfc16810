"""Levels and what counts as heard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.model.audio import (
    SILENCE_DB,
    Frame,
    audible_blocks,
    block_levels,
    first_audible,
    last_audible,
    level_db,
    noise_floor_db,
    silence,
)

RATE = 16_000
BLOCK = 80


def square(count: int, amplitude: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    wave = np.full(count, amplitude, dtype=np.int16)
    wave[::2] *= -1
    return wave


def test_a_frame_ends_after_its_last_sample() -> None:
    assert Frame(silence(160), RATE, 320).end == 480


def test_levels_are_rms_below_full_scale() -> None:
    assert level_db(square(1000, 32767)) == pytest.approx(0, abs=0.01)
    assert level_db(square(1000, 3277)) == pytest.approx(-20, abs=0.01)
    assert level_db(silence(100)) == level_db(silence(0)) == SILENCE_DB


def test_levels_come_by_whole_blocks() -> None:
    levels = block_levels(np.concatenate([silence(BLOCK), square(BLOCK, 3277), silence(BLOCK - 1)]), RATE)
    assert levels.tolist() == pytest.approx([SILENCE_DB, -20], abs=0.01)
    assert len(block_levels(silence(0), RATE)) == 0


def test_the_noise_floor_is_what_a_tenth_stays_below() -> None:
    assert noise_floor_db(np.arange(-100, 1, dtype=np.float32)) == pytest.approx(-90)
    assert noise_floor_db(np.array([], dtype=np.float32)) == SILENCE_DB


def test_noise_raises_what_counts_as_audible() -> None:
    track = np.concatenate(
        [silence(BLOCK), square(BLOCK, 328), square(BLOCK, 3277), silence(BLOCK)]
    )  # −40, −20 dBFS
    assert audible_blocks(track, RATE, SILENCE_DB).tolist() == [1, 2]
    assert audible_blocks(track, RATE, -45).tolist() == [2]
    assert first_audible(track, RATE) == BLOCK
    assert last_audible(track, RATE) == 3 * BLOCK
    assert first_audible(silence(999), RATE) is last_audible(silence(999), RATE) is None


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 3000), st.integers(BLOCK * 2, 3000), st.integers(0, 3000))
def test_sound_is_found_to_a_block(before: int, length: int, after: int) -> None:
    track = np.concatenate([silence(before), square(length, 8000), silence(after)])
    first, last = first_audible(track, RATE), last_audible(track, RATE)
    assert first is not None
    assert last is not None
    assert abs(first - before) < BLOCK
    assert abs(last - before - length) < BLOCK
