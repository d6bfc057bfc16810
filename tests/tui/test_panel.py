"""The tool panel, its dialogs, and the panels of plugins: what a person sees and does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Select, Static, TextArea

from tests.tui.acted import SUNNY, FakeSession, spoken_turn, tool_turn, tools_started
from tests.tui.staged import SMALL, USUAL, WIDE, Stage, live, run, staged
from workbench.model import events as ev
from workbench.model.errors import UsageError
from workbench.model.events import Entry
from workbench.readers.folds.tools import KEPT
from workbench.spi import Panel
from workbench.tui.live import LiveScreen
from workbench.tui.panels import PanelSwitcher
from workbench.tui.replay import ReplayScreen
from workbench.tui.tool_dialog import ToolDialog
from workbench.tui.widgets.tool_panel import CallList

HOSTILE = '\x1b[2J\x1b]0;owned\x07[red]Hello[/red] \u202egnp.exe\u202c [@click=app.quit]x[/] $error \\[b]"'


def running(session: FakeSession) -> None:
    """A call that is under way, and one that waits."""
    session.at(session.clock.ms + 500, ev.TurnDecided(9, 9, True), ev.ReplyStarted(90, 9, 9, "Paris?", False))
    session.at(session.clock.ms, ev.ToolCalled(90, 9, "9a", "weather", '{"city": "Paris"}'))
    session.at(session.clock.ms, ev.ToolStarted(90, 9, "9a", "weather", 2))
    session.at(session.clock.ms + 1400, ev.ToolProgressed(90, 9, "9a", "weather", "asking", 0.4))
    session.at(session.clock.ms, ev.ToolCalled(90, 9, "9b", "book_table", '{"people": 4}'))


def test_the_first_call_opens_the_panel_where_there_is_room() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, WIDE) as stage:
            tools_started(session)
            spoken_turn(session, 1, "Hello?", "Hello.")
            await stage.shows("Hello.")
            assert "book_table" not in stage.text
            tool_turn(session, 2)
            running(session)
            await stage.shows(
                "2 tools", '✓ weather(city="Oslo', "✗ book_table(", "failed 330 ms", "◐ weather(", "40 % 1.4 s",
                "◌ book_table(peop", "◌ book_table  pending", "turn 9 · 1.4 s after typing", '{"people": 4}', "p50",
            )  # fmt: skip
            await stage.pilot.press("up")
            await stage.shows("◐ weather  running  1.4 s  attempt 2", "40 %  asking")
            await stage.pilot.press("up")
            await stage.shows("✗ book_table  failed  330 ms", "there is no table for 2")
            await stage.pilot.press("up")
            await stage.shows("turn 2 · 442 to 850 ms after speech", "▶ 1.4 s", '"sky": "clear"')

    run(scene())


def test_the_panel_does_not_open_by_itself_after_the_user_closed_it() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, WIDE) as stage:
            tools_started(session)
            await stage.shows("● Listening")
            await stage.pilot.press("ctrl+g")
            await stage.shows("No tool was called yet. There are:", "weather, book_table")
            await stage.pilot.press("ctrl+g")
            await stage.until(lambda: "No tool was called" not in stage.text)
            tool_turn(session, 1)
            await stage.shows("is free.")
            await stage.pilot.pause(0.2)
            assert stage.app.screen.query_one(PanelSwitcher).current is None

    run(scene())


@pytest.mark.parametrize("size", [WIDE, USUAL, SMALL], ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_key_opens_and_closes_it_at_every_size(size: tuple[int, int]) -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, size) as stage:
            tools_started(session)
            tool_turn(session, 1)
            await stage.shows("is free.")
            if size == WIDE:  # it has opened by itself
                await stage.pilot.press("ctrl+g")
                await stage.until(lambda: stage.app.screen.query_one(PanelSwitcher).current is None)
            elif size == USUAL:
                await stage.shows("endpointing", "✓ weather   ", "heard after")
            await stage.pilot.press("f2" if size == USUAL else "ctrl+g")
            await stage.shows("✗ book_table  failed", "✓ weather(", "✗ book_table(")
            assert len(stage.rows) == size[1]
            await stage.pilot.press(*"hi", "enter")  # typing goes on beside it
            await stage.until(lambda: ("type", "hi") in session.told)
            await stage.pilot.press("ctrl+g")
            await stage.until(lambda: "✗ book_table  failed" not in stage.text)

    run(scene())


def test_the_newest_call_is_followed_until_another_is_chosen() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, WIDE) as stage:
            tools_started(session)
            tool_turn(session, 1)
            await stage.shows("✗ book_table  failed")
            await stage.pilot.press("up")
            await stage.shows("✓ weather  done")
            running(session)
            await stage.shows("◐ weather(")
            assert "✓ weather  done" in stage.text
            await stage.pilot.press("down", "down", "down")
            await stage.shows("◌ book_table  pending")
            session.at(session.clock.ms, ev.ToolCalled(None, None, "x", "weather", '{"city": "Rome"}'))
            await stage.shows("◌ weather  pending  by you", '{"city": "Rome"}')
            await stage.pilot.click("CallList", offset=(5, 0))
            await stage.shows("✓ weather  done")

    run(scene())


def test_old_calls_scroll_out_of_memory() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, USUAL) as stage:
            tools_started(session)
            await stage.shows("● Listening")
            await stage.pilot.press("ctrl+g")
            for number in range(KEPT):
                session.at(9, ev.ToolCalled(None, None, str(number), "weather", f'{{"day": {number}}}'))
            await stage.shows(f"weather(day={KEPT - 1})", f'{{"day": {KEPT - 1}}}')
            session.at(9, ev.ToolCalled(None, None, "last", "weather", '{"day": "last"}'))
            await stage.shows('weather(day="last")', f"weather(day={KEPT - 1})", '{"day": "last"}')
            assert stage.app.screen.query_one(CallList).option_count == KEPT

    run(scene())


def test_the_tool_panel_is_readable_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def scene() -> None:
        session = FakeSession()
        async with live(session, WIDE) as stage:
            tools_started(session)
            tool_turn(session, 1)
            await stage.shows("✓ weather", "✗ book_table  failed")
            styles = [segment.style for segment in stage.segments if segment.style]
            colours = {c.name for style in styles for c in (style.color, style.bgcolor) if c}
            assert colours <= {"default"}

    run(scene())


def test_hostile_calls_are_only_text() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, WIDE) as stage:
            tools_started(session)
            session.tools.names = (HOSTILE, "weather")
            session.at(9, ev.ToolsChanged((HOSTILE, "[b]x"), HOSTILE), ev.ToolMocked(HOSTILE, HOSTILE))
            session.at(9, ev.ToolCalled(None, None, HOSTILE, HOSTILE, HOSTILE))
            session.at(9, ev.ToolStarted(None, None, HOSTILE, HOSTILE, mocked=True))
            session.at(9, ev.ToolProgressed(None, None, HOSTILE, HOSTILE, HOSTILE, 7.0))
            await stage.shows("[red]Hello[/red]", "100 %")
            session.at(9, ev.ToolReturned(None, None, HOSTILE, HOSTILE, HOSTILE, HOSTILE, "failed", shown=3))
            session.at(9, ev.PluginFailed(HOSTILE, HOSTILE, HOSTILE, 1.0))
            await stage.pilot.press("ctrl+l")
            await stage.shows("failed", "[@click=app.quit]x[/]", "$error")
            await stage.pilot.press("ctrl+n")
            await stage.shows("Answer in a tool's place", "[red]Hello[/red]")
            assert not [letter for letter in stage.text if letter in "\x1b\x07\x9b\u202e\u202c"]

    run(scene())


# --- calling and mocking --------------------------------------------------------------------------------------------


async def opened(stage: Stage, key: str) -> TextArea:
    """Press the key for a dialog; its text."""
    await stage.pilot.press(key)
    await stage.until(lambda: isinstance(stage.app.screen, ToolDialog) and stage.app.screen.query(TextArea))
    return stage.app.screen.query_one(TextArea)


def test_a_call_is_made_again_with_other_arguments() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, WIDE) as stage:
            tools_started(session)
            tool_turn(session, 1)
            await stage.shows("✗ book_table  failed")
            text = await opened(stage, "ctrl+r")
            await stage.shows("Call a tool", '"people": 2', "✓ a JSON object", "Enter calls it")
            await stage.pilot.press("backspace")
            await stage.shows("✗ line", "Ctrl+S calls it all the same")
            await stage.pilot.press("enter")  # not while it is wrong
            assert ("call", "book_table", text.text) not in session.told
            text.text = '{"people": 4}'
            await stage.shows("✓ a JSON object")
            await stage.pilot.press("enter")
            await stage.until(lambda: ("call", "book_table", '{"people": 4}') in session.told)
            await stage.until(lambda: isinstance(stage.app.screen, LiveScreen))

    run(scene())


def test_ctrl_s_sends_invalid_arguments() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, SMALL) as stage:
            tools_started(session)
            await stage.shows("Listening")
            await stage.pilot.press("ctrl+g")
            text = await opened(stage, "ctrl+r")
            await stage.pilot.press("backspace", *"[", "ctrl+j", *"1")
            await stage.shows("✗ line 1, column 2")
            assert text.text == "{[\n1"
            await stage.pilot.press("ctrl+s")
            await stage.until(lambda: ("call", "weather", "{[\n1") in session.told)

    run(scene())


def test_another_tool_begins_with_its_own_arguments() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, USUAL) as stage:
            tools_started(session)
            tool_turn(session, 1)
            await stage.shows("is free.")
            await stage.pilot.press("ctrl+g")
            text = await opened(stage, "ctrl+r")
            stage.app.screen.query_one(Select).value = "weather"
            await stage.until(lambda: '"Oslo"' in text.text)
            text.text = "{}"
            stage.app.screen.query_one(Select).value = "book_table"
            await stage.pilot.pause()
            await stage.pilot.press("enter")
            await stage.until(lambda: ("call", "book_table", "{}") in session.told)

    run(scene())


def test_a_tool_is_mocked_and_run_again() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, WIDE) as stage:
            tools_started(session)
            tool_turn(session, 1)
            await stage.shows("✗ book_table  failed")
            await stage.pilot.press("up")
            text = await opened(stage, "ctrl+n")
            assert '"sky": "clear"' in text.text
            await stage.pilot.press("ctrl+r")  # nothing is mocked: that is no key here
            text.text = "sun, [all] day"
            await stage.shows("✓ text of 14 characters")
            text.text = "[1, 2"
            await stage.shows("no JSON: line 1, column 6")
            text.text = SUNNY
            await stage.shows("✓ JSON")
            await stage.pilot.press("enter")
            await stage.shows("weather is mocked from now on", "mocked: weather")
            text = await opened(stage, "ctrl+n")
            assert text.text == SUNNY
            await stage.shows("Ctrl+R runs it again")
            await stage.pilot.press("ctrl+r")
            await stage.shows("weather is run again")
            assert session.told[1:] == [("mock", "weather", SUNNY), ("mock", "weather", None)]
            await opened(stage, "ctrl+n")
            await stage.pilot.press("escape")
            await stage.until(lambda: isinstance(stage.app.screen, LiveScreen))
            assert ("interrupt",) not in session.told
            assert len(session.told) == 3

    run(scene())


def test_a_call_that_is_refused_gets_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        session = FakeSession()

        def refuse(name: str, _arguments: str) -> None:
            raise UsageError(f"there is no tool called {name}", "it was removed")

        monkeypatch.setattr(session.tools, "call", refuse)
        async with live(session, USUAL) as stage:
            tools_started(session)
            await stage.shows("● Listening")
            await stage.pilot.press("ctrl+g")
            await opened(stage, "ctrl+r")
            await stage.pilot.press("enter")
            await stage.shows("there is no tool called weather", "it was removed")

    run(scene())


def test_an_agent_without_tools_shows_how_to_write_one() -> None:
    async def scene() -> None:
        session = FakeSession()
        session.tools.names = ()
        async with live(session, USUAL) as stage:
            session.at(0, ev.ListeningStarted())
            await stage.shows("● Listening")
            await stage.pilot.press("ctrl+r")  # only in the panel
            await stage.pilot.press("ctrl+g")
            await stage.shows("This agent has no tools")
            await stage.pilot.press("ctrl+r")
            await stage.shows("Give the agent a tool first.")

    run(scene())


def test_quitting_works_with_a_dialog_open() -> None:
    session = FakeSession()

    async def scene() -> None:
        async with live(session, USUAL) as stage:
            tools_started(session)
            await stage.shows("● Listening")
            await stage.pilot.press("ctrl+g")
            await opened(stage, "ctrl+r")
            await stage.pilot.press("ctrl+q")
            await stage.until(lambda: not stage.app.is_running)

    run(scene())
    assert session.told == [("open",), ("stop", "stopped"), ("closed",)]


# --- a recording ----------------------------------------------------------------------------------------------------


def test_a_recording_shows_the_calls_of_its_turns() -> None:
    session = FakeSession()
    tools_started(session)
    spoken_turn(session, 1, "Hello?", "Hello.")
    tool_turn(session, 2)
    tool_turn(session, 3)
    session.trace.close()

    async def scene() -> None:
        async with staged(lambda: ReplayScreen(session.trace), WIDE) as stage:
            await stage.shows("Turn 1", "⚙")
            await stage.pilot.press("end")
            await stage.shows("Turn 3", "✓ weather", "turn 3 · 442 to", "✗ book_tab")
            await stage.pilot.press("left")
            await stage.shows("Turn 2", "turn 2 · 442 to")
            await stage.pilot.press("down")
            await stage.shows("✗ book_table  failed")
            await stage.pilot.press("ctrl+g")
            await stage.until(lambda: "✗ book_table  failed" not in stage.text)
            await stage.pilot.press("ctrl+r")  # a recording is only looked at
            await stage.pilot.pause()
            assert isinstance(stage.app.screen, ReplayScreen)

    run(scene())


# --- panels of plugins ----------------------------------------------------------------------------------------------


class Counter(Static):
    """Counts what it is given, and raises on `trip`."""

    def __init__(self) -> None:
        super().__init__("nothing yet")
        self.seen: list[int] = []

    def feed(self, entries: list[Entry]) -> None:
        self.seen += [entry.i for entry in entries]
        if any(isinstance(entry.event, ev.Bookmarked) for entry in entries):
            raise ValueError("no [bookmarks]")
        self.update(f"seen {len(self.seen)} events")


class Latency(Widget):
    """Has the name of one of ours, and cannot be drawn."""

    def render(self) -> str:
        raise RuntimeError("no paint left")


class Halved(Widget):
    def compose(self) -> ComposeResult:
        yield Static("one half")
        raise RuntimeError("the other half is missing")


class Ticking(Static):
    def on_mount(self) -> None:
        self.set_interval(0.01, self._tick)

    def _tick(self) -> None:
        raise RuntimeError("the spring broke")


class TickingFunction(Static):
    def on_mount(self) -> None:
        self.set_interval(0.01, lambda: broken())


class Working(Static):
    def on_mount(self) -> None:
        self.run_worker(self._work())

    async def _work(self) -> None:
        raise RuntimeError("the work is undone")


class Slow(Static):
    def feed(self, _entries: list[Entry]) -> None:
        time.sleep(1.1)  # longer than any panel may take


def broken() -> Widget:
    raise KeyError("no such thing")


def offered(session: FakeSession, size: tuple[int, int], *panels: Panel) -> Any:
    """The live screen with panels of the plugin `jokes`."""
    return live(session, size, panels=lambda: [("jokes", panel) for panel in panels])


def test_a_key_steps_through_the_panels_of_plugins() -> None:
    counter = Counter()

    async def scene() -> None:
        session = FakeSession()
        async with offered(session, WIDE, Panel("count", "How [many]", lambda: counter)) as stage:
            tools_started(session)
            await stage.shows("● Listening")
            await stage.until(lambda: len(stage.app.screen.query_one(PanelSwitcher).titles) == 2)
            await stage.pilot.press("ctrl+g")
            await stage.shows("No tool was called yet")
            assert not counter.is_attached
            await stage.pilot.press("ctrl+g")
            await stage.shows("How [many]", f"seen {session.trace.end} events")
            session.at(9, ev.Muted(True))
            await stage.shows(f"seen {session.trace.end} events")
            assert counter.seen == list(range(session.trace.end))
            await stage.pilot.press("ctrl+g")
            await stage.until(lambda: "How [many]" not in stage.text)
            await stage.pilot.press("ctrl+p")
            await stage.shows("Panel: How")
            await stage.pilot.press(*"panel: how")
            await stage.pilot.pause()
            await stage.pilot.press("enter", "enter")
            await stage.shows("How [many]", "seen ")

    run(scene())


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (broken, "KeyError"),
        (lambda: "text", "no Textual widget"),
        (Latency, "paint"),
        (Halved, "missing"),
        (Ticking, "spring"),
        (TickingFunction, "no such thing"),
        (Working, "undone"),
        (Slow, "took 1."),
    ],
    ids=["make", "no-widget", "render", "compose", "timer", "timer of a function", "worker", "slow"],
)
def test_a_panel_that_fails_is_named_and_dropped(make: Callable[[], Any], told: str) -> None:
    async def scene() -> None:
        session = FakeSession()
        async with offered(session, WIDE, Panel("bad", "Bad", make)) as stage:
            tools_started(session)
            await stage.until(lambda: len(stage.app.screen.query_one(PanelSwitcher).titles) == 2)
            await stage.pilot.press("ctrl+g", "ctrl+g")
            await stage.shows("Dropped: panel bad of jokes", told)
            await stage.until(lambda: list(stage.app.screen.query_one(PanelSwitcher).titles) == ["tools"])
            spoken_turn(session, 1, "Still there?", "Still here.")
            await stage.shows("Still here.", "p50 612 ms", "heard after")
            panels = stage.app.screen.query_one(PanelSwitcher)
            assert panels.current in (None, "tools")
            await panels.show("tools")
            await stage.shows("No tool was called yet")
            assert stage.app.return_code is None

    run(scene())


def test_a_panel_that_fails_later_is_dropped_then() -> None:
    async def scene() -> None:
        session = FakeSession()
        panels = (Panel("count", "Count", Counter), Panel("other", "Other", Counter))
        async with offered(session, USUAL, *panels) as stage:
            tools_started(session)
            await stage.until(lambda: len(stage.app.screen.query_one(PanelSwitcher).titles) == 3)
            await stage.pilot.press("ctrl+g", "ctrl+g")
            await stage.shows("seen ")
            session.at(9, ev.Bookmarked("here"))
            await stage.shows("Dropped: panel count of jokes", "[bookmarks]", "bookmark here")
            assert list(stage.app.screen.query_one(PanelSwitcher).titles.values()) == ["Tools", "Other"]

    run(scene())


def test_a_panel_of_a_plugin_is_fed_with_a_recording() -> None:
    session = FakeSession()
    tools_started(session)
    spoken_turn(session, 1, "Hello?", "Hello.")
    session.trace.close()
    counter = Counter()

    async def scene() -> None:
        made = [("jokes", Panel("count", "Count", lambda: counter))]
        async with staged(lambda: ReplayScreen(session.trace, lambda: made), USUAL) as stage:
            await stage.shows("Turn 1")
            await stage.pilot.press("ctrl+g", "ctrl+g")
            await stage.shows(f"seen {session.trace.end} events")

    run(scene())


def test_plugins_that_load_after_the_screen_closed_do_no_harm() -> None:
    def late() -> list[tuple[str, Any]]:
        time.sleep(0.5)  # an import that takes as long as it does
        return [("jokes", Panel("count", "Count", Counter))]

    async def scene() -> None:
        session = FakeSession()
        async with live(session, USUAL, panels=late) as stage:
            tools_started(session)
            await stage.shows("● Listening")
            await stage.pilot.press("ctrl+q")
            await stage.until(lambda: not stage.app.is_running)

    run(scene())
