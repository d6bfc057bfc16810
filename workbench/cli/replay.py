"""`workbench replay`: a recorded session on the screen, moment by moment."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click

from workbench.cli.options import json_option, load_plugins, path_option, plugin_option
from workbench.cli.output import out
from workbench.cli.screens import need_terminal, panels, show_app, size_option
from workbench.cli.sessions import find_session
from workbench.model.errors import UsageError


@click.command(
    epilog="""\b
Examples:
  workbench replay
  workbench replay 2f6c01aa
  workbench replay before --screenshot picture.svg --size 100x30
  workbench replay before --json | jq 'select(.turn == null)'"""
)
@click.argument("session", required=False, metavar="[DIR]")
@json_option("No screen: one JSON object a line for each utterance, with what was decided about it.")
@path_option("--screenshot", "Draw without a terminal, write the picture, leave.", "OUT.svg")
@size_option
@plugin_option
def replay(
    session: str | None,
    as_json: bool,
    screenshot: Path | None,
    size: tuple[int, int],
    plugins: tuple[Path, ...],
) -> None:
    """See and hear a recorded session again: both sides on one axis, turn by turn, and why the agent spoke or not.

    DIR is a folder, an id, or the beginning of a folder's name in `workbench sessions`; without it, the newest session.
    Nothing in the folder is changed. Exit codes: 0 fine, 2 bad input, 128 + signal.
    """
    if as_json and screenshot:
        raise UsageError("--json and --screenshot are two answers", "leave one of them out")
    folder = find_session(session)
    if as_json:
        _print_decisions(folder)
        return
    if screenshot is None:
        need_terminal("use `--json`, `--screenshot OUT.svg` or `workbench sessions show`")
    raise SystemExit(_show(folder, screenshot, size, plugins))


def _print_decisions(folder: Path) -> None:
    from workbench.readers import notable
    from workbench.readers.folds.decisions import DecisionsFold
    from workbench.trace.store import open_trace

    fold = DecisionsFold(keep=None)
    for entry in notable(open_trace(folder)):
        fold.feed(entry)
    for account in fold.accounts:
        out(json.dumps(account.to_json()))


def _show(folder: Path, screenshot: Path | None, size: tuple[int, int], plugins: tuple[Path, ...]) -> int:
    from workbench.config import load_settings
    from workbench.tui.app import WorkbenchApp
    from workbench.tui.replay import ReplayScreen
    from workbench.views.trace import open_trace

    load_plugins(load_settings({}), plugins)
    trace = open_trace(folder)
    app = WorkbenchApp(lambda: ReplayScreen(trace, panels, partial(_save_turn, folder)))
    return show_app(app, screenshot, size, lambda: app.first(ReplayScreen).drawn.wait())


def _save_turn(folder: Path, number: int) -> Path:
    from workbench.replay.saved_turn import save_turn  # the engine: 0.3 s that only who saves pays for

    return save_turn(folder, number)
