"""Turns on hand-written scores: what counts, what is hidden, what is left over."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from workbench.model.events import (
    PARTS,
    BargeInJudged,
    Entry,
    Event,
    Heard,
    ListeningStarted,
    ReplyDiscarded,
    ReplyEnded,
    ReplyPaused,
    ReplyPlaying,
    ReplyResumed,
    ReplyStarted,
    Span,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    TurnDecided,
    TurnEnded,
    UtteranceDismissed,
)
from workbench.readers.timeline import (
    Timeline,
    Turn,
    TurnError,
    critical_path,
    turns,
)
from workbench.trace.codec import decode, encode

Score = list[tuple[float, Event]]


def entries(score: Iterable[tuple[float, Event]]) -> list[Entry]:
    return [Entry(i, t_ms, event) for i, (t_ms, event) in enumerate(score)]


def only_turn(score: Score) -> Turn:
    (turn,) = turns(entries(score))
    return turn


def heard(turn: int, user_ms: float | None, agent_ms: float | None) -> Heard:
    return Heard(turn, None if user_ms is None else 16, user_ms, None if agent_ms is None else 24, agent_ms)


PLAIN: Score = [
    (500, SpeechStarted(1, 8000)),
    (1010, SpeechPaused(1, 16000)),
    (1350, TurnDecided(1, 1, end_sample=16000, waited_ms=350)),
    (1350, Span("endpointing", 1000, 1350, utterance=1, turn=1)),
    (1500, Span("stt", 1010, 1500, utterance=1)),
    (1500, ReplyStarted(1, 1, 1, "hello", False)),
    (1800, Span("llm_first_token", 1500, 1800, reply=1, utterance=1, turn=1)),
    (1820, Span("first_chunk", 1800, 1820, reply=1, utterance=1, turn=1)),
    (1970, Span("tts_first_byte", 1820, 1970, reply=1, utterance=1, turn=1)),
    (1971, ReplyPlaying(1, 1, 2400)),
    (1971, Span("output_buffer", 1971, 2000, reply=1, turn=1)),
    (1971, Span("leading_silence", 2000, 2040, reply=1, turn=1)),
    (2050, heard(1, 1000, 2045)),
    (3000, ReplyEnded(1, 1, "done", "Hi.", "", 40000)),
    (3000, TurnEnded(1, "done", "hello", "Hi.", usage={"output_tokens": 3})),
]


def test_each_part_counts_from_where_the_one_before_it_ended() -> None:
    turn = only_turn(PLAIN)
    assert turn.heard_latency_ms == 1045
    assert turn.parts_ms == {
        "endpointing": 350,
        "cpu_wait": 0,
        "stt": 150,  # it ran since 1010, hidden under endpointing up to 1350
        "llm_first_token": 300,
        "first_chunk": 20,
        "tools": 0,
        "tts_first_byte": 150,
        "leading_silence": 40,
        "floor": 0,
        "playback_buffer": 0,
        "output_buffer": 29,
        "network_in": 0,
        "jitter_buffer": 0,
        "network_out": 0,
        "unexplained": 6,
    }
    assert turn.lanes_ms["endpointing"] == (0.0, 350.0)
    assert turn.lanes_ms["stt"] == (10.0, 500.0)
    assert turn.usage["output_tokens"] == 3
    assert (turn.status, turn.user_text, turn.agent_text) == ("done", "hello", "Hi.")


def test_a_models_wait_for_a_cpu_is_a_part_of_its_own() -> None:
    waits = {"stt": 400.0, "llm_first_token": 120.0, "first_chunk": 0.4, "tts_first_byte": 900.0}
    score: Score = []
    for t_ms, event in PLAIN:
        each = event.with_cpu_wait(waits.get(event.part, 0.0)) if isinstance(event, Span) else (event,)
        score += [(t_ms, one) for one in each]
    turn = only_turn(score)
    assert turn.heard_latency_ms == sum(turn.parts_ms.values()) == 1045
    assert turn.parts_ms["cpu_wait"] == 60 + 120 + 150  # of the STT's the rest was hidden under endpointing
    assert [turn.parts_ms[part] for part in waits] == [90, 180, 20, 0]
    assert turn.parts_ms["unexplained"] == 6
    assert turn.lanes_ms["cpu_wait"] == (10.0, 970.0)


def test_what_ran_hidden_under_endpointing_counts_nothing_and_is_a_lane() -> None:
    turn = only_turn(
        [
            (1100, ReplyStarted(1, 1, None, "hello", True)),
            (1180, Span("stt", 1010, 1100, utterance=1)),
            (1250, Span("llm_first_token", 1100, 1250, reply=1, utterance=1)),
            (1330, Span("tts_first_byte", 1250, 1330, reply=1, utterance=1)),
            (1350, TurnDecided(1, 1, end_sample=16000, waited_ms=350)),
            (1351, Span("floor", 1330, 1351, reply=1, turn=1)),
            (1351, ReplyPlaying(1, 1, 2400)),
            (1400, heard(1, 1000, 1352)),
            (2000, TurnEnded(1, "done", "hello", "Hi.")),
        ]
    )
    assert turn.heard_latency_ms == 352
    counted = {part: ms for part, ms in turn.parts_ms.items() if ms}
    assert counted == {"endpointing": 350, "floor": 1, "unexplained": 1}
    assert turn.lanes_ms["llm_first_token"] == (100.0, 250.0)


def test_discarded_replies_are_counted_and_their_spans_are_not_the_turns() -> None:
    turn = only_turn(
        [
            (1100, ReplyStarted(1, 1, None, "hel", True)),
            (1200, Span("llm_first_token", 1100, 1500, reply=1, utterance=1)),
            (1250, ReplyDiscarded(1, 1, "the user went on", 0.3, 7)),
            (1260, ReplyDiscarded(9, 8, "of another utterance", 0.3, 7)),
            (1300, ReplyStarted(2, 1, None, "hello", True)),
            (1340, Span("llm_first_token", 1300, 1340, reply=2, utterance=1)),
            (1350, TurnDecided(1, 1, end_sample=16000)),
            (1352, ReplyPlaying(2, 1, 0)),
            (1353, heard(1, 1000, 1352)),
            (1400, TurnEnded(1, "done", "hello", "Hi.")),
        ]
    )
    assert turn.discarded_replies == 1
    assert turn.parts_ms["llm_first_token"] == 0
    assert turn.lanes_ms["llm_first_token"] == (300.0, 340.0)


def test_tools_and_the_model_count_each_time_they_run() -> None:
    spans = [
        Span("llm_first_token", 100, 200, reply=1),
        Span("tools", 200, 450, reply=1),
        Span("llm_first_token", 450, 600, reply=1),
        Span("tools", 900, 2000, reply=1),  # called while the answer is heard already
    ]
    parts = critical_path(0, 100, 610, spans)
    assert (parts["llm_first_token"], parts["tools"], parts["unexplained"]) == (250, 250, 10)


def test_a_span_of_no_length_hides_nothing_that_began_before_it() -> None:
    """The model goes on after a tool; a buffer and a silence of nothing end a hair before its first token does."""
    spans = [
        Span("llm_first_token", 0, 120, reply=1),
        Span("tools", 120, 420, reply=1),
        Span("llm_first_token", 420, 540, reply=1),
        Span("output_buffer", 540, 539.99, reply=1),
        Span("leading_silence", 539.99, 539.99, reply=1),
    ]
    parts = critical_path(0, 360, 540, spans)
    assert (parts["tools"], parts["llm_first_token"], parts["unexplained"]) == (60, 120, 0)


def test_a_span_beyond_the_end_is_not_clipped() -> None:
    parts = critical_path(0, 100, 150, [Span("output_buffer", 100, 160, reply=1)])
    assert (parts["output_buffer"], parts["unexplained"]) == (60, -10)


def test_without_a_decision_or_with_one_before_the_end_of_speech_endpointing_is_nothing() -> None:
    assert critical_path(100, None, 150, [])["endpointing"] == 0
    assert critical_path(100, 90, 150, [])["unexplained"] == 50


def test_parts_sum_to_the_latency() -> None:
    spans = [Span(part, 7.77 * k, 11.1 * k + 0.3333, reply=1) for k, part in enumerate(PARTS)]
    parts = critical_path(1.2345, 33.3333, 77.1234, spans)
    assert sum(parts.values()) == pytest.approx(77.1234 - 1.2345, abs=0.001)


def test_a_typed_turn_has_no_latency_but_lanes() -> None:
    turn = only_turn(
        [
            (100, TurnDecided(1, 1, typed=True)),
            (110, Span("llm_first_token", 100, 400, reply=1, turn=1)),
            (120, ReplyPlaying(1, 1, 0)),
            (130, heard(1, None, 500)),
            (900, TurnEnded(1, "done", "typed", "Yes.")),
        ]
    )
    assert turn.heard_latency_ms is None
    assert set(turn.parts_ms) == {*PARTS, "unexplained"}
    assert not any(turn.parts_ms.values())
    assert turn.lanes_ms == {"llm_first_token": (0, 300)}


def test_a_failed_turn_says_where_why_and_what_to_do() -> None:
    turn = only_turn(
        [
            (100, TurnDecided(1, 1, end_sample=1000)),
            (110, Span("stt", 100, 200, utterance=1)),
            (110, Span("llm_first_token", 200, 300, reply=1, turn=1)),
            (120, TurnEnded(1, "failed", "hello", "", stage="llm", reason="401", hint="set the key")),
        ]
    )
    assert turn.error == TurnError("llm", "401", "set the key")
    assert turn.heard_latency_ms is None
    assert set(turn.lanes_ms) == {"stt", "llm_first_token"}
    assert turn.to_json()["error"] == {"stage": "llm", "reason": "401", "hint": "set the key"}


def test_a_cut_turn_keeps_its_latency() -> None:
    score = [*PLAIN[:-1], (2500.0, TurnEnded(1, "cut", "hello", "H", cold=True))]
    turn = only_turn(score)
    assert (turn.status, turn.cold, turn.heard_latency_ms, turn.agent_text) == ("cut", True, 1045, "H")


def test_an_end_without_a_beginning_is_a_turn_still() -> None:
    assert only_turn([(0, TurnEnded(7, "done", "a", "b"))]).turn == 7
    assert list(turns(entries([(0, heard(3, 1, 2)), (1, ReplyPlaying(1, 3, 0))]))) == []


def test_json_has_the_pinned_keys_and_is_json() -> None:
    found = json.loads(json.dumps(only_turn(PLAIN).to_json(), allow_nan=False))
    assert list(found) == [
        "turn",
        "status",
        "user_text",
        "agent_text",
        "heard_latency_ms",
        "parts_ms",
        "lanes_ms",
        "discarded_replies",
        "reopened",
        "overlap_ms",
        "usage",
        "cold",
        "error",
        "providers",
    ]
    assert found["lanes_ms"]["stt"] == [10, 500]
    assert found["error"] is None


def test_each_turn_is_told_when_it_ends_and_only_the_last_are_kept() -> None:
    told: list[int] = []
    timeline = Timeline(lambda turn: told.append(turn.turn), keep=2)
    for entry in entries([(n, TurnEnded(n, "done", "", "")) for n in (1, 2, 3)]):
        timeline.feed(entry)
    assert told == [1, 2, 3]
    assert [turn.turn for turn in timeline.turns] == [2, 3]


def test_live_state_follows_a_conversation() -> None:
    timeline = Timeline()
    story: list[tuple[Event, str, str]] = [
        (SpeechStarted(1, 0), "speaking", "idle"),
        (SpeechPaused(1, 100), "paused", "idle"),
        (SpeechResumed(1, 120, 20), "speaking", "idle"),
        (TurnDecided(1, 1), "silent", "thinking"),
        (ReplyPlaying(1, 1, 0), "silent", "speaking"),
        (ReplyPaused(1, 1, 50), "silent", "paused"),
        (ReplyResumed(1, 1, 50), "silent", "speaking"),
        (BargeInJudged(1, 2, "interruption", "words", 200), "silent", "speaking"),
        (TurnDecided(2, 2), "silent", "speaking"),
        (ReplyEnded(1, 1, "cut", "Hi", "there"), "silent", "thinking"),
        (TurnEnded(1, "cut", "hel", "Hi"), "silent", "thinking"),
        (TurnEnded(2, "failed", "", "", stage="llm"), "silent", "idle"),
        (SpeechStarted(3, 0), "speaking", "idle"),
        (UtteranceDismissed(3, "no words"), "silent", "idle"),
        (ReplyPlaying(3, None, 0), "silent", "speaking"),
        (ReplyEnded(99, None, "done", "", ""), "silent", "speaking"),
    ]
    for i, (event, user, agent) in enumerate(story):
        timeline.feed(Entry(i, float(i), event))
        assert (timeline.live.user, timeline.live.agent) == (user, agent), event


def test_a_turn_runs_from_its_first_audible_sample_until_it_ends() -> None:
    timeline = Timeline()
    seen: list[Turn | None] = []
    for entry in entries(PLAIN):
        timeline.feed(entry)
        if isinstance(entry.event, ReplyPlaying | Heard | TurnEnded):
            seen.append(timeline.running)
    before, running, after = seen
    assert before is None
    assert running is not None
    assert (running.turn, running.status) == (1, "running")
    assert running.heard_latency_ms == timeline.turns[0].heard_latency_ms
    assert running.lanes_ms.keys() <= timeline.turns[0].lanes_ms.keys()
    assert after is None


def test_a_span_that_comes_late_is_in_the_running_turn_too() -> None:
    timeline = Timeline()
    late = Span("output_buffer", 600, 620, turn=1)
    for entry in entries([(500, TurnDecided(1, 1)), (640, heard(1, 100, 620)), (641, late)]):
        timeline.feed(entry)
    assert timeline.running is not None
    assert timeline.running.parts_ms["output_buffer"] == 20


def test_words_from_before_the_session_listened_waited_for_its_startup() -> None:
    way = Span("network_in", 100, 2047, utterance=1)
    turn = only_turn(
        [
            (2000, ListeningStarted()),
            (2300, TurnDecided(1, 1)),
            (2300, way),
            (2500, heard(1, 100, 2400)),
            (3000, TurnEnded(1, "done", "", "")),
        ]
    )
    parts = {part: ms for part, ms in turn.parts_ms.items() if ms}
    assert parts == {"startup": 1900, "network_in": 47, "endpointing": 253, "unexplained": 100}
    assert sum(parts.values()) == turn.heard_latency_ms
    assert turn.lanes_ms == {"startup": (0, 1900), "network_in": (1900, 1947), "endpointing": (1947, 2200)}


def test_turns_after_the_first_know_of_no_startup() -> None:
    assert "startup" not in only_turn([(400, ListeningStarted()), *PLAIN]).parts_ms


def test_a_recording_of_this_version_stays_readable_and_says_the_same() -> None:
    golden = Path(__file__).parents[1] / "golden"
    lines = (golden / "three_turns.events.jsonl").read_text(encoding="ascii").splitlines()
    found = [entry for line in lines if (entry := decode(line)) is not None]
    assert [
        json.loads(encode(entry)) | json.loads(line) for entry, line in zip(found, lines, strict=True)
    ] == [json.loads(encode(entry)) for entry in found]  # fields that came since have their defaults
    wanted = (golden / "three_turns.turns.jsonl").read_text(encoding="ascii").splitlines()
    assert [turn.to_json() for turn in turns(found)] == [json.loads(line) for line in wanted]
