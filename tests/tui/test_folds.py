"""The folds behind the screen: no Textual here."""

from __future__ import annotations

import pytest

from tests.tui.acted import FakeSession, conversation
from workbench.model import events as ev
from workbench.model.events import Entry
from workbench.readers.folds.conversation import KEPT, ConversationFold, ConversationLine
from workbench.readers.folds.log import log_line
from workbench.readers.folds.thinking import ThinkingFold
from workbench.views.screen import ScreenFold


def folded(*events: ev.Event) -> ScreenFold:
    """The screen after these."""
    fold = ScreenFold()
    for i, event in enumerate(events):
        fold.feed(Entry(i, float(i), event))
    return fold


def said(*events: ev.Event) -> list[tuple[str, str, str]]:
    """Who, state and text of each line."""
    return [(line.who, line.state, line.text) for line in folded(*events).lines]


def test_partial_transcripts_grow_in_one_line() -> None:
    spoken: list[ev.Event] = [
        ev.SpeechStarted(1, 0),
        ev.Transcribed(1, "what", False, 0),
        ev.Transcribed(1, "what is", False, 0),
    ]
    assert said(*spoken) == [("user", "partial", "what is")]
    assert said(*spoken, ev.Transcribed(1, "What is it?", True, 0)) == [("user", "done", "What is it?")]


def test_a_dismissed_utterance_disappears() -> None:
    assert said(ev.Transcribed(1, "mhm", False, 0), ev.UtteranceDismissed(1, "backchannel")) == []


def test_typed_text_appears_with_its_reply() -> None:
    decided, reply = ev.TurnDecided(1, 1, typed=True), ev.ReplyStarted(1, 1, 1, "hello", False)
    answer = ev.ReplyText(1, 1, "Hi.", "Hi.")
    talk = [("user", "done", "hello"), ("agent", "prepared", "Hi.")]
    assert said(decided, reply, answer) == talk
    assert said(reply, decided, answer) == talk


def test_a_greeting_has_no_line_of_the_user() -> None:
    assert said(ev.ReplyStarted(1, None, None, "", False), ev.ReplyText(1, None, "Hello!", "")) == [
        ("agent", "prepared", "Hello!")
    ]


def test_a_reply_is_prepared_then_speaking_then_done() -> None:
    reply: list[ev.Event] = [
        ev.ReplyStarted(7, None, None, "", True),
        ev.ReplyText(7, None, "One.", ""),
        ev.ReplyText(7, 1, "Two.", ""),
    ]
    assert said(*reply) == [("agent", "prepared", "One. Two.")]
    assert said(*reply, ev.ReplyPlaying(7, 1, 0)) == [("agent", "speaking", "One. Two.")]
    fold = folded(*reply, ev.ReplyPlaying(7, 1, 0), ev.ReplyEnded(7, 1, "cut", "One.", "Two.", 9, True))
    assert fold.lines == (ConversationLine("r7", "agent", "cut", "One.", "Two.", turn=1, estimated=True),)


def test_a_discarded_reply_disappears() -> None:
    reply: list[ev.Event] = [ev.ReplyStarted(7, None, None, "", True), ev.ReplyText(7, None, "One.", "")]
    assert said(*reply, ev.ReplyDiscarded(7, 1, "the user went on", 0.4, 12)) == []


def test_a_failed_turn_shows_stage_reason_and_hint() -> None:
    fold = folded(
        ev.TurnDecided(1, 1),
        ev.TurnEnded(1, "failed", "hello", "", stage="tts", reason="401", hint="set a key"),
    )
    assert [(line.text, line.hint) for line in fold.lines] == [
        ("hello", ""),
        ("tts failed: 401", "set a key"),
    ]


def test_a_repeated_notice_is_shown_once() -> None:
    notice = ev.Notice("warning", "sink", "glitch", "close other programs")
    assert said(notice, notice) == [("note", "warning", "sink: glitch")]
    assert said(ev.Notice("info", "host", "all well")) == []


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (ev.DeviceLost("mic", "USB mic", "unplugged", "plug it in"), "USB mic is gone: unplugged"),
        (ev.DuplexChanged("half", "echo is not under control"), "half duplex: echo is not under control"),
        (ev.BreakerChanged("llm", "openai/x", "open", 15_000), "llm: openai/x failed too often"),
        (ev.ProviderWarmed("stt", "openai/x", 9, "401"), "stt: openai/x did not warm up: 401"),
        (ev.Bookmarked("here"), "bookmark here"),
        (ev.SessionEnded("source ended"), "session ended: source ended"),
    ],
)
def test_notices_and_lost_devices_are_lines_of_the_conversation(event: ev.Event, text: str) -> None:
    assert [line.text for line in folded(event).lines] == [text]


def test_old_lines_of_a_live_conversation_are_dropped() -> None:
    fold = folded(*(ev.Transcribed(n, "word", True, 0) for n in range(KEPT + 50)))
    assert len(fold.lines) == KEPT
    assert fold.lines[-1].key == f"u{KEPT + 49}"


def test_activity_is_one_word() -> None:
    story: list[tuple[ev.Event, str]] = [
        (ev.SessionStarted("1", "", "", "", {}, {}), "starting"),
        (ev.ListeningStarted(), "listening"),
        (ev.SpeechStarted(1, 0), "hearing"),
        (ev.SpeechPaused(1, 0), "hearing"),
        (ev.TurnDecided(1, 1), "thinking"),
        (ev.ReplyPlaying(1, 1, 0), "speaking"),
        (ev.ReplyEnded(1, 1, "done", "", ""), "listening"),
        (ev.Muted(True), "muted"),
        (ev.Muted(False), "listening"),
        (ev.SessionEnded("stopped"), "ended"),
    ]
    fold = ScreenFold()
    for i, (event, activity) in enumerate(story):
        fold.feed(Entry(i, 0.0, event))
        assert fold.activity == activity


def test_levels_are_those_of_the_track_after_echo_cancellation() -> None:
    raw, clean = ev.Levels("mic", 0, -20, -10), ev.Levels("user", 0, -50, -40)
    assert folded(raw).levels.user_db == -20
    assert folded(raw, clean, raw).levels.user_db == -50
    assert folded(ev.Levels("agent", 0, -30, -25)).levels.agent_peak_db == -25


def test_a_provider_shows_its_trouble_until_it_works_again() -> None:
    start = ev.SessionStarted("1", "", "p", "a", {"llm": "x/y"}, {})
    assert folded(start).status.providers["llm"].warm_ms is None
    assert (
        folded(start, ev.BreakerChanged("llm", "x/y", "half_open")).status.providers["llm"].trouble
        == "breaker half open"
    )
    assert folded(start, ev.BreakerChanged("llm", "x/y", "closed")).status.providers["llm"].trouble == ""
    cold, work = ev.ProviderWarmed("llm", "x/y", 9, "401"), ev.Span("llm_first_token", 0, 9, provider="x/y")
    assert folded(start, cold).status.providers["llm"].trouble == "401"
    assert folded(start, cold, work).status.providers["llm"].trouble == ""
    assert folded(start, ev.Swapped("llm", "z")).status.providers["llm"].name == "z"
    assert folded(start, ev.Swapped("agent", "b")).status.agent == "b"


def test_cold_and_cut_turns_are_not_in_the_percentiles() -> None:
    session = FakeSession()
    conversation(session)
    fold = ScreenFold(session.trace)
    fold.read()
    kinds = [point.kind for point in fold.history.points]
    assert (kinds[0], kinds[-1], fold.history.n) == ("cold", "cut", 9)
    heard = {line.turn: line.heard_ms for line in fold.lines if line.who == "agent"}
    assert heard[2] == pytest.approx(604)


def test_log_lines_are_plain_and_short() -> None:
    line = log_line(Entry(3, 1234.5, ev.Notice("error", "llm", "\x1b[31mno\nanswer", "")))
    assert line == "1.234 notice level=error owner=llm reason='no answer'"
    assert log_line(Entry(4, 0.0, ev.Levels("mic", 0, 0, 0))) is None
    assert (
        log_line(Entry(5, 0.0, ev.TurnDecided(1, 2, True)))
        == "0.000 turn_decided turn=1 utterance=2 typed=yes waited_ms=0.0"
    )


def test_a_room_and_how_the_connection_stands() -> None:
    def after(*events: ev.Event) -> str:
        room = folded(*events).status.room
        return "" if room is None else f"{room.name} {room.word}"

    first, second = ev.RoomConnection("demo", "connecting", attempt=1), ev.RoomConnection("demo", "connected")
    assert after() == ""
    assert after(first) == "demo connecting"
    assert after(first, second) == "demo connected"
    again = ev.RoomConnection("demo", "reconnecting", "cannot be reached", attempt=3)
    assert after(first, second, again) == "demo reconnecting (3)"
    assert after(again, ev.RoomConnection("demo", "lost", "cannot be reached", attempt=4)) == "demo lost"


def test_work_that_nobody_hears_is_a_line_while_it_lasts_and_thinking_stays_if_it_is_wanted() -> None:
    fold = ConversationFold()

    def lines(*events: ev.Event) -> list[str]:
        for event in events:
            fold.feed(Entry(0, 0.0, event))
        return [line.text for line in fold.lines]

    assert lines(ev.ReplyProgress(1, 1, "thinking", 1234)) == ["thinks (1,234 characters)"]
    assert lines(ev.ReplyProgress(1, 1, "arguments", 50)) == ["thinks (1,234 characters)"]
    assert lines(ev.ReplyProgress(1, 1, "arguments", 5000)) == [
        "writes what a tool is called with (5,000 characters)"
    ]
    assert lines(ev.ReplyText(1, 1, "Fine.", "Fine.")) == ["Fine."]
    lines(
        ev.ReplyProgress(2, 2, "thinking", 9, "They ask."),
        ev.ReplyProgress(2, 2, "thinking", 18, " Be kind."),
    )
    assert lines(ev.ReplyText(2, 2, "Well.", "Well.")) == ["Fine.", "thinks: They ask. Be kind.", "Well."]
    assert (
        lines(ev.ReplyProgress(3, None, "thinking", 5), ev.ReplyDiscarded(3, None, "", 0.0, 0))[-1] == "Well."
    )


def test_the_thinking_of_a_turn_is_taken_once() -> None:
    fold = ThinkingFold()
    events: list[ev.Event] = [
        ev.ReplyProgress(1, None, "thinking", 2, "No"),
        ev.ReplyDiscarded(1, None, "", 0.0, 0),
        ev.ReplyProgress(2, None, "thinking", 5, "They "),
        ev.ReplyProgress(2, None, "thinking", 8, "ask"),
        ev.ReplyPlaying(2, 7, 0),
    ]
    for event in events:
        fold.feed(Entry(0, 0.0, event))
    assert [fold.take(7), fold.take(7), fold.take(1)] == ["They ask", "", ""]
