"""A picture of the screen, without a terminal."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from workbench.model.errors import UsageError
from workbench.tui.app import WorkbenchApp

FONTS = '"DejaVu Sans Mono", Menlo, Consolas, monospace'
"""Fonts of the machine that shows the picture; the exported one would be fetched from elsewhere."""


def shoot(
    app: WorkbenchApp, out: Path, size: tuple[int, int], ready: Callable[[], Awaitable[object]]
) -> None:
    """Run the app without a terminal, `size` columns × rows; after `ready`, write an SVG to `out` and leave.

    Raises UsageError where the file cannot be written.
    """
    picture: list[str] = []

    async def take(pilot: Pilot[Any]) -> None:
        await ready()
        await pilot.pause()
        await pilot.wait_for_scheduled_animations()
        picture.append(app.export_screenshot())
        await app.run_action("quit")

    app.run(headless=True, size=size, auto_pilot=take)
    if picture:
        write(out, self_contained(picture[0]))


def write(out: Path, svg: str) -> None:
    """Write the picture."""
    try:
        out.write_text(svg, "utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}", "choose another file") from None


def self_contained(svg: str) -> str:
    """Return the picture without fonts from elsewhere, and with its spaces kept by every renderer."""
    svg = re.sub(r"@font-face\s*\{[^}]*\}", "", svg)
    svg = re.sub(r"font-family:\s*Fira Code[^;]*;", f"font-family: {FONTS};", svg)
    return svg.replace("<text ", '<text xml:space="preserve" ')
