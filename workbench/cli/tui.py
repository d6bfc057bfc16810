"""`workbench tui`: talk to the agent on the screen, or look at a recording."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.flags import agent_and_settings, load_plugins, plugin_option
from workbench.model.errors import UsageError

if TYPE_CHECKING:
    from workbench.plugin.values import Panel
    from workbench.tui.app import WorkbenchApp


def _size(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, int]:
    """`WxH`: columns and rows that a screen can have."""
    found = re.fullmatch(r"(\d{1,3})x(\d{1,3})", text)
    if found is None or not (20 <= int(found[1]) <= 500 and 8 <= int(found[2]) <= 300):
        raise click.BadParameter(f"{text!r} is no size of a screen: write columns x rows, like 120x40")
    return int(found[1]), int(found[2])


@click.command(
    epilog="""\b
Examples:
  workbench tui my_agent.py
  workbench tui --replay ~/.local/share/workbench/sessions/20260301T101500Z-7f3a01c2
  workbench tui --source question.wav --screenshot picture.svg --size 100x30"""
)
@click.argument("agent_file", metavar="[AGENT.py]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--source",
    metavar="mic|FILE.wav|none",
    help="Where the user's voice comes from; none: type only.  [default: mic]",
)
@click.option(
    "--sink",
    metavar="speaker|FILE.wav|none",
    help="Where the agent's voice goes; none: to nobody, at real time.  [default: speaker; none for a file]",
)
@click.option("--room", metavar="NAME", help="A LiveKit room instead: see `workbench room --help`.")
@click.option(
    "--profile", metavar="NAME", help="embedded, scripted, openai, or your own.  [default: embedded]"
)
@click.option(
    "--record", metavar="DIR", type=click.Path(path_type=Path), help="Record into DIR (new or empty)."
)
@click.option(
    "--no-record", is_flag=True, help="Keep nothing. Without it the screen says where the recording is."
)
@click.option("--replay", metavar="DIR", type=click.Path(path_type=Path), help="Look at a recording instead.")
@click.option(
    "--screenshot",
    metavar="OUT.svg",
    type=click.Path(path_type=Path),
    help="Draw without a terminal, write the picture, leave: when a file has been talked through, or it listens.",
)
@click.option(
    "--size", metavar="WxH", default="120x40", callback=_size, help="Of the picture.  [default: 120x40]"
)
@click.option(
    "--set", "changes", metavar="KEY=VALUE", multiple=True, help="Any setting, like turn.silence_ms=300."
)
@click.option(
    "--config", metavar="FILE", type=click.Path(path_type=Path), help="Settings instead of workbench.toml."
)
@plugin_option
def tui(replay: Path | None, screenshot: Path | None, size: tuple[int, int], **given: Any) -> None:
    """Talk to an agent, and see where the time of each turn goes.

    Sessions are recorded; --replay opens one, turn by turn. Exit codes: 0 fine, 2 bad input, 3 something is missing,
    128 + signal.
    """
    if screenshot is None:
        _need_terminal()
    code = _replay(replay, screenshot, size, given) if replay else _live(given, screenshot, size)
    raise SystemExit(code)


def _need_terminal() -> None:
    from workbench.tui.terminal import have_terminal  # 50 ms of textual: only this command pays it

    if not have_terminal():
        raise UsageError("there is no terminal to draw on", "use `workbench run`, or `--screenshot OUT.svg`")


def _replay(folder: Path, screenshot: Path | None, size: tuple[int, int], given: dict[str, Any]) -> int:
    from workbench.config import load
    from workbench.trace.store import open_trace
    from workbench.tui.app import WorkbenchApp
    from workbench.tui.replay import ReplayScreen

    if any(value for name, value in given.items() if name != "plugins"):
        raise UsageError(
            "a recording is only looked at", "leave out everything but --screenshot, --size and --plugin"
        )
    load_plugins(load({}), given["plugins"])
    trace = open_trace(folder)
    app = WorkbenchApp(lambda: ReplayScreen(trace, _panels))
    return _show(app, screenshot, size, lambda: app.first(ReplayScreen).drawn.wait())


def _live(given: dict[str, Any], screenshot: Path | None, size: tuple[int, int]) -> int:
    from workbench.tui.app import WorkbenchApp
    from workbench.tui.host import Host
    from workbench.tui.live import LiveScreen

    agent, settings = agent_and_settings(
        given["agent_file"], _flags(given), given["changes"], given["config"], given["plugins"]
    )

    def opener() -> Any:
        from workbench.session import open_session  # the engine and what it needs: after the first paint

        return open_session(settings, agent=agent)

    def ready() -> Any:
        screen = app.first(LiveScreen)
        return (screen.listening if settings.audio.source in ("mic", "room") else screen.ended).wait()

    host = Host(opener)
    app = WorkbenchApp(lambda: LiveScreen(host, _panels))
    try:
        code = _show(app, screenshot, size, ready)
    finally:
        host.wait()
    if host.handle is not None and host.handle.recording is not None:
        click.echo(f"recorded in {host.handle.recording}", err=True)
    if host.error is not None and code == 0:
        raise host.error
    return code


def _panels() -> list[tuple[str, Panel]]:
    from workbench.plugin.manager import tui_panels  # imports the plugins

    return tui_panels()


def _flags(given: dict[str, Any]) -> dict[str, Any]:
    """What was given, by the names of the settings."""
    if given["record"] and given["no_record"]:
        raise UsageError("--record and --no-record contradict each other", "give one of them")
    from workbench.cli.flags import ends

    return {
        "profile": given["profile"],
        **ends(given["source"], given["sink"], given["room"]),
        "record.folder": given["record"],
        "record.enabled": False if given["no_record"] else None,
    }


def _show(
    app: WorkbenchApp, screenshot: Path | None, size: tuple[int, int], ready: Callable[[], Awaitable[object]]
) -> int:
    """Run the screen to its end, in the terminal or as a picture; its exit code."""
    if screenshot is not None:
        from workbench.tui.screenshot import shoot

        shoot(app, screenshot, size, ready)
        return app.return_code or 0
    from workbench.tui.terminal import quiet_terminal

    with quiet_terminal() as noise:
        app.run()
        code = app.return_code or 0
        noise.seek(0)
        said = noise.read() if code else b""
    if said:
        click.echo(said.decode(errors="replace"), err=True, nl=False)
    return code
