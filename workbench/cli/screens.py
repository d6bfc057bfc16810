"""What the commands that draw on the whole terminal share."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workbench.model.errors import UsageError

if TYPE_CHECKING:
    from workbench.plugin.values import Panel
    from workbench.tui.app import WorkbenchApp


def _size(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, int]:
    """Parse `WxH`: columns and rows that a screen can have."""
    match = re.fullmatch(r"(\d{1,3})x(\d{1,3})", text)
    if match is None or not (20 <= int(match[1]) <= 500 and 8 <= int(match[2]) <= 300):
        raise click.BadParameter(f"{text!r} is no size of a screen: write columns x rows, like 120x40")
    return int(match[1]), int(match[2])


size_option = click.option(
    "--size", metavar="WxH", default="120x40", callback=_size, help="Of the picture.  [default: 120x40]"
)


def need_terminal(instead: str) -> None:
    """Raise UsageError where there is no terminal; `instead` says what to use."""
    from workbench.tui.terminal import have_terminal  # 50 ms of textual: only these commands pay it

    if not have_terminal():
        raise UsageError("there is no terminal to draw on", instead)


def panels() -> list[tuple[str, Panel]]:
    """Return the panels of plugins with the plugins' names; imports them."""
    from workbench.plugin.manager import tui_panels

    return tui_panels()


def show_app(
    app: WorkbenchApp, screenshot: Path | None, size: tuple[int, int], ready: Callable[[], Awaitable[object]]
) -> int:
    """Run the screen to its end, in the terminal or as a picture; return its exit code."""
    if screenshot is not None:
        from workbench.tui.screenshot import shoot

        shoot(app, screenshot, size, ready)
        return app.return_code or 0
    from workbench.tui.terminal import quiet_terminal

    with quiet_terminal() as noise:
        app.run()
        code = app.return_code or 0
        noise.seek(0)
        messages = noise.read() if code else b""
    if messages:
        click.echo(messages.decode(errors="replace"), err=True, nl=False)
    return code
