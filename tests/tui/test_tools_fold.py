"""Calls of tools as the screen knows them: no Textual here."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.acted import SUNNY, WEATHER, FakeSession, tool_turn, tools_started
from workbench.model import events as ev
from workbench.model.events import Entry, Event
from workbench.readers.folds.calls import CallRecord, CallSpan, outcome, pretty, seconds, signature, trouble
from workbench.readers.folds.conversation import ConversationLine
from workbench.readers.folds.log import log_line
from workbench.readers.folds.tools import KEPT, KEPT_CHARS, ToolsFold
from workbench.tui.recording import Recording
from workbench.views.screen import ScreenFold


def folded(*events: Event, step_ms: float = 10.0) -> ToolsFold:
    """The tools after these, one each 10 ms."""
    fold = ToolsFold()
    for i, event in enumerate(events):
        fold.feed(Entry(i, step_ms * i, event))
    return fold


CALLED = ev.ToolCalled(1, None, "a", "weather", WEATHER)
STARTED = ev.ToolStarted(1, None, "a", "weather")
RETURNED = ev.ToolReturned(1, None, "a", "weather", SUNNY, took_ms=9.0)


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([CALLED], "pending"),
        ([CALLED, STARTED], "running"),
        ([CALLED, STARTED, RETURNED], "done"),
        (
            [CALLED, STARTED, ev.ToolReturned(1, None, "a", "weather", "", "no", "failed")],
            "failed",
        ),
        ([CALLED, STARTED, ev.ToolReturned(1, None, "a", "weather", "", None, "cancelled")], "cancelled"),
        ([CALLED, ev.ToolReturned(1, None, "a", "weather", "", None, "discarded")], "discarded"),
        ([CALLED, ev.ReplyDiscarded(1, 1, "the user went on", 0.1, 3)], "discarded"),
        ([CALLED, ev.ReplyDiscarded(2, 1, "another answer", 0.1, 3)], "pending"),
        ([CALLED, STARTED, ev.ReplyDiscarded(1, 1, "the user went on", 0.1, 3)], "running"),
        ([CALLED, STARTED, ev.SessionEnded("stopped")], "cancelled"),
        ([CALLED, STARTED, RETURNED, ev.SessionEnded("stopped")], "done"),
    ],
)
def test_a_call_goes_through_its_states(events: list[Event], state: str) -> None:
    assert [call.state for call in folded(*events).now.calls] == [state]


def test_a_call_keeps_arguments_result_and_progress() -> None:
    again = ev.ToolStarted(1, None, "a", "weather", attempt=2, mocked=True)
    progress = ev.ToolProgressed(1, None, "a", "weather", "asking", 0.4)
    returned = ev.ToolReturned(1, 3, "a", "weather", SUNNY, took_ms=9.0, shown=20)
    (call,) = folded(CALLED, STARTED, progress, again, returned).now.calls
    assert call == CallRecord(
        "a", "weather", WEATHER, "done", 1, 3, 0.0, 10.0, 40.0, 9.0, 2, True, "asking", 0.4, SUNNY, len(SUNNY), "", 20,
    )  # fmt: skip
    assert call.spent_ms(1000.0) == 9.0


def test_the_time_of_a_running_call_grows() -> None:
    (call,) = folded(CALLED, STARTED).now.calls
    assert (call.spent_ms(510.0), outcome(call, 510.0)) == (500.0, "running 500 ms")
    assert folded(CALLED).now.calls[0].spent_ms(500.0) is None


def test_events_of_an_unknown_call_are_shown_too() -> None:
    assert [(call.name, call.state) for call in folded(RETURNED).now.calls] == [("weather", "done")]
    assert folded(RETURNED).now.calls[0].took_ms is None


def test_the_place_of_a_call_is_counted_from_the_end_of_speech() -> None:
    started = ev.ReplyStarted(1, 7, None, "hm", True)
    decided = ev.TurnDecided(3, 7, waited_ms=30.0)
    fold = folded(started, CALLED, STARTED, RETURNED)
    assert fold.now.calls[0].place is None
    changed = fold.feed(Entry(4, 50.0, decided))
    assert [(call.turn, call.place) for call in changed] == [(3, CallSpan(0.0, 10.0))]
    (call,) = fold.feed(Entry(5, 90.0, ev.Heard(3, 0, 5.0, 0, 85.0)))
    assert call.place == CallSpan(15.0, 25.0, 80.0)
    assert fold.feed(Entry(6, 91.0, ev.Heard(3, 0, 5.0, 0, 85.0))) == ()
    assert fold.now.of(3) == (call,)
    assert fold.now.of(4) == ()


def test_a_typed_turn_counts_from_when_it_was_typed() -> None:
    decided, heard = ev.TurnDecided(1, 1, typed=True), ev.Heard(1, None, None, 0, 95.0)
    fold = folded(
        decided, ev.ToolCalled(1, 1, "a", "weather", "{}"), ev.ToolStarted(1, 1, "a", "weather"), heard
    )
    assert fold.now.calls[0].place == CallSpan(20.0, None, 95.0, typed=True)


def test_discarded_calls_are_no_part_of_the_turn() -> None:
    fold = folded(
        ev.ReplyStarted(1, 7, 3, "", True), ev.TurnDecided(3, 7), CALLED, ev.ReplyDiscarded(1, 7, "", 0, 0)
    )
    assert fold.now.calls[0].turn == 3
    assert fold.now.of(3) == ()


def test_the_developers_call_belongs_to_no_turn() -> None:
    called = ev.ToolCalled(None, None, "a", "weather", "{}")
    (call,) = folded(ev.TurnDecided(1, 1), called, ev.ReplyDiscarded(1, 1, "", 0, 0)).now.calls
    assert (call.state, call.turn, call.place) == ("pending", None, None)


def test_tools_and_mocks_follow_the_trace() -> None:
    fold = folded(
        ev.ToolsChanged(("a", "b"), "from the agent"), ev.ToolMocked("a", "1"), ev.ToolMocked("b", "")
    )
    assert (fold.now.names, fold.now.mocks) == (("a", "b"), {"a": "1", "b": ""})
    before = fold.now
    fold.feed(Entry(3, 0.0, ev.ToolMocked("a", None)))
    assert (fold.now.mocks, before.mocks) == ({"b": ""}, {"a": "1", "b": ""})
    assert fold.now is fold.now


def test_old_calls_are_dropped() -> None:
    fold = folded(*(ev.ToolCalled(1, 1, str(n), "weather", "x" * 2 * KEPT_CHARS) for n in range(KEPT + 5)))
    assert [len(fold.now.calls), fold.now.calls[0].key] == [KEPT, "5"]
    assert len(fold.now.calls[0].arguments) == KEPT_CHARS
    (call,) = folded(ev.ToolReturned(1, 1, "a", "w", "x" * 2 * KEPT_CHARS)).now.calls
    assert (len(call.result), call.result_chars) == (KEPT_CHARS, 2 * KEPT_CHARS)


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (WEATHER, 'weather(city="Oslo", days=3)'),
        ("{}", "weather()"),
        ("", "weather()"),
        ("[1, 2]", "weather([1, 2])"),
        ('{"a":', 'weather({"a":)'),
        ('{"a": "\\u001b[2J\\n"}', r'weather(a="\u001b[2J\n")'),
        ("\x1b[31mred", "weather(red)"),
    ],
)
def test_a_signature_is_one_safe_line(arguments: str, told: str) -> None:
    assert signature(CallRecord("a", "weather", arguments)) == told


@given(
    st.text(), st.text() | st.dictionaries(st.text(), st.text() | st.integers() | st.none()).map(json.dumps)
)
def test_no_text_breaks_a_line(name: str, text: str) -> None:
    call = CallRecord("a", name, text, result=text)
    assert len(signature(call, 40)) <= 40
    for told in (signature(call), pretty(text), trouble(text)):
        assert not set(told) & set("\x1b\x07\x9b\r\t\u202e")
    assert "\n" not in signature(call)


def test_json_that_is_deep_or_huge_is_shown_as_it_is() -> None:
    deep, huge = "[" * 5_000, json.dumps({"a": "b" * 30_000})
    assert signature(CallRecord("a", "w", deep), 10) == "w([[[[[[[…"
    assert pretty(huge).endswith("…")
    assert len(pretty(huge)) < 2_100
    assert trouble("[" * 200_000) == "nested too deep"
    assert "digits" in trouble("1" * 5_000)


def test_json_is_indented() -> None:
    assert pretty(WEATHER) == WEATHER
    assert pretty(WEATHER, width=10) == '{\n  "city": "Oslo",\n  "days": 3\n}'
    assert pretty("no json\nat all") == "no json\nat all"
    assert pretty("\n".join("abc"), lines=2) == "a\nb\n…"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ""),
        ('{"a": 1}', ""),
        ("[]", "arguments are an object: write { … }"),
        ('{\n"a" 1}', "line 2, column 5: expecting ':' delimiter"),
    ],
)
def test_problems_of_arguments_are_named(text: str, told: str) -> None:
    assert trouble(text) == told


def test_times_are_in_the_unit_that_suits_them() -> None:
    assert [seconds(ms) for ms in (0, 999.4, 999.6, 1234, 59_949, 125_000)] == [
        "0 ms", "999 ms", "1.0 s", "1.2 s", "59.9 s", "2:05 min",
    ]  # fmt: skip


# --- in the conversation, in the waterfall, in the log --------------------------------------------------------------


def screen(*events: Event) -> ScreenFold:
    fold = ScreenFold()
    for i, event in enumerate(events):
        fold.feed(Entry(i, 10.0 * i, event))
    return fold


def said(*events: Event) -> list[tuple[str, str]]:
    return [(line.who, line.text) for line in screen(*events).lines]


REPLY = ev.ReplyStarted(1, None, None, "", True)
ANSWER = ev.ReplyText(1, None, "It is clear.", "")


def test_a_call_is_a_line_before_the_answer_made_with_it() -> None:
    running = [("tool", 'weather(city="Oslo", days=3) → …')]
    done = [("tool", 'weather(city="Oslo", days=3) → 9 ms')]
    assert said(REPLY, CALLED) == []
    assert said(REPLY, CALLED, STARTED) == running
    assert said(REPLY, CALLED, STARTED, RETURNED, ANSWER) == [*done, ("agent", "It is clear.")]
    assert said(REPLY, ANSWER, CALLED, STARTED, RETURNED) == [("agent", "It is clear."), *done]
    assert said(REPLY, CALLED, STARTED, ev.ToolReturned(1, 1, "a", "weather", "", None, "discarded")) == []


def test_a_failed_call_shows_why() -> None:
    failed = ev.ToolReturned(1, 2, "a", "weather", "", "no such city", "failed", 9.0)
    mocked = ev.ToolStarted(1, None, "a", "weather", mocked=True)
    told = 'weather(city="Oslo", days=3) → ✗ failed 9 ms: no such city (mocked)'
    assert screen(CALLED, mocked, failed).lines == (ConversationLine("ca", "tool", "info", told, turn=2),)


def test_failures_of_plugins_and_mocks_are_notes() -> None:
    failed = ev.PluginFailed("jokes", "workbench_before_llm", "it took 260 ms", 260.0)
    (line,) = screen(failed).lines
    assert (line.state, line.text) == ("warning", "plugin jokes: workbench_before_llm: it took 260 ms")
    assert said(ev.ToolMocked("weather", "1"), ev.ToolMocked("weather", None)) == [
        ("note", "weather is mocked from now on"),
        ("note", "weather is run again"),
    ]


def test_log_lines_of_tools_are_short() -> None:
    returned = ev.ToolReturned(1, 2, "a", "weather", "x" * 1_000_000, took_ms=9.0)
    line = log_line(Entry(0, 0.0, returned)) or ""
    assert line.startswith("0.000 tool_returned reply=1 turn=2 call=a name=weather result=xxx")
    assert line.endswith("… status=done took_ms=9.0")
    assert len(line) < 400
    changed = ev.ToolsChanged(("weather", "book_table"), "from the agent")
    assert (
        log_line(Entry(0, 0.0, changed))
        == "0.000 tools_changed names=weather, book_table reason='from the agent'"
    )


def test_a_recording_has_its_calls_in_their_turns() -> None:
    session = FakeSession()
    tools_started(session)
    tool_turn(session, 1)
    tool_turn(session, 2)
    session.trace.close()
    recording = Recording(session.trace).read()
    assert [call.key for call in recording.tools.of(2)] == ["2a", "2b"]
    places = [call.place for call in recording.tools.of(2)]
    assert places == [CallSpan(442.0, 850.0, 1400.0), CallSpan(860.0, 1190.0, 1400.0)]
    tools = recording.turns[1].lanes_ms["tools"]
    assert all(place and tools[0] <= place.start_ms <= (place.end_ms or 0) <= tools[1] for place in places)
