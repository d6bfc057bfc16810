"""Screens without a terminal, fed by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from rich.segment import Segment
from textual.pilot import Pilot
from textual.screen import Screen
from textual.strip import Strip

from tests.tui.acted import FakeSession
from tests.waiting import PATIENCE_S
from workbench.tui.app import WorkbenchApp
from workbench.tui.live import LiveScreen
from workbench.tui.panels import PanelSource
from workbench.tui.session_thread import SessionOpener, SessionThread
from workbench.views.format import NBSP

WIDE, USUAL, SMALL = (120, 40), (80, 24), (40, 10)


class Stage:
    """A screen, and what a person sees of it."""

    def __init__(self, app: WorkbenchApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def rows(self) -> list[str]:
        """The text on the screen, a string a row."""
        rows = ("".join(segment.text for segment in strip) for strip in self._strips)
        return [row.replace(NBSP, " ") for row in rows]

    @property
    def segments(self) -> list[Segment]:
        """The text on the screen with its styles."""
        return [segment for strip in self._strips for segment in strip]

    @property
    def _strips(self) -> list[Strip]:
        return self.app.screen._compositor.render_strips()

    @property
    def text(self) -> str:
        """The whole of it."""
        return "\n".join(self.rows)

    async def until(self, condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
        """Wait for a condition; fail with what the screen shows."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await self.pilot.pause(0.01)
        except TimeoutError:
            raise AssertionError(f"waited {timeout_s} s in vain; the screen:\n{self.text}") from None

    async def shows(self, *texts: str) -> None:
        """Wait until all of these are on the screen."""
        await self.until(lambda: all(text in self.text for text in texts))


@asynccontextmanager
async def staged(screen: Callable[[], Screen[None]], size: tuple[int, int]) -> AsyncIterator[Stage]:
    """A screen of that size, columns × rows."""
    app = WorkbenchApp(screen)
    async with app.run_test(size=size, tooltips=False, notifications=True) as pilot:
        yield Stage(app, pilot)


@asynccontextmanager
async def live(
    session: FakeSession,
    size: tuple[int, int] = WIDE,
    opener: SessionOpener | None = None,
    panels: PanelSource = tuple,
) -> AsyncIterator[Stage]:
    """The live screen of a session."""
    host = SessionThread(opener or session.open)
    try:
        async with staged(lambda: LiveScreen(host, panels), size) as stage:
            yield stage
    finally:
        host.wait()


def run(scene: Coroutine[Any, Any, None]) -> None:
    """Play a scene on a loop of its own."""
    asyncio.run(scene)
