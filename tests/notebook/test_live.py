"""The widget without a page: sessions, traits and messages, in this process."""

from __future__ import annotations

import gc
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.waiting import PATIENCE_S, until
from workbench import Agent, open_session, open_trace
from workbench.config import load_settings
from workbench.model.errors import UsageError
from workbench.model.events import Bookmarked, Notice, SettingChanged, TurnEnded
from workbench.notebook import LiveWidget, launcher, live
from workbench.notebook.message_handler import MOST, MessageHandler
from workbench.notebook.page_links import link_of, open_page_session
from workbench.notebook.widget import page_program, page_style
from workbench.session import Session
from workbench.transports.browser.page import AWAY, GONE, CapturedChunk

AGENT = Agent(instructions="Be brief.", greeting="Hello, I am here.", name="tour")
SCRIPT = {"agent": ["You said: {said}"], "user": ["Hello."]}


def begun(agent: Agent | Session = AGENT, **more: Any) -> LiveWidget:
    wanted = {"profile": "scripted", "source": "none", "sink": "none", "script": SCRIPT, **more}
    return live(agent, **wanted)


@pytest.fixture(autouse=True)
def all_ended() -> Iterator[None]:
    """No session outlives its test."""
    yield
    for widget in launcher.running_widgets():
        widget.end()
    launcher._cells.clear()


def test_observers_of_the_widget_run_in_the_context_of_the_cell_where_their_output_goes() -> None:
    cell: ContextVar[str] = ContextVar("cell", default="lost")
    cell.set("first")
    widget = begun()
    cell.set("second")
    seen: list[str] = []
    widget.observe(lambda _: seen.append(cell.get()), names="lines")
    until(lambda: texts(widget) == ["Hello, I am here."])
    assert set(seen) == {"first"}
    widget.end()


def texts(widget: LiveWidget, who: str = "agent") -> list[str]:
    return [line["text"] for line in widget.lines if line["who"] == who and line["state"] == "done"]


def test_the_cell_returns_at_once_and_the_widget_shows_the_conversation() -> None:
    widget = begun()
    assert not widget.session.over
    until(lambda: texts(widget) == ["Hello, I am here."])
    widget.session.type("How are you?")
    until(lambda: texts(widget)[1:] == ["You said: How are you?"])
    assert texts(widget, "user") == ["How are you?"]
    assert "LiveWidget tour" in repr(widget)
    widget.end()
    until(lambda: widget.activity == "ended")
    assert widget.status["ended"] == "stopped"
    assert open_trace(widget.status["recording"]).end > 10


def test_traits_are_observed_both_ways() -> None:
    widget = begun()
    seen: list[Any] = []
    widget.observe(lambda change: seen.append(change["new"]), names="muted")
    widget.session.mute()
    until(lambda: seen == [True])  # in the watcher's thread, a moment after the trait has its value
    widget.muted = False
    until(lambda: not widget.session._pipeline.muted)  # type: ignore[union-attr]
    until(lambda: seen == [True, False])
    widget.knobs = {**widget.knobs, "turn.silence_ms": 300}
    assert widget.session.settings.turn.silence_ms == 300
    widget.session.set(vad_threshold=0.7)
    until(lambda: widget.knobs["vad.threshold"] == 0.7)
    with pytest.raises(UsageError, match="allowed: ≥ 50"):
        widget.knobs = {**widget.knobs, "turn.silence_ms": -1}
    assert widget.knobs["turn.silence_ms"] == 300
    with pytest.raises(UsageError, match="no knob"):
        widget.knobs = {**widget.knobs, "stt.api_key": "x"}
    assert widget.session.settings.turn.silence_ms == 300


def test_traits_that_are_set_wrong_are_put_back() -> None:
    widget = begun()
    until(lambda: texts(widget))
    whole = dict(widget.knobs)
    widget.knobs = {}
    assert widget.knobs == whole
    widget.knobs = {"turn.silence_ms": 300}
    assert widget.knobs == {**whole, "turn.silence_ms": 300}
    assert widget.session.settings.turn.silence_ms == 300
    widget.knobs = {"turn.silence_ms": "450"}
    assert widget.knobs["turn.silence_ms"] == 450.0
    for latency in ({}, {"points": 3}):
        widget.latency = latency
        assert repr(widget) == "<LiveWidget tour: listening, 0 turns heard>"


def test_a_widget_whose_session_is_over_refuses_what_it_cannot_do_and_pages_make_no_noise() -> None:
    widget = begun()
    before = dict(widget.knobs)
    widget.end()
    until(lambda: widget.activity == "ended")
    with pytest.raises(UsageError, match="the session is over"):
        widget.muted = True
    assert not widget.muted
    with pytest.raises(UsageError, match="the session is over"):
        widget.knobs = {**before, "turn.silence_ms": 300}
    assert widget.knobs == before
    end = widget.session.trace.end
    for message in (
        {"k": "type", "text": "x"},
        {"k": "mute", "on": True},
        {"k": "bookmark", "label": ""},
    ):
        widget._handle(widget, {"page": "abcd", **message}, [])
    widget._handle(widget, "no object", [])
    assert widget.session.trace.end == end


def test_a_line_that_is_cut_ends_with_an_ellipsis() -> None:
    widget = begun(tts_provider="none")
    widget.session.type("x" * 4_000)
    widget.session.type("y" * 5_000)
    until(lambda: len(texts(widget, "user")) == 2)
    assert texts(widget, "user") == ["x" * 4_000, "y" * 3_999 + "…"]


def test_an_observer_that_raises_is_named_and_stops_nobody() -> None:
    widget = begun()
    other = live(widget.session)

    def fails(change: Any) -> None:
        raise ValueError("not today")

    def leaves(change: Any) -> None:
        raise SystemExit(3)

    widget.observe(fails, names="lines")
    widget.observe(leaves, names="muted")
    widget.session.mute()
    until(lambda: widget.muted and other.muted)
    widget.session.type("How are you?")
    until(lambda: "You said: How are you?" in texts(widget) and "You said: How are you?" in texts(other))
    for which, why in (("lines", "ValueError: not today"), ("muted", "SystemExit: 3")):
        told = f"an observer of {which} raised {why}"
        until(lambda told=told: [line for line in widget.lines if told in line["text"]])  # type: ignore[misc]
    notices = [e.event for e in widget.session.trace.since(0) if isinstance(e.event, Notice)]
    assert len([one for one in notices if one.owner == "widget"]) == 2, "each is told once"

    def at_the_end(change: Any) -> None:
        raise ValueError("too late")

    other.observe(at_the_end, names="activity")
    widget.end()
    until(lambda: "too late" in str(other.status["error"]))
    until(lambda: widget.activity == "ended")


def test_an_observer_may_close_the_widget_and_use_the_session() -> None:
    widget = begun()
    gone = threading.Event()

    def close(change: Any) -> None:
        if change["new"] == "ended":
            widget.close()
            gone.set()

    widget.observe(close, names="activity")
    widget.session.stop()
    assert gone.wait(PATIENCE_S)
    again = live(widget.session)
    until(lambda: again.activity == "ended")
    again.close()


def test_what_an_observer_sets_is_done() -> None:
    widget = begun()
    until(lambda: texts(widget))

    def muted_while_it_speaks(change: Any) -> None:
        widget.muted = True
        widget.knobs = {**widget.knobs, "turn.silence_ms": 300}

    widget.observe(muted_while_it_speaks, names="lines")
    widget.session.type("How are you?")
    until(lambda: widget.session._pipeline.muted)  # type: ignore[union-attr]
    until(lambda: widget.session.settings.turn.silence_ms == 300)


def test_a_session_a_cell_and_an_observer_lose_none_of_each_others_changes() -> None:
    widget = begun(tts_provider="none")
    sent: dict[str, Any] = {}
    widget.send_state = lambda key=None: sent.update({key: getattr(widget, key)})

    def set_settings() -> None:
        for value in range(300, 400):
            widget.session.set(turn_silence_ms=value)

    thread = threading.Thread(target=set_settings)
    thread.start()
    for n in range(100):
        widget.muted = n % 2 == 0
    thread.join()
    widget.session.type("How are you?")
    until(lambda: "You said: How are you?" in texts(widget))
    until(lambda: widget.knobs["turn.silence_ms"] == 399 and not widget.muted)
    assert (sent["muted"], sent["knobs"], sent["lines"]) == (widget.muted, widget.knobs, widget.lines)


def test_running_the_cell_again_replaces_the_session() -> None:
    first = begun()
    second = begun()
    assert first.session.over
    assert not second.session.over
    until(lambda: first.activity == "ended")
    assert first.status["ended"] == "replaced by a new one"


def test_a_cell_with_a_mistake_ends_nothing() -> None:
    first = begun()
    for mistake in ({"turn_silnce_ms": 3}, {"profile": "no such"}, {"resume": "/no/such/folder"}):
        with pytest.raises(UsageError):
            begun(**mistake)
    assert not first.session.over


@pytest.fixture
def cell() -> Iterator[Callable[[str], None]]:
    """From now on the cell of that name runs, each time by another request."""
    from IPython.core.interactiveshell import InteractiveShell

    shell, requests = InteractiveShell.instance(), count()

    def runs(name: str) -> None:
        shell.parent_header = {"metadata": {"cellId": name}, "header": {"msg_id": str(next(requests))}}  # type: ignore[attr-defined]

    try:
        yield runs
    finally:
        shell.history_manager.end_session()  # type: ignore[union-attr]
        InteractiveShell.clear_instance()


def test_two_in_one_cell_are_replaced_together(cell: Callable[[str], None]) -> None:
    def run(name: str, n: int) -> list[LiveWidget]:
        cell(name)
        return [begun() for _ in range(n)]

    first, other = run("a", 2), run("b", 1)
    assert not any(widget.session.over for widget in first + other)
    again = run("a", 2)
    assert all(widget.session.over for widget in first)
    assert not any(widget.session.over for widget in again + other)
    assert set(launcher.running_widgets()) == {*again, *other}


def test_running_the_cell_of_one_more_widget_again_leaves_one(cell: Callable[[str], None]) -> None:
    cell("a")
    widget = begun()
    kept: list[weakref.ref[LiveWidget]] = []
    for _ in range(5):
        cell("b")
        kept += [weakref.ref(live(widget.session)) for _ in range(2)]
    gc.collect()
    more = [one for ref in kept if (one := ref()) is not None]
    assert more == [ref() for ref in kept[-2:]]
    assert len(widget._watcher._subscribers) == 3
    assert not widget.session.over
    widget.session.type("How are you?")
    until(lambda: all("You said: How are you?" in texts(one) for one in (widget, *more)))


def test_a_cell_that_shows_what_it_began_ends_it_not(cell: Callable[[str], None]) -> None:
    cell("a")
    widget, other = begun(), begun()
    cell("a")
    more = live(widget.session)
    assert (widget.session.over, other.session.over) == (False, True)
    cell("a")
    again = begun()
    assert widget.session.over
    assert more.comm is None
    assert launcher.running_widgets() == [again]


def test_a_widget_that_is_taken_away_gives_up_the_sound() -> None:
    widget = begun()
    more = live(widget.session)
    page = link_of(widget.session)
    more._handler.handle({"k": "claim", "page": "abcd"}, [])
    widget.leave()
    assert page.owner == "abcd"
    more.leave()
    more.close()
    assert (page.owner or "", page.leave_reason) == ("", AWAY)
    assert not widget.session.over
    for stays, why in ((True, AWAY), (False, GONE)):
        page.claim("abcd")
        widget._handler.handle({"k": "close", "page": "abcd", "stays": stays}, [])
        assert page.leave_reason == why


def test_a_session_without_a_widget_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Session] = []

    def fails(session: Session) -> LiveWidget:
        opened.append(session)
        raise RuntimeError("no comm")

    monkeypatch.setattr(launcher, "LiveWidget", fails)
    with pytest.raises(RuntimeError, match="no comm"):
        begun()
    assert opened[0].over
    assert launcher.running_widgets() == []


def test_replaced_widgets_are_let_go() -> None:
    """ipywidgets keeps each until it is closed, with its session, events and sound."""
    widgets = [begun() for _ in range(3)]
    kept: list[weakref.ref[Any]] = [
        weakref.ref(one) for widget in widgets for one in (widget, widget.session)
    ]
    left = {widgets[-1], widgets[-1].session}
    widgets.clear()

    def alive() -> set[Any]:
        gc.collect()
        return {one for ref in kept if (one := ref()) is not None}

    until(lambda: alive() == left)


def test_many_widgets_on_one_session_show_the_same() -> None:
    first = begun()
    others = [live(first.session), live(first), *(live(first.session) for _ in range(7))]
    assert all(widget.session is first.session for widget in others)
    first.session.type("How are you?")
    until(lambda: all("You said: How are you?" in texts(widget) for widget in others))
    others[0].muted = True
    until(lambda: all(widget.muted for widget in (first, *others)))
    assert not first.session.over


def test_a_conversation_is_taken_up_again() -> None:
    first = begun()
    until(lambda: texts(first))
    first.session.set(turn_silence_ms=300)
    first.session.type("My name is Ada.")
    until(lambda: [entry for entry in first.session.trace.since(0) if isinstance(entry.event, TurnEnded)])
    first.end()
    again = begun(resume=True)
    said = [(message.role, message.text) for message in again.session.conversation.messages]
    assert said == [
        ("assistant", "Hello, I am here."),
        ("user", "My name is Ada."),
        ("assistant", "You said: My name is Ada."),
    ]
    assert again.session.settings.turn.silence_ms == 300
    assert [e for e in again.session.trace.since(0) if isinstance(e.event, SettingChanged)]
    again.session.type("And now?")
    until(lambda: texts(again)[2:] == ["You said: And now?"])  # no second greeting
    by_path = begun(resume=first.status["recording"])
    assert len(by_path.session.conversation.messages) == 3
    by_path.end()
    again.end()
    third = begun(resume=again.status["recording"])
    assert [message.text for message in third.session.conversation.messages] == [
        "Hello, I am here.",
        "My name is Ada.",
        "You said: My name is Ada.",
        "And now?",
        "You said: And now?",
    ]
    fourth = begun(resume=True)  # of the third one, in which nothing was said: it is ended first, and whole
    assert len(fourth.session.conversation.messages) == 5
    until(lambda: len(fourth.lines) == 5)
    assert [line["who"] for line in fourth.lines] == ["agent", "user", "agent", "user", "agent"]


def test_what_cannot_be_used_is_said(tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="no Agent but str"):
        live("agent.py")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="silence_mss"):
        begun(turn_silence_mss=1)
    with pytest.raises(UsageError, match="there is no recording"):
        begun(resume=True, record_dir=tmp_path)
    with pytest.raises(UsageError, match="leave out"):
        live(AGENT, settings=load_settings({"profile": "scripted"}), turn_silence_ms=3)
    with pytest.raises(UsageError, match="a room is source and sink at once"):
        begun(room="demo")
    nowhere = live(AGENT, room="demo", profile="scripted")
    assert "no LiveKit server" in until(lambda: nowhere.status["error"])[0]
    absent = begun(source="no such file.wav")
    error = until(lambda: absent.status["error"])
    assert "no such file.wav" in error[0]


def test_a_browser_is_needed_for_its_microphone() -> None:
    with (
        pytest.raises(UsageError, match=r"live\(agent\)"),
        open_session(load_settings({"profile": "scripted", "audio.source": "browser"})) as session,
    ):
        session.wait(PATIENCE_S)


def test_the_page_gets_one_program_that_fetches_nothing() -> None:
    program, style = page_program(), page_style()
    assert "export default" in program
    for word in ("http://", "importScripts", "fetch(", "XMLHttpRequest", "innerHTML =", "insertAdjacentHTML"):
        assert word not in program.replace("https://github.com", "")
    assert "@import" not in style
    assert "url(" not in style


# --- messages of pages -----------------------------------------------------------------------------------------------

SANE: dict[str, dict[str, Any]] = {
    "hello": {},
    "ping": {"t": 1.5},
    "claim": {},
    "capture": {"on": True, "n": 1, "device": "x", "echo": True},
    "audio": {"n": 1, "at": 0, "t": 1, "rate": 48000},
    "play": {"on": True},
    "played": {"at": 0, "t": 5},
    "delays": {"network": 1, "output": 20, "total": 80, "underruns": 0},
    "trouble": {"code": "denied", "detail": ""},
    "mute": {"on": True},
    "type": {"text": "Hello."},
    "set": {"name": "turn.silence_ms", "value": 400},
    "release": {},
    "close": {"stays": True},
}
FIELDS = ["page", "k", "on", "t", "at", "n", "rate", "self", "buffers", "text", "name", "value", "device"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def quiet() -> Iterator[Session]:
    settings = load_settings(
        {"profile": "scripted", "audio.source": "none", "audio.sink": "none", "record.enabled": False}
    )
    with open_page_session(settings, None) as session:
        yield session


@given(
    kind=st.sampled_from(sorted(SANE)) | st.text(max_size=8),
    twist=st.dictionaries(
        st.sampled_from(FIELDS),
        JSON,
    ),
    buffers=st.lists(st.binary(max_size=9) | st.none(), max_size=2),
)
def test_no_message_of_a_page_does_harm(quiet: Session, kind: str, twist: Any, buffers: list[Any]) -> None:
    sent: list[Any] = []
    handler = MessageHandler(quiet, link_of(quiet), lambda content, _: sent.append(content))
    handler.handle({"k": kind, "page": "abcd", **SANE.get(kind, {}), **twist}, buffers)
    handler.handle(twist, buffers)
    assert not quiet.over
    json.dumps(sent, allow_nan=False)


def test_a_message_that_cannot_be_used_is_told_once(quiet: Session) -> None:
    handler = MessageHandler(quiet, link_of(quiet), lambda content, _: None)
    before = quiet.trace.end
    for content in (
        "no object",
        {"k": "ping"},
        {"k": "type", "page": "abcd", "text": "x" * 5000},
        {"k": "set", "page": "abcd", "name": "llm.api_key", "value": 1},
        {"k": "audio", "page": "abcd", **SANE["audio"], "rate": 10**9},
        {"k": "ping", "page": "abcd", "t": -(10**400)},
        {"k": "audio", "page": "abcd", **SANE["audio"], "n": 10**400},
    ):
        handler.handle(content, [])
    notices = [e.event for e in quiet.trace.since(before) if isinstance(e.event, Notice)]
    assert [notice.reason for notice in notices] == ["a message of the page cannot be used: it is no object"]


def test_a_flood_is_bounded_and_told_once(quiet: Session) -> None:
    handler = MessageHandler(quiet, link_of(quiet), lambda content, _: None)
    before = quiet.trace.end
    for n in range(1000):
        handler.handle({"k": "bookmark", "page": "abcd", "label": str(n)}, [])
        handler.handle({"k": "trouble", "page": "abcd", **SANE["trouble"]}, [])
        handler.handle({"k": "ping", "page": "abcd", "t": n}, [])
    events = [e.event for e in quiet.trace.since(before)]
    assert len([event for event in events if isinstance(event, Bookmarked)]) == MOST // 2
    told = [event.reason for event in events if isinstance(event, Notice) and event.level == "warning"]
    assert len(told) == 1
    assert "more than 200" in told[0]


def test_only_sound_of_the_right_size_is_taken(quiet: Session) -> None:
    link = link_of(quiet)
    heard: list[CapturedChunk] = []
    handler = MessageHandler(quiet, link, lambda content, _: None)
    link.on_chunk = heard.append
    now = time.monotonic() * 1000
    handler.handle({"k": "claim", "page": "abcd"}, [])
    handler.handle({"k": "capture", "page": "abcd", "on": True, "n": 1, "device": "<b>a</b>\x1b[2J"}, [])
    assert link.capture is not None
    assert "\x1b" not in link.capture
    fields = {"k": "audio", "page": "abcd", "n": 1, "at": 0, "rate": 16000}
    handler.handle(
        {**fields, "t": now + 10**6}, [memoryview(b"\0\1" * 320)]
    )  # from the future: it came just now
    for data in (b"", b"\0", b"\0" * 100_000):
        handler.handle({**fields, "t": now}, [data])
    handler.handle({**fields, "t": now, "n": 2}, [b"\0\1"])  # of a capture that was not told of
    assert len(heard) == 1
    assert heard[0].ended_at <= time.monotonic()
    assert heard[0].samples.tolist() == [256] * 320
