"""The fold, and the panel on a screen of its own."""

from __future__ import annotations

import asyncio

from textual.app import App, ComposeResult
from voice_workbench_talk_share import plugin
from voice_workbench_talk_share.panel import Share, TalkShare

from workbench.spi import Entry
from workbench.spi import events as ev

HAPPENED: list[tuple[float, ev.Event]] = [
    (1000, ev.SpeechStarted(1, 0)),
    (2000, ev.SpeechPaused(1, 0)),
    (2200, ev.SpeechResumed(1, 0, 200)),
    (3200, ev.SpeechPaused(1, 0)),
    (3500, ev.TurnDecided(1, 1)),
    (4000, ev.ReplyPlaying(1, 1, 0)),
    (5000, ev.ReplyPaused(1, 1, 0)),
    (5500, ev.ReplyResumed(1, 1, 0)),
    (8500, ev.ReplyEnded(1, 1, "done", "…", "")),
]
ENTRIES = [Entry(number, t_ms, event) for number, (t_ms, event) in enumerate(HAPPENED)]


def test_the_share_counts_how_long_each_side_talks() -> None:
    share = Share()
    for entry in ENTRIES:
        share.feed(entry)
    assert (share.user_ms, share.agent_ms) == (2000, 4000)


def test_the_panel_shows_both_shares() -> None:
    (panel,) = plugin.workbench_tui_panels()

    class Screen(App[None]):
        def compose(self) -> ComposeResult:
            widget = panel.make()
            assert isinstance(widget, TalkShare)
            yield widget

    async def look() -> str:
        app = Screen()
        async with app.run_test(size=(60, 5)) as pilot:
            widget = app.query_one(TalkShare)
            widget.feed(ENTRIES)
            await pilot.pause()
            return "\n".join(str(strip.text) for strip in widget.render_lines(widget.size.region))

    shown = asyncio.run(look())
    assert "you      2.0 s  33%" in shown
    assert "agent    4.0 s  67%" in shown
