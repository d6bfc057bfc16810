"""A recording, read block by block, with its sound and events."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.golden.conftest import Recorded
from tests.golden.conftest import recorded as recorded  # a fixture
from tests.tui.acted import FakeSession, spoken_turn, started
from tests.tui.acted import recorded as acted
from workbench import open_trace
from workbench.readers.overview import TrackOverview
from workbench.tui.recording import Recording, RecordingState, turn_at
from workbench.tui.time_window import TimeWindow
from workbench.views.events import event_text


def whole(recording: Recording) -> RecordingState:
    state = recording.read()
    while not state.complete:
        state = recording.read()
    return state


def test_a_recording_gives_each_turn_its_sound_and_events() -> None:
    recording = Recording(acted().trace)
    state = whole(recording)
    assert [turn.turn for turn in state.turns] == [1, 2]
    moment = recording.moment(2)
    assert moment is not None
    for sides in ("user", "agent", "both"):
        sound = recording.sound(sides, moment.start_ms, moment.end_ms)
        assert len(sound) / 24_000 == pytest.approx((moment.end_ms - moment.start_ms) / 1000, abs=0.2)
    peaks = recording.peaks("agent", moment.start_ms, moment.end_ms, 40)
    assert peaks is not None
    assert peaks.shape == (40,)
    assert peaks[20] > 0.01
    assert not any("turn=2" in event_text(entry) for entry in recording.events(state, 0))
    assert '"reason": "stopped"' in event_text(recording.events(state, 1)[-1])


def test_a_recording_without_sound_is_silent() -> None:
    session = FakeSession()
    started(session)
    spoken_turn(session, 1, "Hello?", "Hello.")
    session.trace.close()
    recording = Recording(session.trace)
    whole(recording)
    assert len(recording.sound("both", 0, 1000)) == len(recording.sound("user", 0, 1000)) == 0
    assert recording.peaks("user", 0, 1000, 3) is None


def test_a_folder_is_read_in_blocks_and_is_the_same_in_the_end(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = open_trace(recorded("interruption"))
    monkeypatch.setattr("workbench.tui.recording.FIRST_BLOCK", 30)
    monkeypatch.setattr("workbench.tui.recording.BLOCK", 40)
    recording = Recording(trace)
    first = recording.read()
    assert not first.complete
    assert first.turns == ()
    state = whole(recording)
    assert state.turns == tuple(trace.turns)
    assert [account.outcome for account in state.accounts_of(0)] == ["cut"]
    (match,) = recording.search("PLEASE stop now")[:1]
    assert turn_at(state, match) == 1


def test_a_folder_that_is_still_written_grows(recorded: Recorded, tmp_path: Path) -> None:
    folder = tmp_path / "growing"
    shutil.copytree(recorded("interruption"), folder)
    lines = (folder / "events.jsonl").read_text("ascii").splitlines(keepends=True)
    (folder / "events.jsonl").write_text("".join(lines[:100]) + lines[100][:20], "ascii")
    recording = Recording(open_trace(folder))
    state = whole(recording)
    assert state.endless
    assert not recording.grow()
    (folder / "events.jsonl").write_text("".join(lines), "ascii")
    assert recording.grow()
    state = whole(recording)
    assert (len(state.turns), state.endless) == (2, False)


class Loud:
    """A track of 130 s: silence, but for its last second."""

    rate, start, end = 1000, 0, 130_000

    def read(self, start: int, stop: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
        places = np.arange(start, stop)
        return np.where((places >= 129_000) & (places < self.end), 16_384, 0).astype(np.int16)


def test_an_overview_knows_what_it_has_read_and_reads_short_stretches_at_once() -> None:
    overview = TrackOverview(Loud())
    assert np.isnan(overview.peaks(0, 130_000, 10)).all()
    assert overview.peaks(128_000, 130_000, 2).tolist() == [0.0, 0.5]
    assert overview.extend()
    assert np.isnan(overview.peaks(0, 130_000, 10)).tolist() == [False] * 4 + [True] * 6
    while overview.extend():
        pass
    assert overview.peaks(-10_000, 140_000, 15).tolist() == [0.0] * 13 + [0.5, 0.0]
    assert overview.peaks(0, 0, 3).tolist() == [0.0] * 3


def test_a_window_stays_on_the_recording() -> None:
    window = TimeWindow(total_ms=60_000)
    assert window.zoomed(0.5, 6_000) == TimeWindow(3_000, 9_000, 60_000)
    assert window.moved(-3).start_ms == 0
    assert window.moved(99).end_ms == 60_000
    assert window.whole().length_ms == 60_000
    assert window.zoomed(1e-9, 0).length_ms == 500
    assert window.fitted(30_000, 31_000) == TimeWindow(24_500, 36_500, 60_000)
    assert (
        window.showing(30_000, 31_000).start_ms <= 30_000 <= 31_000 <= window.showing(30_000, 31_000).end_ms
    )
    assert TimeWindow(0, 500, 1).fitted(0, 0).length_ms == 500
