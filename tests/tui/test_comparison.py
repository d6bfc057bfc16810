"""The screen of `workbench compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.tui.acted import recorded
from tests.tui.staged import SMALL, USUAL, WIDE, run, staged
from workbench.model.audio import Samples
from workbench.model.errors import MissingError
from workbench.model.events import Entry, Event, Heard, Span, TurnDecided, TurnEnded
from workbench.readers import entries
from workbench.readers.pairs import SessionFigures
from workbench.trace.codec import encode
from workbench.trace.store import About, SessionFolder
from workbench.tui.comparison import ComparisonScreen
from workbench.tui.player import Player
from workbench.views.trace import OpenTrace, open_trace


def trace_of(folder: Path, turns: Sequence[tuple[str, str, float]]) -> OpenTrace:
    """A recording without sound, of turns by what both said and after how many ms the answer was heard."""
    events: list[Event] = []
    for number, (user, agent, latency_ms) in enumerate(turns, 1):
        events += [
            TurnDecided(number, number, end_sample=0),
            Span("llm_first_token", 1.0, latency_ms, turn=number),
            Heard(number, 0, 0.0, 100, latency_ms),
            TurnEnded(number, "done", user, agent, usage={"cost": 0.01}),
        ]
    session = SessionFolder.create(About(versions={}), folder)
    lines = (encode(Entry(i, 60_000.0, event)) + "\n" for i, event in enumerate(events))
    session.events.write_text("".join(lines), "ascii")
    return open_trace(folder)


def screen_of(*traces: OpenTrace) -> ComparisonScreen:
    names = ("before", "after", "third")[: len(traces)]
    return ComparisonScreen(names, traces, [SessionFigures(entries(trace)) for trace in traces])


@pytest.mark.parametrize("size", [WIDE, USUAL, SMALL], ids=lambda size: f"{size[0]}x{size[1]}")
def test_pairs_are_stepped_through_with_what_is_different(tmp_path: Path, size: tuple[int, int]) -> None:
    a = trace_of(
        tmp_path / "a", [("hello", "Hi there.", 500.0), ("what now", "Nothing [red]at\x1b[31m all.", 700.0)]
    )
    b = trace_of(
        tmp_path / "b",
        [("hello", "Hi there.", 450.0), ("what now", "Nothing for now.", 900.0), ("more", "No.", 1.0)],
    )
    c = trace_of(tmp_path / "c", [("hello", "Good morning.", 650.0)])

    async def scene() -> None:
        async with staged(lambda: screen_of(a, b, c), size) as stage:
            await stage.shows("before → after", "you   hello", "agent Hi there.")
            if size == WIDE:
                await stage.shows(
                    "n Next recording",
                    "500 ms → 450 ms (-50 ms)",
                    "heard after",
                    "cost",
                    "no sound was recorded",
                )
            await stage.pilot.press("down")
            await stage.shows("[-[red]at all.-]", "{+for")
            await stage.pilot.press("down")
            await stage.shows("(only in one of them)")
            await stage.pilot.press("n", "right", "home")
            await stage.shows("before → third", "{+Good")
            await stage.pilot.press("left")
            await stage.shows("before → after")
            assert "\x1b" not in stage.text

    run(scene())


def test_either_side_is_played_and_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[Samples] = []
    monkeypatch.setattr(Player, "play", lambda self, samples: played.append(samples))
    trace = recorded().trace

    async def scene() -> None:
        async with staged(lambda: screen_of(trace, trace), WIDE) as stage:
            await stage.until(lambda: sum(any(bar in row for bar in "▃▄▅▆▇█") for row in stage.rows) >= 4)
            await stage.pilot.press("a", "b", "down", "space")
            await stage.until(lambda: len(played) == 3)

    run(scene())
    assert all(len(samples) > 24_000 for samples in played)


def test_what_cannot_be_played_gets_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_player: Player, _samples: Samples) -> None:
        raise MissingError("there is no PortAudio", "install libportaudio2")

    monkeypatch.setattr(Player, "play", nothing)
    trace = recorded().trace

    async def scene() -> None:
        async with staged(lambda: screen_of(trace, trace), WIDE) as stage:
            await stage.pilot.press("a")
            await stage.shows("there is no PortAudio")
            await stage.pilot.press("ctrl+q")

    run(scene())


def test_recordings_without_turns_say_so(tmp_path: Path) -> None:
    a, b = trace_of(tmp_path / "a", []), trace_of(tmp_path / "b", [])

    async def scene() -> None:
        async with staged(lambda: screen_of(a, b), USUAL) as stage:
            await stage.shows("There is no turn in these recordings.")
            await stage.pilot.press("a", "b", "n")
            assert "Next" not in stage.text

    run(scene())
