"""Every front end shows every golden conversation, from its recording."""

from __future__ import annotations

import asyncio
import csv
import io
import subprocess
import sys

import pytest

from tests.golden.conftest import Recorded
from tests.golden.scenes import SCENES
from tests.tui.staged import WIDE, staged
from workbench import open_trace
from workbench.notebook import show
from workbench.tui.replay import ReplayScreen
from workbench.views.html import safe
from workbench.views.waterfall import waterfall_text

every_conversation = pytest.mark.parametrize("name", SCENES)


@every_conversation
def test_the_terminal_shows_each_turn(name: str, recorded: Recorded) -> None:
    trace = open_trace(recorded(name))

    async def look() -> None:
        async with staged(lambda: ReplayScreen(trace), WIDE) as stage:
            await stage.shows("▤ Recording", f"(1 of {len(trace.turns)})")
            for turn in trace.turns:
                await stage.shows(f"Turn {turn.turn}: ", turn.user_text)
                await stage.pilot.press("right")

    asyncio.run(look())


@every_conversation
def test_a_notebook_shows_each_turn(name: str, recorded: Recorded) -> None:
    trace = open_trace(recorded(name))
    for html in (
        show(trace)._repr_mimebundle_()["text/html"],
        trace._repr_html_(),
        trace.turns._repr_html_(),
    ):
        assert isinstance(html, str)
        for turn in trace.turns:
            assert safe(turn.user_text) in html


@every_conversation
def test_each_turn_with_a_heard_latency_has_a_waterfall_that_adds_up(name: str, recorded: Recorded) -> None:
    for turn in open_trace(recorded(name)).turns:
        text = waterfall_text(turn, 80)
        assert all(len(line) <= 80 for line in text.splitlines())
        if turn.heard_latency_ms is not None:
            assert sum(turn.parts_ms.values()) == pytest.approx(turn.heard_latency_ms, abs=0.01)
            assert "endpointing" in text


@every_conversation
def test_every_figure_is_drawn(name: str, recorded: Recorded) -> None:
    plot = open_trace(recorded(name)).plot
    for figure in (plot.latency(), plot.timeline(), plot.waterfall()):
        assert figure.get_axes()


@every_conversation
def test_the_command_line_exports_each_turn(name: str, recorded: Recorded) -> None:
    folder = recorded(name)
    command = [sys.executable, "-m", "workbench", "sessions", "export", str(folder), "--to", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    rows = csv.DictReader(io.StringIO(done.stdout))
    assert [int(row["turn"]) for row in rows] == [turn.turn for turn in open_trace(folder).turns]
