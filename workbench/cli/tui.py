"""`workbench tui`: talk to the agent on the screen, or look at a recording."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.options import (
    agent_and_settings,
    load_plugins,
    path_option,
    session_options,
    settings_options,
)
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


@click.command(
    epilog="""\b
Examples:
  workbench tui my_agent.py
  workbench tui --replay ~/.local/share/workbench/sessions/20260301T101500Z-7f3a01c2
  workbench tui --source question.wav --screenshot picture.svg --size 100x30"""
)
@session_options
@click.option(
    "--no-record", is_flag=True, help="Keep nothing. Without it the screen says where the recording is."
)
@path_option("--replay", "Look at a recording instead.", "DIR")
@path_option(
    "--screenshot",
    "Draw without a terminal, write the picture, leave: when a file has been talked through, or it listens.",
    "OUT.svg",
)
@click.option(
    "--size", metavar="WxH", default="120x40", callback=_size, help="Of the picture.  [default: 120x40]"
)
@settings_options
def tui(replay: Path | None, screenshot: Path | None, size: tuple[int, int], **options: Any) -> None:
    """Talk to an agent, and see where the time of each turn goes.

    Sessions are recorded; --replay opens one, turn by turn. Exit codes: 0 fine, 2 bad input, 3 something is missing,
    128 + signal.
    """
    if screenshot is None:
        _need_terminal()
    code = _replay(replay, screenshot, size, options) if replay else _live(options, screenshot, size)
    raise SystemExit(code)


def _need_terminal() -> None:
    from workbench.tui.terminal import have_terminal  # 50 ms of textual: only this command pays it

    if not have_terminal():
        raise UsageError("there is no terminal to draw on", "use `workbench run`, or `--screenshot OUT.svg`")


def _replay(folder: Path, screenshot: Path | None, size: tuple[int, int], options: dict[str, Any]) -> int:
    from workbench.config import load_settings
    from workbench.tui.app import WorkbenchApp
    from workbench.tui.replay import ReplayScreen
    from workbench.views.trace import open_trace

    if any(value for name, value in options.items() if name != "plugins"):
        raise UsageError(
            "a recording is only looked at", "leave out everything but --screenshot, --size and --plugin"
        )
    load_plugins(load_settings({}), options["plugins"])
    trace = open_trace(folder)
    app = WorkbenchApp(lambda: ReplayScreen(trace, _panels))
    return _show(app, screenshot, size, lambda: app.first(ReplayScreen).drawn.wait())


def _live(options: dict[str, Any], screenshot: Path | None, size: tuple[int, int]) -> int:
    from workbench.session.process import tuned_process
    from workbench.tui.app import WorkbenchApp
    from workbench.tui.live import LiveScreen
    from workbench.tui.session_thread import SessionThread

    no_record = options.pop("no_record")
    if options["record"] and no_record:
        raise UsageError("--record and --no-record contradict each other", "give one of them")
    agent, settings = agent_and_settings(settings={"record.enabled": False if no_record else None}, **options)

    def opener() -> Any:
        from workbench.session import open_session  # the engine and what it needs: after the first paint

        return open_session(settings, agent=agent)

    def ready() -> Any:
        screen = app.first(LiveScreen)
        return (screen.listening if settings.audio.source in ("mic", "room") else screen.ended).wait()

    session_thread = SessionThread(opener)
    app = WorkbenchApp(lambda: LiveScreen(session_thread, _panels))
    with tuned_process():
        try:
            code = _show(app, screenshot, size, ready)
        finally:
            session_thread.wait()
    if session_thread.handle is not None and session_thread.handle.recording is not None:
        click.echo(f"recorded in {session_thread.handle.recording}", err=True)
    if session_thread.error is not None and code == 0:
        raise session_thread.error
    return code


def _panels() -> list[tuple[str, Panel]]:
    from workbench.plugin.manager import tui_panels  # imports the plugins

    return tui_panels()


def _show(
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
