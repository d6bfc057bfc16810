"""The live screen: what a person sees, and what their keys do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.tui.acted import FIRST, FakeSession, conversation, heard_levels, heard_turn, spoken_turn, started
from tests.tui.staged import SMALL, USUAL, WIDE, live, run
from workbench.model import events as ev
from workbench.model.errors import MissingError
from workbench.tui.panel_screen import EventLog
from workbench.tui.widgets.conversation import ConversationRow

SIZES = pytest.mark.parametrize("size", [WIDE, USUAL, SMALL], ids=lambda size: f"{size[0]}x{size[1]}")


@SIZES
def test_a_newcomer_is_told_what_to_do(size: tuple[int, int]) -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, size) as stage:
            started(session)
            await stage.shows("● Listening", "Speak, or type and press Enter.", "Quit")

    run(scene())


def test_warming_up_shows_what_is_ready() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, USUAL) as stage:
            providers = {"stt": "whisper/tiny.en", "llm": "llama/smollm2-135m"}
            session.at(0, ev.SessionStarted("1", "", "embedded", "", providers, {}))
            session.at(300, ev.ProviderWarmed("stt", "whisper/tiny.en", 300))
            await stage.shows("◌ Warming up", "✓ stt   whisper/tiny.en  300 ms", "◌ llm   llama/smollm2-135m")
            session.at(400, ev.ProviderWarmed("llm", "llama/smollm2-135m", 90, "it ended"))
            await stage.shows("✗ llm", "✓ stt", "up: it ended")
            session.at(500, ev.ListeningStarted())
            await stage.shows("Speak, or type and press Enter.", "up: it ended")

    run(scene())


@SIZES
def test_a_conversation_at_every_size(size: tuple[int, int]) -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, size) as stage:
            conversation(session)
            await stage.shows("◉ Hearing you", "and what about …", "● speech")
            assert len(stage.rows) == size[1]

    run(scene())


def test_a_wide_terminal_shows_every_instrument() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, WIDE) as stage:
            conversation(session)
            await stage.shows(
                "llm failed: no answer within 15 s", "→ is the model loaded?", "Turn 11 · cut", "endpointing",
                "unexplained", "596 ms", "p50 612 ms", "p95 798 ms", "n 9", "full duplex", "host 2 ms", "echo −31 dB",
                "● rec /data/sessions/20260301T101500Z-7f3a", "whisper/tiny.en", "in Built-in microphone",
            )  # fmt: skip

    run(scene())


def test_a_waterfall_is_drawn_from_the_first_sound_of_the_answer_on() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, WIDE) as stage:
            started(session)
            spoken_turn(session, 1, FIRST, "In 1969.")
            await stage.shows("Turn 1─", "heard after")
            heard_turn(session, 2, "Who?", "Neil Armstrong was the first", total_ms=750)
            await stage.shows("Turn 2 · running", "750 ms", "▶ Speaking")
            assert stage.rows[1].startswith(" you")  # few lines stand at the top
            session.at(
                session.clock.ms + 900, ev.ReplyEnded(20, 2, "done", "Neil Armstrong was the first", "", 0)
            )
            session.at(session.clock.ms + 1, ev.TurnEnded(2, "done", "Who?", "Neil Armstrong was the first"))
            await stage.shows("Turn 2─", "750 ms")

    run(scene())


def test_unheard_words_are_struck_through() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, WIDE) as stage:
            started(session)
            spoken_turn(session, 1, FIRST, "In nineteen", unheard="sixty-nine.")
            await stage.shows("sixty-nine.", "✂ interrupted")
            struck = [segment.text for segment in stage.segments if segment.style and segment.style.strike]
            assert "".join(struck).split() == ["sixty-nine."]

    run(scene())


def test_keys_call_the_verbs() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, USUAL) as stage:
            started(session)
            await stage.shows("● Listening")
            await stage.pilot.press("ctrl+o")
            await stage.shows("⊘ Muted", "⊘ muted")
            await stage.pilot.press("ctrl+o", "escape", "ctrl+b")
            await stage.pilot.press(*"hi there", "enter")
            await stage.until(lambda: ("type", "hi there") in session.told)
            assert session.told[1:] == [
                ("mute", True), ("mute", False), ("interrupt",), ("bookmark", ""), ("type", "hi there"),
            ]  # fmt: skip

    run(scene())


def test_thinking_is_shown_when_it_is_asked_for() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, USUAL) as stage:
            started(session)
            session.at(1000, ev.ReplyProgress(1, 1, "thinking", 1234))
            await stage.shows("thinks (1,234 characters)")
            await stage.pilot.press("f3")
            await stage.until(lambda: ("set", "reply.show_thinking", True, {}) in session.told)
            session.at(1100, ev.ReplyProgress(1, 1, "thinking", 1240, "Be kind."))
            await stage.shows("thinks: Be kind.")

    run(scene())


def test_the_log_opens_and_closes() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, WIDE) as stage:
            started(session)
            await stage.shows("● Listening")
            await stage.pilot.press("ctrl+l")
            await stage.shows("listening_started", "provider_warmed stage=tts")
            await stage.pilot.press("ctrl+l")
            await stage.until(lambda: "listening_started" not in stage.text)
            assert not stage.app.screen.query_one(EventLog).can_focus

    run(scene())


@pytest.mark.parametrize("key", ["ctrl+q", "ctrl+c"])
def test_quitting_closes_the_session_first(key: str) -> None:
    session = FakeSession()

    async def scene() -> None:
        async with live(session, USUAL) as stage:
            started(session)
            await stage.shows("● Listening")
            await stage.pilot.press(key)
            await stage.until(lambda: not stage.app.is_running)
            assert stage.app.return_code == 0

    run(scene())
    assert session.told == [("open",), ("stop", "stopped"), ("closed",)]


def test_the_reason_why_a_session_cannot_open_is_shown() -> None:
    def broken() -> AbstractContextManager[FakeSession]:
        raise MissingError("there is no microphone", "plug one in, or use --source FILE.wav")

    async def scene() -> None:
        async with live(FakeSession(), USUAL, broken) as stage:
            await stage.shows(
                "The session could not start", "there is no microphone", "→ plug one in", "Ctrl+Q leaves"
            )
            await stage.shows("The session has ended")

    run(scene())


def test_the_reason_why_a_session_failed_is_shown() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, USUAL) as stage:
            session.at(0, ev.SessionStarted("1", "", "embedded", "", {}, {}))
            session.at(9, ev.Notice("error", "session", "there is no microphone", "plug one in"))
            session.error = MissingError("there is no microphone", "plug one in")
            session.at(9, ev.SessionEnded("failed: there is no microphone"))
            await stage.shows(
                "■ Ended", "✗ The session could not start", "there is no microphone", "→ plug one in"
            )


def test_a_session_that_fails_later_keeps_its_conversation() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, USUAL) as stage:
            started(session)
            spoken_turn(session, 1, FIRST, "In 1969.")
            session.error = MissingError("the disk is full", "make room")
            session.at(9000, ev.Notice("error", "session", "the disk is full", "make room"))
            session.at(9000, ev.SessionEnded("failed: the disk is full"))
            await stage.shows("■ Ended", "In 1969.", "✗       session: the disk is full", "→ make room")
            assert "could not start" not in stage.text

    run(scene())


def test_keys_pressed_before_the_session_is_open_get_a_notice() -> None:
    session, opening = FakeSession(), threading.Event()

    @contextmanager
    def slow() -> Iterator[FakeSession]:
        opening.wait(10)
        with session.open():
            yield session

    async def scene() -> None:
        async with live(session, USUAL, slow) as stage:
            await stage.pilot.press("ctrl+o")
            await stage.shows("Still opening the session.")
            opening.set()
            started(session)
            await stage.shows("● Listening")

    run(scene())
    assert ("mute", True) not in session.told


@SIZES
def test_a_session_that_has_ended_invites_to_nothing(size: tuple[int, int]) -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, size) as stage:
            started(session)
            await stage.shows("Speak, or type and press Enter.")
            session.at(9000, ev.SessionEnded("source ended"))
            await stage.shows("■ Ended", "The session has ended")
            invitations = ("Speak,", "type here", "Mute", "Interrupt")  # the footer follows a moment later
            await stage.until(lambda: not any(invitation in stage.text for invitation in invitations))
            await stage.pilot.press(*"hi", "enter", "escape", "ctrl+o")
            spoken_turn(session, 1, FIRST, "In 1969.")  # what the recorder had not shown yet
            await stage.shows("In 1969.", "■ Ended")
            assert session.told == [("open",)]

    run(scene())


@pytest.mark.parametrize("width", range(80, 98, 3))
def test_a_figure_is_never_parted_from_its_unit(width: int) -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, (width, 24)) as stage:
            started(session)
            spoken_turn(session, 1, FIRST, "In nineteen", unheard="sixty-nine.")
            await stage.shows("✂ interrupted", "612 ms")
            talk = stage.app.screen.query_one("#talk").size.width
            assert [row for row in stage.rows if "612 ms" in row[:talk]]

    run(scene())


@pytest.mark.parametrize(("columns", "least"), [(120, 50), (160, 66), (200, 84)])
def test_the_instruments_grow_with_the_terminal(columns: int, least: int) -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, (columns, 50)) as stage:
            conversation(session)
            await stage.shows("p50 612 ms")
            assert stage.app.screen.query_one("#instruments").outer_size.width >= least

    run(scene())


HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07[red]Hello[/red] \u202egnp.exe\u202c \x9b31m[@click=app.quit]x[/] $error \\[b]"
)


def test_hostile_text_is_only_text() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, WIDE) as stage:
            session.at(
                0,
                ev.SessionStarted(
                    "1", "", "\x1b[1mp", "[b]agent", {"stt": "a\nb[/]"}, {}, "/tmp/[red]\x1b[0m"
                ),
            )
            session.at(1, ev.DeviceOpened("mic", "mic[/]\x1b[7m\nx", 1), ev.ListeningStarted())
            spoken_turn(session, 1, HOSTILE, HOSTILE, unheard=HOSTILE)
            session.at(session.clock.ms, ev.Notice("error", "[x]", HOSTILE, HOSTILE), ev.Bookmarked(HOSTILE))
            await stage.pilot.press("ctrl+l")
            await stage.shows("[red]Hello[/red]", "[@click=app.quit]x[/]", "$error", "[b]agent", "/tmp/[red]")
            assert not [letter for letter in stage.text if letter in "\x1b\x07\x9b\u202e\u202c"]
            assert "gnp.exe" in stage.text

    run(scene())


def test_only_rows_that_changed_are_drawn_again() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, WIDE) as stage:
            started(session)
            spoken_turn(session, 1, FIRST, "In 1969.")
            await stage.shows("In 1969.")
            before = list(stage.app.screen.query(ConversationRow))
            spoken_turn(session, 2, "Who?", "Neil Armstrong.")
            heard_levels(session, -30, -90)
            await stage.shows("Neil Armstrong.", "-30 dB")
            assert list(stage.app.screen.query(ConversationRow))[: len(before)] == before

    run(scene())


def test_who_reads_earlier_lines_is_not_scrolled_away() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, USUAL) as stage:
            conversation(session)
            await stage.shows("and what about …")
            await stage.pilot.press("pageup", "pageup")
            await stage.until(lambda: "and what about" not in stage.text)
            session.at(session.clock.ms + 100, ev.Bookmarked("here"))
            await stage.until(
                lambda: stage.app.screen.query(ConversationRow).last().line.text == "bookmark here"
            )
            await stage.pilot.pause()
            assert "bookmark here" not in stage.text
            await stage.pilot.press("pagedown", "pagedown", "pagedown")
            await stage.shows("bookmark here")
            session.at(session.clock.ms + 100, ev.Bookmarked("there"))
            await stage.shows("bookmark there")

    run(scene())


def test_a_narrow_terminal_may_grow() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, SMALL) as stage:
            conversation(session)
            await stage.shows("and what about …")
            assert "p50" not in stage.text
            await stage.pilot.resize_terminal(*WIDE)
            await stage.shows("p50 612 ms", "unexplained")

    run(scene())


def test_no_color_means_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def scene() -> None:
        session = FakeSession()
        async with live(session, WIDE) as stage:
            conversation(session)
            await stage.shows("✂ interrupted", "✗", "and what about …")
            colours = {
                colour.name
                for style in (segment.style for segment in stage.segments if segment.style)
                for colour in (style.color, style.bgcolor)
                if colour
            }
            assert colours <= {"default"}

    run(scene())


def test_themes_can_be_switched_while_talking() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, USUAL) as stage:
            conversation(session)
            await stage.shows("◉ Hearing you")
            for theme in ("workbench-light", "workbench-dark", "nord"):
                stage.app.theme = theme
                await stage.pilot.pause()
                assert "Hearing you" in stage.text
            await stage.pilot.press("ctrl+t")
            assert stage.app.theme in ("workbench-light", "workbench-dark")

    run(scene())


def test_the_palette_finds_what_keys_do() -> None:
    async def scene() -> None:
        session = FakeSession()
        async with live(session, USUAL) as stage:
            started(session)
            await stage.shows("● Listening")
            await stage.pilot.press("ctrl+p")
            await stage.shows("Bookmark", "Mark this moment in the recording.")
            await stage.pilot.press(*"bookmark")
            await stage.pilot.pause()
            await stage.pilot.press("enter", "enter")
            await stage.until(lambda: ("bookmark", "") in session.told)

    run(scene())
