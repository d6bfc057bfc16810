"""A recording on the screen, and pictures of screens."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.tui.acted import FakeSession, conversation, recorded, started
from tests.tui.staged import SMALL, USUAL, WIDE, run, staged
from workbench.model.audio import Samples
from workbench.model.errors import MissingError, UsageError
from workbench.model.events import SessionEnded
from workbench.tui.app import WorkbenchApp
from workbench.tui.player import Player
from workbench.tui.replay import ReplayScreen
from workbench.tui.screenshot import shoot
from workbench.tui.widgets.timeline import TimeAxis


@pytest.mark.parametrize("size", [WIDE, USUAL, SMALL], ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_recording_is_stepped_through_turn_by_turn(size: tuple[int, int]) -> None:
    trace = recorded().trace

    async def scene() -> None:
        async with staged(lambda: ReplayScreen(trace), size) as stage:
            await stage.shows("▤ Recording")
            await stage.until(lambda: any("agent ▸" in row and "Hello." in row for row in stage.rows))
            if size != SMALL:
                await stage.shows("(1 of 2)", "Turn 1: ")
            await stage.pilot.press("right")
            await stage.shows("And?", "you ▸")
            if size != SMALL:
                await stage.shows("Turn 2 · cut (2 of 2)", "4.2 s, space plays", "Turn 2: ")
            await stage.pilot.press("left", "end", "right", "home", "end")
            await stage.until(lambda: any("agent ▸" in row and "Nothing." in row for row in stage.rows))

    run(scene())


def test_the_events_of_a_turn_are_listed_and_shown_in_full() -> None:
    trace = recorded().trace

    async def scene() -> None:
        async with staged(lambda: ReplayScreen(trace), WIDE) as stage:
            await stage.shows("Turn 1: ")
            await stage.pilot.press("tab")
            await stage.shows("session_started", "session=7f3a", '"type": "session_started"')
            await stage.pilot.press("end", "down")
            await stage.shows("speech_started utterance=2")
            await stage.pilot.press("f", "f", "up")
            await stage.shows('"type": "speech_started"')

    run(scene())


def test_a_turn_is_saved_as_a_test_and_a_refusal_is_shown() -> None:
    trace = recorded().trace

    def save_turn(number: int) -> Path:
        if number == 2:
            raise UsageError("tests/turns/hello is there already", "give another folder by -o")
        return Path("tests/turns/hello")

    async def scene() -> None:
        async with staged(lambda: ReplayScreen(trace, save_turn=save_turn), WIDE) as stage:
            await stage.shows("Turn 1: ")
            await stage.pilot.press("t")
            await stage.shows("Saved as a test", "pytest tests/turns/hello")
            await stage.pilot.press("right", "t")
            await stage.shows("is there already")

    run(scene())


def test_every_view_of_a_turn_is_shown() -> None:
    trace = recorded().trace

    async def scene() -> None:
        async with staged(lambda: ReplayScreen(trace), WIDE) as stage:
            await stage.shows("Turn 1: ")
            await stage.pilot.press("tab", "tab")
            await stage.shows("heard after")
            await stage.pilot.press("tab")
            await stage.shows("p50")
            await stage.pilot.press("tab")
            await stage.shows("Turn 1: ")

    run(scene())


def test_search_goes_from_match_to_match() -> None:
    trace = recorded().trace

    async def scene() -> None:
        async with staged(lambda: ReplayScreen(trace), WIDE) as stage:
            await stage.shows("Turn 1: ")
            await stage.pilot.press("slash", *"nothing", "enter")
            await stage.shows("(2 of 2)", "step through them", "Nothing.")
            await stage.pilot.press("N", "n", "slash", *"zzz", "enter")
            await stage.shows("zzz", "nothing")
            await stage.pilot.press("slash", "escape", "home")
            await stage.shows("(1 of 2)")

    run(scene())


def test_the_axis_is_zoomed_and_moved_and_its_parts_are_marked() -> None:
    trace = recorded().trace

    async def scene() -> None:
        async with staged(lambda: ReplayScreen(trace), WIDE) as stage:
            await stage.shows("(1 of 2)")
            timeline = stage.app.screen.query_one(TimeAxis)
            await stage.until(lambda: timeline.state.end_ms > 0)
            length_ms = timeline.state.end_ms - timeline.state.start_ms
            await stage.pilot.press("plus")
            await stage.until(
                lambda: timeline.state.end_ms - timeline.state.start_ms == pytest.approx(length_ms / 2)
            )
            await stage.pilot.press("shift+right", "minus", "0", "enter")
            turn = timeline.state.span
            await stage.pilot.press("right_square_bracket")
            await stage.until(lambda: timeline.state.span != turn)
            await stage.pilot.press("left_square_bracket", "question_mark")
            await stage.shows("Show the keys.")

    run(scene())


def test_playing_without_a_speaker_gets_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_player: Player, _samples: Samples) -> None:
        raise MissingError("there is no PortAudio", "install libportaudio2")

    monkeypatch.setattr(Player, "play", nothing)
    trace = recorded().trace

    async def scene() -> None:
        async with staged(lambda: ReplayScreen(trace), USUAL) as stage:
            await stage.shows("(1 of 2)")
            await stage.pilot.press("space")
            await stage.shows("there is no PortAudio", "install libportaudio2")

    run(scene())


def test_the_position_of_playing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Player, "play", lambda _player, _samples: None)
    monkeypatch.setattr(Player, "at_s", property(lambda _player: 1.25))
    trace = recorded().trace

    async def scene() -> None:
        async with staged(lambda: ReplayScreen(trace), USUAL) as stage:
            await stage.shows("▶ 1.2 s of ")

    run(scene())


def test_a_recording_without_turns_is_shown() -> None:
    session = FakeSession()
    session.trace.close()

    async def scene() -> None:
        async with staged(lambda: ReplayScreen(session.trace), USUAL) as stage:
            await stage.shows("There is no turn in this recording.")
            await stage.pilot.press("left", "right", "space", "home", "end", "ctrl+l")
            await stage.pilot.press("ctrl+q")
            await stage.until(lambda: not stage.app.is_running)

    run(scene())


def test_a_recording_of_a_session_that_failed_shows_why() -> None:
    session = FakeSession()
    started(session)
    session.at(600, SessionEnded("stopped"))
    session.trace.close()

    async def scene() -> None:
        async with staged(lambda: ReplayScreen(session.trace), USUAL) as stage:
            await stage.shows("session ended: stopped")

    run(scene())


def picture(out: Path) -> str:
    session = FakeSession()
    conversation(session)
    session.trace.close()
    app = WorkbenchApp(lambda: ReplayScreen(session.trace))
    shoot(app, out, (100, 30), lambda: app.first(ReplayScreen).drawn.wait())
    return out.read_text("utf-8") if out.exists() else ""


def test_a_picture_is_self_contained(tmp_path: Path) -> None:
    svg = picture(tmp_path / "out.svg")
    words = "".join(ElementTree.fromstring(svg).itertext()).replace("\xa0", " ")
    assert "Recording" in words
    assert "begun" in words
    assert "url(http" not in svg
    assert "@import" not in svg


def test_a_picture_that_cannot_be_written_is_an_error_of_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        picture(tmp_path / "no such folder" / "out.svg")
