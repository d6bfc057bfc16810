"""Scoring of recordings: silences, decisions and figures."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.replay.tune_material import LABELS, hesitant, settings_of, tuned
from workbench.config import load_settings
from workbench.model.errors import UsageError
from workbench.model.events import TurnDecided
from workbench.readers import entries
from workbench.replay.tune.decisions import NEVER, transcript_of
from workbench.replay.tune.detectors import Detectors
from workbench.replay.tune.estimates import Estimates
from workbench.replay.tune.figures import (
    TunePoint,
    front,
    latencies_of,
    operating_points,
    outcome,
    pauses_of,
)
from workbench.replay.tune.grid import combinations, parse_axis
from workbench.replay.tune.labels import write_label
from workbench.replay.tune.recording import WordsArrival, read_recording
from workbench.replay.tune.scoring import EstimateTask, read_labelled
from workbench.replay.tune.silences import Silence
from workbench.replay.tune.truth import TrueSilence
from workbench.trace.store import open_trace

DETECTORS = Detectors.of(settings_of())
SILENCES = {"turn.silence_ms": (200, 600, 900, 1500)}


@pytest.fixture(scope="module")
def by_silence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording whose turns ended by silence alone."""
    folder = tmp_path_factory.mktemp("tune") / "by_silence"
    return hesitant(folder, turn__provider="silence", turn__silence_ms=600, turn__adapt=False)


def test_what_the_user_did_next_tells_pauses_from_ends(by_silence: Path) -> None:
    silences = read_labelled(by_silence, DETECTORS).silences
    assert [silence.label for silence in silences] == LABELS
    assert [round(silence.ms, -2) for silence in silences[:3]] == [400, 5000, 800]
    assert silences[0].text.startswith("I would like to book")


def test_probabilities_are_as_exact_as_they_were_recorded(by_silence: Path, tmp_path: Path) -> None:
    exact = read_recording(by_silence, DETECTORS).probabilities
    shutil.copytree(by_silence, tmp_path / "rec", ignore=shutil.ignore_patterns("cassette"))
    rounded = read_recording(tmp_path / "rec", DETECTORS).probabilities
    assert np.abs(exact - rounded).max() <= 0.001
    computed = read_recording(by_silence, replace(DETECTORS, vad="energy/default")).probabilities
    known = len(exact) - 10  # the last ones come in no event
    assert exact[:known] == pytest.approx(computed[:known], abs=1e-6)


def test_the_settings_in_use_decide_as_the_session_did(by_silence: Path) -> None:
    settings = settings_of(turn__provider="silence", turn__silence_ms=600, turn__adapt=False)
    result = tuned([by_silence], SILENCES, settings)
    decided = [e.event for e in entries(open_trace(by_silence)) if isinstance(e.event, TurnDecided)]
    waited = {event.end_sample: event.waited_ms for event in decided}
    (recording,) = result.recordings
    for row, silence in enumerate(recording.silences):
        reply_ms = recording.outcome.replies_ms[row, 0]
        if silence.start in waited:
            assert reply_ms == pytest.approx(waited[silence.start], abs=20)
    assert len(waited) >= 3


def test_who_waits_longer_cuts_less_and_answers_later(by_silence: Path) -> None:
    settings = settings_of(turn__provider="silence", turn__adapt=False)
    result = tuned([by_silence], SILENCES, settings)
    figures = {point.settings.get("turn.silence_ms"): point for point in result.points}
    assert [figures[ms].cutoffs for ms in (200, 600, 900)] == [2, 1, 0]
    assert all(point.pauses == 2 for point in result.points)
    assert figures[200].latency_ms < figures[600].latency_ms < figures[900].latency_ms
    assert [point.cutoffs for point in result.front] == [2, 1, 0]
    assert figures[900].latency_ms == pytest.approx(900, abs=30)
    changes = result.changes(figures[900])
    assert [change.silence.label for change in changes] == ["pause", "pause", "end", "end", "end"]
    assert all(change.after_ms is None for change in changes[:2])


def test_words_count_when_they_came_and_replies_are_held(tmp_path: Path) -> None:
    folder = hesitant(tmp_path / "words", "I would like to")
    result = tuned([folder], {"turn.hold_ms": (0, 900)})
    (recording,) = result.recordings
    # "I would like to" is unfinished by its words: nothing ends it in 450 ms
    assert not np.isfinite(recording.outcome.replies_ms[0]).any()
    thanks = recording.outcome.replies_ms[4]
    assert np.isfinite(thanks).all()
    held = recording.outcome.replies_ms[1]
    assert held[-1] >= 900 > held[0]


def test_a_label_by_hand_goes_before_what_the_user_did(tmp_path: Path) -> None:
    folder = hesitant(tmp_path / "labelled")
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    silences = read_labelled(folder, DETECTORS).silences
    write_label(folder, silences[2].start, "end")
    corrected = read_labelled(folder, DETECTORS).silences
    assert [each.label for each in corrected] == ["pause", "end", "end", "end", "end"]
    assert corrected[2].corrected
    assert tuned([folder], SILENCES).in_use.pauses == 1
    assert {file: file.read_bytes() for file in before} == before
    write_label(folder, silences[2].start, None)
    assert read_labelled(folder, DETECTORS).silences == silences


def test_recordings_are_counted_together(by_silence: Path) -> None:
    one, two = tuned([by_silence], SILENCES), tuned([by_silence, by_silence], SILENCES)
    assert [point.cutoffs * 2 for point in one.points] == [point.cutoffs for point in two.points]
    assert [point.latency_ms for point in one.points] == pytest.approx([p.latency_ms for p in two.points])


def test_without_a_pause_or_an_end_nothing_can_be_tuned(tmp_path: Path, by_silence: Path) -> None:
    folder = hesitant(tmp_path / "all_ends")
    for silence in read_labelled(folder, DETECTORS).silences:
        write_label(folder, silence.start, "end")
    with pytest.raises(UsageError, match="no turn has a pause"):
        tuned([folder], SILENCES)
    for silence in read_labelled(folder, DETECTORS).silences:
        write_label(folder, silence.start, "unclear")
    with pytest.raises(UsageError, match="no turn ends"):
        tuned([folder], SILENCES)
    assert tuned([folder, by_silence], SILENCES).in_use.pauses == 2


# --- figures ---------------------------------------------------------------------------------------------------------


def silence(start_s: float, stop_s: float, label: str) -> TrueSilence:
    return TrueSilence(round(start_s * 16000), round(stop_s * 16000), label)  # type: ignore[arg-type]


def test_replies_are_counted_in_the_silence_in_which_they_begin() -> None:
    silences = [silence(1, 1.5, "pause"), silence(3, 8, "end")]
    # columns: in the pause and at the end; never; into speech, and late; just after the pause
    at = [[1.3, None, 2.0, 1.55], [3.4, None, 9.0, 3.2]]
    positions = np.array([[NEVER if s is None else round(s * 16000) for s in row] for row in at])
    result = outcome(silences, positions)
    cutoffs, pauses = pauses_of([(silences, result)])
    assert cutoffs.tolist() == [1, 0, 2, 1]
    assert pauses.tolist() == [1, 1, 3, 1]
    assert latencies_of([(silences, result)]) == pytest.approx([400, 5000, 5000, 200])


def point(latency_ms: float, cutoffs: int, number: int = 0) -> TunePoint:
    return TunePoint(number, {}, cutoffs, 100, latency_ms)


def test_the_front_is_what_no_other_beats_in_both() -> None:
    points = [point(300, 40), point(300, 30), point(500, 30), point(600, 8), point(900, 4), point(950, 9)]
    assert [(each.latency_ms, each.cutoffs) for each in front(points)] == [(300, 30), (600, 8), (900, 4)]
    assert operating_points(points) == {
        "false_cutoffs_at_300_ms_percent": 30.0,
        "false_cutoffs_at_600_ms_percent": 8.0,
        "latency_at_5_percent_cutoffs_ms": 900,
        "latency_at_10_percent_cutoffs_ms": 600,
    }
    assert operating_points([point(700, 50)])["false_cutoffs_at_300_ms_percent"] is None


def test_estimates_are_asked_for_once_wherever_the_pause_is_noticed() -> None:
    estimates = Estimates([(16_000, 0.9, 80.0)])
    heard = [Silence(1, 0, 0, 0, end, end + 1600, end + 9000) for end in (16_300, 40_000, 40_500, 80_000)]
    assert [speech_end for _, speech_end, _ in estimates.unknown(heard)] == [40_000, 80_000]
    estimates.add(40_000, 0.25)
    estimates.add(80_000, None)
    assert [estimates.of(each) for each in heard] == [(0.9, 80.0), (0.25, 100.0), (0.25, 100.0), None]
    assert estimates.unknown(heard) == []


def test_words_of_utterances_that_were_one_thought_are_joined() -> None:
    arrivals = [
        WordsArrival(20_000, 1, 0, "I would", 15_000, stable=False),
        WordsArrival(30_000, 1, 0, "I would like", 28_000, stable=True),
        WordsArrival(60_000, 2, 40_000, "a table.", 55_000, stable=True),
    ]
    joined = transcript_of(arrivals)
    assert joined is not None
    assert (joined.text, joined.upto_sample, joined.final) == ("I would like a table.", 55_000, False)
    assert transcript_of([]) is None


# --- the grid --------------------------------------------------------------------------------------------------------


def test_the_settings_in_use_come_first_and_each_combination_once() -> None:
    settings = settings_of()
    tried = combinations(
        {"turn.silence_ms": (350, 500), "vad.threshold": (0.5, 0.6)}, settings.vad, settings.turn
    )
    assert [dict(each.changes) for each in tried] == [
        {},
        {"vad.threshold": 0.6},
        {"turn.silence_ms": 500},
        {"turn.silence_ms": 500, "vad.threshold": 0.6},
    ]
    assert (tried[3].turn.silence_ms, tried[3].vad.threshold) == (500, 0.6)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("turn.silence_ms", "names no values"),
        ("turn.silence_ms=", "names no values"),
        ("turn.silence_ms=200,fast", "'fast'"),
        ("turn.silence_ms=9", "greater than or equal to 50"),
        ("turn.silence_ms=nan", "turn.silence_ms"),
        ("turn.silly=1", "no setting 'turn.silly'"),
        ("llm.provider=x", "does not change when a turn ends"),
        ("vad.threshold=0.5,1e999", "less than or equal"),
        ("\x1b[31m=1", "no setting"),
    ],
)
def test_values_that_a_setting_cannot_have_are_refused(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as error:
        parse_axis(text)
    assert "\x1b" not in str(error.value)


def test_a_grid_of_millions_is_refused() -> None:
    settings = settings_of()
    values = tuple(range(100, 1100))
    with pytest.raises(UsageError, match="1000000 combinations"):
        combinations({"turn.silence_ms": values, "turn.hold_ms": values}, settings.vad, settings.turn)


# --- models on board -------------------------------------------------------------------------------------------------


@pytest.mark.models
def test_what_a_recording_lacks_is_computed_by_the_models_on_board(by_silence: Path) -> None:
    settings = load_settings({"profile": "embedded"})
    detectors = Detectors.of(settings)
    read = read_labelled(by_silence, detectors)
    assert read.recording.window == 512  # Silero's: the recording was made with another VAD
    pauses = tuple((0, silence.start, silence.start + 1600) for silence in read.silences[:2])
    probabilities = EstimateTask(read.recording, detectors, pauses).do()
    assert len(probabilities) == 2
    assert all(probability is not None and 0 <= probability <= 1 for probability in probabilities)
