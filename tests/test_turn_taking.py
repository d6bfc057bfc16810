"""The measurement of turn-taking: what counts as a cut-in, operating points, and the turns that are made of prompts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench import _prompts
from bench._endpoints import Point
from bench._prompts import divide, prompts, voiced_spans
from bench._talkover import Conversation, Talkover, sounds
from bench._user_turns import OUTLAST, UserTurn, pause_s, user_turns
from workbench.engine.settings import TurnSettings
from workbench.model.audio import INPUT_RATE
from workbench.model.errors import MissingError
from workbench.replay.tune.figures import front, operating_points
from workbench.simulation.synthesis import Score

ROOT = Path(__file__).parents[1]
VOICED = [(1000.0, 2000.0), (2800.0, 4000.0)]
"""A turn with a pause of 800 ms."""


def held(*audible: tuple[float, float]) -> Talkover:
    talkover = Talkover()
    talkover.add(Conversation([(1000.0, 4000.0)], VOICED, list(audible)))
    return talkover


class TestTalkover:
    def test_an_answer_after_the_turn_is_no_cut_in(self) -> None:
        talkover = held((4400.0, 6000.0))
        assert (talkover.cut_ins, talkover.latencies_ms, talkover.overlaps_ms) == (0, [400.0], [0.0])

    def test_a_reply_in_a_pause_is_a_cut_in_though_nobody_speaks(self) -> None:
        talkover = held((2400.0, 2860.0), (4450.0, 6000.0))
        assert (talkover.cut_ins, talkover.into_speech) == (1, 0)
        assert talkover.after_cut_in_ms == [60.0]
        assert talkover.onset_to_silence_ms == [60.0]
        assert "in a pause of 800 ms, 400 ms after it had begun" in talkover.places[0]

    def test_a_reply_into_speech_counts_from_200_ms_of_it(self) -> None:
        assert held((3100.0, 3500.0)).into_speech == 1
        assert held((2900.0, 3500.0)).into_speech == 0

    def test_no_answer_is_counted(self) -> None:
        assert held().unanswered == 1

    def test_sounds_are_found_to_a_block(self) -> None:
        score = Score().silence(0.5).say("hello there").silence(0.5)
        spans = sounds(score.samples(), INPUT_RATE)
        assert spans[0][0] == pytest.approx(500, abs=10)
        assert spans[-1][1] == pytest.approx(score.spoken[0].end / 16, abs=20)


class TestOperatingPoints:
    def points(self) -> list[Point]:
        return [
            Point(TurnSettings(), cutoffs, 100, [latency])
            for cutoffs, latency in ((60, 250.0), (20, 550.0), (30, 580.0), (9, 900.0), (4, 1300.0))
        ]

    def test_the_best_within_each_budget(self) -> None:
        assert operating_points(self.points()) == {
            "false_cutoffs_at_300_ms_percent": 60.0,
            "false_cutoffs_at_600_ms_percent": 20.0,
            "latency_at_5_percent_cutoffs_ms": 1300,
            "latency_at_10_percent_cutoffs_ms": 900,
        }

    def test_the_front_leaves_out_what_is_beaten(self) -> None:
        assert [point.latency_ms for point in front(self.points())] == [250.0, 550.0, 900.0, 1300.0]

    def test_decisions_in_a_pause_count_once_and_the_first_after_the_end_is_the_latency(self) -> None:
        score = Score().silence(0.5).say("one two", seconds=1).silence(0.8).say("three", seconds=1).silence(3)
        turn, point = UserTurn("x", "en", "whole", score), Point(TurnSettings())
        pause = turn.pauses[0]
        point.add(turn, [pause[0] + 5000, pause[0] + 6000, turn.end + 8000, turn.end + 16000])
        assert (point.cutoffs, point.holds, point.latencies_ms) == (1, 1, [500.0])


def test_pauses_are_as_long_as_published() -> None:
    chance = np.random.default_rng(1)
    drawn = np.array([pause_s(chance) for _ in range(4000)])
    for seconds, share in OUTLAST[:-1]:
        assert np.mean(drawn > seconds) == pytest.approx(share, abs=0.03)


def test_a_text_is_divided_where_its_punctuation_and_its_length_agree() -> None:
    text = "Welcome to the directory. Please enter the first three letters, then the pound key."
    assert divide(text, [1600, 2400, 1200]) == [
        "Welcome to the directory.",
        "Please enter the first three letters,",
        "then the pound key.",
    ]
    assert divide("yes", [100, 100]) == ["yes", ""]


def test_without_the_sounds_the_command_that_installs_them_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_prompts, "SOUNDS", tmp_path)
    prompts.cache_clear()
    with pytest.raises(MissingError) as error:
        prompts("it")
    assert error.value.exit_code == 3
    assert "apt-get install" in error.value.hint
    assert "asterisk-core-sounds-it-g722" in error.value.hint


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ,
        check=False,
    )


def test_options_need_one_measurement_and_its_exit_code_is_handed_on() -> None:
    assert bench("--plot", "x.png").returncode == 2
    assert bench("turn_taking", "--languages", "tlh").returncode == 2
    assert bench("turn_taking", "--plot", "no-such-folder/x.png").returncode == 2
    told = bench("turn_taking", "--recording", "no-such-folder")
    assert told.returncode == 2
    assert "no-such-folder" in told.stderr


@pytest.fixture(scope="module")
def turns() -> list[UserTurn]:
    return list(user_turns("en", 40, seed=3))


@pytest.mark.prompts
class TestUserTurns:
    def test_a_seed_gives_the_same_turns(self, turns: list[UserTurn]) -> None:
        again = list(user_turns("en", 3, seed=3))
        for turn, other in zip(turns, again, strict=False):
            assert np.array_equal(turn.samples, other.samples)

    def test_all_kinds_are_there_with_words_and_pauses(self, turns: list[UserTurn]) -> None:
        kinds = Counter(turn.kind for turn in turns)
        assert {"whole", "hesitant", "filler", "two sentences"} <= set(kinds)
        assert all(turn.score.spoken[-1].text for turn in turns)
        assert all(
            "um," in [said.text for said in turn.score.spoken] for turn in turns if turn.kind == "filler"
        )

    def test_rows_have_the_fields_of_eot_bench(self, turns: list[UserTurn]) -> None:
        row = turns[0].row("sound.wav")
        assert list(row) == ["id", "language", "audio", "silence_spans", "messages", "words"]
        last = row["silence_spans"][-1]
        assert last["start"] == pytest.approx(row["words"][-1]["end"], abs=0.01)
        assert last["end"] == pytest.approx(len(turns[0].samples) / INPUT_RATE, abs=0.01)

    def test_pauses_are_silent(self, turns: list[UserTurn]) -> None:
        for turn in turns[:5]:
            for start, stop in turn.pauses:
                assert not voiced_spans(turn.samples[start + 800 : stop - 800])
