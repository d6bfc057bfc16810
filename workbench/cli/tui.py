"""`workbench tui`: talk to the agent on the screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from workbench.cli.options import (
    agent_and_settings,
    path_option,
    session_options,
    settings_options,
)
from workbench.cli.screens import need_terminal, panels, show_app, size_option
from workbench.model.errors import UsageError


@click.command(
    epilog="""\b
Examples:
  workbench tui my_agent.py
  workbench tui --source question.wav --screenshot picture.svg --size 100x30"""
)
@session_options
@click.option(
    "--no-record", is_flag=True, help="Keep nothing. Without it the screen says where the recording is."
)
@path_option(
    "--screenshot",
    "Draw without a terminal, write the picture, leave: when a file has been talked through, or it listens.",
    "OUT.svg",
)
@size_option
@settings_options
def tui(screenshot: Path | None, size: tuple[int, int], **options: Any) -> None:
    """Talk to an agent, and see where the time of each turn goes.

    Sessions are recorded; `workbench replay` opens one, turn by turn. Exit codes: 0 fine, 2 bad input, 3 something is
    missing, 128 + signal.
    """
    if screenshot is None:
        need_terminal("use `workbench run`, or `--screenshot OUT.svg`")
    raise SystemExit(_live(options, screenshot, size))


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
    app = WorkbenchApp(lambda: LiveScreen(session_thread, panels))
    with tuned_process():
        try:
            code = show_app(app, screenshot, size, ready)
        finally:
            session_thread.wait()
    if session_thread.handle is not None and session_thread.handle.recording is not None:
        click.echo(f"recorded in {session_thread.handle.recording}", err=True)
    if session_thread.error is not None and code == 0:
        raise session_thread.error
    return code
