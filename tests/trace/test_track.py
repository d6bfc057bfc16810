"""The ring that keeps recent sound."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.trace.track import LiveTrack


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.lists(st.integers(0, 250), max_size=12), st.integers(-50, 900), st.integers(-50, 900))
def test_a_live_track_reads_as_silence_where_nothing_is_kept(sizes: list[int], start: int, stop: int) -> None:
    track = LiveTrack("user", 1000, keep_s=0.1)
    whole = np.arange(1, sum(sizes) + 1, dtype=np.int16)
    for size in sizes:
        track.append(whole[track.end : track.end + size])
    assert track.end == len(whole)
    assert track.start == max(0, len(whole) - 100)
    expected = [int(whole[at]) if track.start <= at < track.end else 0 for at in range(start, stop)]
    assert track.read(start, stop).tolist() == expected


def test_samples_that_were_read_are_a_copy() -> None:
    track = LiveTrack("agent", 100, keep_s=1)
    track.append(np.ones(100, dtype=np.int16))
    read = track.read(0, 100)
    track.append(np.zeros(100, dtype=np.int16))
    assert read.all()
