"""How long it takes, where nothing takes time but what is meant to."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.engine.support.scenario import Outcome, Scenario, run
from workbench.engine.pipeline import Pipeline
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE
from workbench.model.events import (
    Part,
    ReplyPaused,
    ReplyPlaying,
    Span,
    SpeechPaused,
    Transcribed,
    TurnDecided,
)
from workbench.simulation.scripted import ScriptedLlm, ScriptedStt, ScriptedTts
from workbench.simulation.synthesis import Score
from workbench.transports.paced import PacedSink


def questions(count: int = 8) -> Score:
    """Questions that end anywhere within a frame."""
    score = Score()
    for number in range(count):
        score.silence(1.0 + number * 0.0037).say("how are you today", seconds=1.1 + number * 0.0123).silence(
            3.5
        )
    return score


def latencies_ms(outcome: Outcome, score: Score) -> list[float]:
    """From the last sample of speech to the first of the reply, turn by turn."""
    starts = [event.at_sample / OUTPUT_RATE for event in outcome.all(ReplyPlaying)]
    ends = [spoken.end / INPUT_RATE for spoken in score.spoken]
    return [(start - end) * 1000 for start, end in zip(starts, ends, strict=True)]


def test_the_engine_adds_no_time_between_decision_and_first_frame() -> None:
    score = questions()
    outcome = run(Scenario(score, stt=ScriptedStt(score), speculate=False))
    decided = [outcome.at(event) for event in outcome.all(TurnDecided)]
    playing = [outcome.at(event) for event in outcome.all(ReplyPlaying)]
    assert playing == decided


def test_a_typed_turn_takes_as_long_as_the_models() -> None:
    def ask(pipeline: Pipeline) -> None:
        pipeline.type("Hello?")

    outcome = run(
        Scenario(
            Score().silence(5),
            llm=ScriptedLlm(["Hi."], first_token_ms=300),
            tts=ScriptedTts(first_byte_ms=150),
            verbs=[(1.0, ask)],
        )
    )
    assert outcome.at(outcome.one(ReplyPlaying)) == pytest.approx(1450)


def test_with_an_stt_that_is_final_with_the_last_word_a_reply_is_heard_within_470_ms() -> None:
    score = questions()
    scenario = Scenario(
        score,
        stt=ScriptedStt(score, partials=True),
        llm=ScriptedLlm(["Fine, thank you."], first_token_ms=300),
        tts=ScriptedTts(first_byte_ms=150),
    )
    found = latencies_ms(run(scenario), score)
    assert max(found) <= 470
    assert min(found) >= 449.9


def test_at_the_default_settings_endpointing_alone_takes_less_than_400_ms() -> None:
    score = questions()
    found = latencies_ms(run(Scenario(score, stt=ScriptedStt(score, partials=True))), score)
    assert max(found) <= 375
    assert min(found) >= 345


def test_the_parts_follow_each_other_without_a_gap() -> None:
    score = questions(1)
    scenario = Scenario(
        score,
        stt=ScriptedStt(score, delay_ms=100),
        llm=ScriptedLlm(["Good morning, how are you?"], first_token_ms=300, token_ms=40),
        tts=ScriptedTts(first_byte_ms=150, leading_silence_ms=50),
        speculate=False,
    )
    outcome = run(scenario)
    spans = {span.part: span for span in outcome.all(Span)}
    order: tuple[Part, ...] = (
        "stt",
        "llm_first_token",
        "first_chunk",
        "tts_first_byte",
        "floor",
        "output_buffer",
        "leading_silence",
    )
    lengths = [spans[part].end_ms - spans[part].start_ms for part in order]
    assert lengths == pytest.approx([100, 300, 80, 150, 0, 0, 50], abs=0.01)
    for before, after in pairwise(order):
        assert spans[before].end_ms == pytest.approx(spans[after].start_ms, abs=0.01)
    assert spans["endpointing"].end_ms == pytest.approx(spans["stt"].start_ms)
    assert spans["endpointing"].start_ms == pytest.approx(score.spoken[0].end / 16, abs=5)


def test_the_wait_for_the_stt_counts_from_the_last_pause() -> None:
    """At the first one the user goes on before there is a transcript."""
    score = Score().silence(0.5).say("what time is it").silence(0.25).say("in Berlin").silence(3)
    outcome = run(Scenario(score, stt=ScriptedStt(score, delay_ms=400)))
    stt = next(span for span in outcome.all(Span) if span.part == "stt")
    assert stt.start_ms == outcome.at(outcome.all(SpeechPaused)[1])
    assert stt.end_ms == outcome.at(outcome.all(Transcribed)[-1])


class Late(PacedSink):
    """A speaker whose sound comes half a second after it was handed over."""

    def time_of(self, sample: int) -> float:
        return super().time_of(sample) + 0.5


def test_the_end_waits_until_the_last_sample_has_left_the_speaker() -> None:
    score = questions(1)
    outcome, at_once = run(Scenario(score, sink=Late, linger_s=0)), run(Scenario(score))
    buffered = next(span for span in outcome.all(Span) if span.part == "output_buffer")
    assert buffered.end_ms - buffered.start_ms == 500
    assert outcome.ended_ms - at_once.ended_ms == pytest.approx(480, abs=20)


@pytest.mark.parametrize("at", [3.0, 3.005, 3.011, 3.0173])
def test_the_output_pauses_within_two_frames_of_the_onset(at: float) -> None:
    score = Score().silence(0.5).say("tell me something").silence(at - 1.52).say("wait").silence(4)
    outcome = run(Scenario(score, stt=ScriptedStt(score), llm=ScriptedLlm(["A long answer to that. " * 4])))
    onset_ms = score.spoken[1].start / 16
    faded_ms = outcome.one(ReplyPaused).at_sample / 24
    assert 0 < faded_ms - onset_ms <= 60
