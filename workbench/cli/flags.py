"""From flags to an agent and its settings: the same for every command that talks."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.model.errors import UsageError
from workbench.model.text import plain

if TYPE_CHECKING:
    from workbench.agent import Agent
    from workbench.config import Settings


plugin_option = click.option(
    "--plugin",
    "plugins",
    metavar="FILE.py",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A plugin that is a file of yours; may be given again.",
)


def agent_and_settings(
    agent_file: Path | None,
    flags: Mapping[str, Any],
    changes: Sequence[str] = (),
    config: Path | None = None,
    plugins: Sequence[Path] = (),
) -> tuple[Agent | None, Settings]:
    """Load the agent file, then the settings with `flags` and `--set KEY=VALUE` above all else, then the plugins that
    are files. Raises UsageError."""
    from workbench.agent import load_agent
    from workbench.config import load

    with contextlib.redirect_stdout(sys.stderr):  # what the file prints is no result of the command
        agent = load_agent(agent_file) if agent_file else None
    given = dict(flags)
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise UsageError(f"--set {change}: there is no =", "write it like --set turn.silence_ms=300")
        given[name.strip()] = value.strip()
    settings = load(given, agent=agent, config_path=config)
    load_plugins(settings, plugins)
    return agent, settings


def load_plugins(settings: Settings, files: Sequence[Path] = ()) -> None:
    """Load the plugins that the settings name, and `files`, and tell of each on standard error. Raises UsageError."""
    loose = [*settings.plugins, *files]
    if not loose:
        return
    from workbench.plugin.manager import load_files

    for line in load_files(loose):
        click.echo(plain(line, one_line=True), err=True)


def ends(source: str | None, sink: str | None, room: str | None) -> dict[str, Any]:
    """Source and sink by the names of the settings. UsageError where --room goes with others."""
    if room is None:
        return {"audio.source": source, "audio.sink": sink or (None if source in (None, "mic") else "none")}
    if source or sink:
        raise UsageError("--room is source and sink at once", "leave out --source and --sink")
    return {"audio.source": "room", "audio.sink": "room", "room.name": room}
