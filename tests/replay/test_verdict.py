"""What is the same of two traces, and what is named where something is not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.model.audio import silence
from workbench.model.events import (
    BargeInJudged,
    DeviceOpened,
    Entry,
    Event,
    Heard,
    HostLag,
    Notice,
    ReplyEnded,
    ReplyStarted,
    SessionStarted,
    Span,
    ToolCalled,
    ToolReturned,
    TurnDecided,
    TurnEnded,
)
from workbench.replay.verdict import Difference, TraceVerdict, compare_traces
from workbench.trace.codec import decode
from workbench.trace.trace import Trace
from workbench.trace.track import LiveTrack

TRACES = Path(__file__).parent.parent / "golden" / "traces"
NAMES = ("interruption", "tool", "typed", "reopened_twice", "failure")
names = st.sampled_from(NAMES)


@cache
def recorded(name: str) -> tuple[Entry, ...]:
    lines = (TRACES / f"{name}.events.jsonl").read_text("utf-8").splitlines()
    return tuple(entry for line in lines if (entry := decode(line)))


def trace(entries: Iterable[Entry]) -> Trace:
    entries = list(entries)
    times = iter([entry.t_ms for entry in entries])
    trace = Trace(lambda: next(times))
    for entry in entries:
        trace.emit(entry.event)
    trace.close()
    return trace


def compared(a: Iterable[Entry], b: Iterable[Entry]) -> TraceVerdict:
    return compare_traces(trace(a), trace(b))


def edited(name: str, kind: type[Event], **changes: object) -> tuple[list[Entry], Event]:
    """A recording whose first event of that kind is another one, and what it was."""
    entries = list(recorded(name))
    at = next(i for i, entry in enumerate(entries) if isinstance(entry.event, kind))
    before = entries[at].event
    entries[at] = replace(entries[at], event=replace(before, **changes))  # type: ignore[arg-type]
    return entries, before


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_is_the_same_bytes_as_itself(name: str) -> None:
    assert compared(recorded(name), recorded(name)) == TraceVerdict("same bytes")


def test_where_and_when_it_was_recorded_is_no_difference() -> None:
    elsewhere, _ = edited(
        "typed", SessionStarted, session="other", date="2030-01-01T00:00:00Z", recording="x"
    )
    elsewhere = [
        replace(entry, event=replace(entry.event, name="another file"))
        if isinstance(entry.event, DeviceOpened)
        else entry
        for entry in elsewhere
    ]
    elsewhere.insert(5, Entry(0, 7.0, HostLag(0.2, 90.0)))
    elsewhere.insert(9, Entry(0, 8.0, Notice("warning", "host", "a reader took 60 ms")))
    assert compared(recorded("typed"), elsewhere).sameness == "same bytes"


@settings(deadline=None, max_examples=10)
@given(names, st.integers())
def test_instants_within_a_frame_are_the_same_decisions(name: str, seed: int) -> None:
    random = Random(seed)

    def moved(entry: Entry) -> Entry:
        event = entry.event
        if isinstance(event, Heard) and event.agent_start_ms is not None:
            event = replace(event, agent_start_ms=event.agent_start_ms + random.uniform(-20.0, 20.0))
        return Entry(entry.i, entry.t_ms + random.uniform(-20.0, 20.0), event)

    verdict = compared(recorded(name), map(moved, recorded(name)))
    assert verdict.differences == ()
    assert verdict.sameness in ("same bytes", "same decisions")


@settings(deadline=None, max_examples=15)
@given(names, st.data())
def test_what_is_cut_off_is_never_the_same_bytes(name: str, data: st.DataObject) -> None:
    whole = recorded(name)
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    verdict, mirrored = compared(whole, part), compared(part, whole)
    assert verdict.sameness == mirrored.sameness != "same bytes"
    assert verdict.first_bytes is not None
    lost = {type(entry.event) for entry in whole[len(part) :]}
    if {TurnDecided, TurnEnded, ReplyEnded, BargeInJudged} & lost:
        assert verdict.sameness == "differs"
    assert {(it.subject, repr(it.a), repr(it.b)) for it in verdict.differences} == {
        (it.subject, repr(it.b), repr(it.a)) for it in mirrored.differences
    }


@settings(deadline=None, max_examples=10)
@given(names, st.integers())
def test_what_is_out_of_order_is_read_and_is_not_the_same_bytes(name: str, seed: int) -> None:
    shuffled = list(recorded(name))
    Random(seed).shuffle(shuffled)
    verdict = compared(recorded(name), shuffled)
    same = [entry.event for entry in shuffled] == [entry.event for entry in recorded(name)]
    assert (verdict.sameness == "same bytes") == same


@settings(deadline=None, max_examples=10)
@given(names, st.text(min_size=1, max_size=20), st.sampled_from(["user_text", "agent_text"]))
def test_a_changed_word_is_named_with_its_turn_and_both_values(name: str, text: str, subject: str) -> None:
    entries, before = edited(name, TurnEnded, **{subject: text})
    assert isinstance(before, TurnEnded)
    old = getattr(before, subject)
    expected = [] if text == old else [Difference(before.turn, subject, old, text)]
    assert [*compared(recorded(name), entries).differences] == expected


def test_an_instant_that_moved_by_more_than_a_frame_is_named() -> None:
    entries, before = edited("interruption", Heard, agent_start_ms=5000.0)
    assert isinstance(before, Heard)
    verdict = compared(recorded("interruption"), entries)
    assert verdict.sameness == "differs"
    assert verdict.differences == (Difference(1, "audible_ms", before.agent_start_ms, 5000.0),)


def test_a_cut_and_the_arguments_of_a_call_are_decisions() -> None:
    entries, _ = edited("interruption", BargeInJudged, verdict="false")
    assert [
        (it.turn, it.subject, it.a, it.b) for it in compared(recorded("interruption"), entries).differences
    ] == [(1, "barge_in", "interruption", "false")]
    entries, _ = edited("tool", ToolCalled, arguments='{"city": "Rome"}')
    (call,) = compared(recorded("tool"), entries).differences
    assert (call.turn, call.subject, call.b) == (1, "tool", 'weather({"city": "Rome"})')


def test_a_call_that_is_over_before_its_turn_is_decided_belongs_to_that_turn() -> None:
    early: list[Event] = [
        ReplyStarted(1, 4, None, "and in Rome?", True),
        ToolCalled(1, None, "c1", "weather", "{}"),
        ToolReturned(1, None, "c1", "weather", "It rains."),
        TurnDecided(3, 4),
    ]
    entries = [Entry(i, float(i), event) for i, event in enumerate(early)]
    snows = [*entries]
    snows[2] = Entry(2, 2.0, ToolReturned(1, None, "c1", "weather", "It snows."))
    (difference,) = compared(entries, snows).differences
    assert difference == Difference(3, "tool_result", "It rains.", "It snows.")


def test_how_long_a_part_took_is_no_decision() -> None:
    entries, _ = edited("typed", Span, end_ms=99_999.0)
    verdict = compared(recorded("typed"), entries)
    assert verdict.sameness == "same decisions"
    assert verdict.first_bytes is not None
    assert "99999" in verdict.first_bytes[1]


def test_a_turn_that_only_one_of_them_has_is_one_difference() -> None:
    first = [it for it in recorded("interruption") if getattr(it.event, "turn", None) != 2]
    verdict = compared(recorded("interruption"), first)
    assert verdict.differences == (Difference(2, "turn", "please stop now", None),)


def test_sound_is_compared_sample_by_sample() -> None:
    a, b = (trace(recorded("typed")) for _ in range(2))
    for one, level in ((a, 0), (b, 7)):
        track = one.tracks["agent"] = LiveTrack("agent", 24_000, 1.0)
        track.append(silence(1000))
        track.append(np.full(1, level, np.int16))
    assert compare_traces(a, a).sameness == "same bytes"
    verdict = compare_traces(a, b)
    assert verdict.sameness == "same decisions"
    assert verdict.first_bytes == ("agent: sample 1000 is 0", "agent: sample 1000 is 7")


def test_a_track_that_is_not_there_is_no_decision() -> None:
    a, b = (trace(recorded("typed")) for _ in range(2))
    a.tracks["user"] = LiveTrack("user", 16_000, 1.0)
    assert compare_traces(a, b).first_bytes == ("user: there", "user: none")
