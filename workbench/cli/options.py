"""Options that several commands share, and how an agent and its settings come of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from workbench.model.errors import UsageError
from workbench.model.text import plain

if TYPE_CHECKING:
    from workbench.agent import Agent
    from workbench.config import Settings

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]


def option_group(*options: Decorator[Any]) -> Decorator[Any]:
    """Return a decorator that adds these options, which `--help` lists in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def json_option(text: str = "One JSON object a line.") -> Decorator[Any]:
    """Return the option `--json`, for the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=text)


def profile_option(
    text: str = "embedded, scripted, openai, or your own.  [default: embedded]",
) -> Decorator[Any]:
    """Return the option `--profile`."""
    return click.option("--profile", metavar="NAME", help=text)


def path_option(flag: str, text: str, metavar: str = "FILE") -> Decorator[Any]:
    """Return an option whose value is a path."""
    return click.option(flag, metavar=metavar, type=click.Path(path_type=Path), help=text)


agent_argument = click.argument(
    "agent_file", metavar="[AGENT.py]", required=False, type=click.Path(path_type=Path)
)
record_option = path_option("--record", "Record into DIR (new or empty).", "DIR")
changes_option = click.option(
    "--set", "changes", metavar="KEY=VALUE", multiple=True, help="Any setting, like turn.silence_ms=300."
)
config_option = path_option("--config", "Settings instead of workbench.toml.")
plugin_option = click.option(
    "--plugin", "plugins", metavar="FILE.py", multiple=True, type=click.Path(path_type=Path),
    help="A plugin that is a file of yours; may be given again.",
)  # fmt: skip
session_options = option_group(
    agent_argument,
    click.option(
        "--source", metavar="mic|FILE.wav|none",
        help="Where the user's voice comes from; none: type only.  [default: mic]",
    ),
    click.option(
        "--sink", metavar="speaker|FILE.wav|none",
        help="Where the agent's voice goes; none: to nobody, at real time.  [default: speaker; none for a file]",
    ),
    click.option("--room", metavar="NAME", help="A LiveKit room instead: see `workbench room --help`."),
    profile_option(),
    record_option,
)  # fmt: skip
"""The agent, its transport, its profile and where to record."""
settings_options = option_group(changes_option, config_option, plugin_option)
"""Settings one by one, their file, and loose plugins."""


def agent_and_settings(
    agent_file: Path | None = None,
    *,
    source: str | None = None,
    sink: str | None = None,
    room: str | None = None,
    profile: str | None = None,
    record: Path | None = None,
    changes: Sequence[str] = (),
    config: Path | None = None,
    plugins: Sequence[Path] = (),
    settings: Mapping[str, Any] | None = None,
) -> tuple[Agent | None, Settings]:
    """Load the agent file, then the settings with what the command line says above all else, then loose plugins.

    `settings` are more of them, by name. Raises UsageError.
    """
    from workbench.config import load_settings

    agent = read_agent(agent_file) if agent_file else None
    values = {
        "profile": profile,
        "record.folder": record,
        **transport(source, sink, room),
        **(settings or {}),
        **pairs_of("--set", changes, "turn.silence_ms=300"),
    }
    loaded = load_settings(values, agent=agent, config_path=config)
    load_plugins(loaded, plugins)
    return agent, loaded


def read_agent(file: Path) -> Agent:
    """Return the agent of a file; what the file prints is no result of the command. Raises UsageError."""
    from workbench.agent import load_agent

    with contextlib.redirect_stdout(sys.stderr):
        return load_agent(file)


def pairs_of(flag: str, texts: Sequence[str], example: str) -> dict[str, str]:
    """Return what a flag that may be given again says as NAME=VALUE. Raises UsageError where there is no =."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(
                f"{flag} {plain(text, 80, one_line=True)}: there is no =", f"write it like {flag} {example}"
            )
        pairs[name.strip()] = value.strip()
    return pairs


def transport(source: str | None, sink: str | None, room: str | None) -> dict[str, Any]:
    """Return source and sink by the names of the settings. Raises UsageError where --room goes with others."""
    if room is None:
        return {"audio.source": source, "audio.sink": sink or (None if source in (None, "mic") else "none")}
    if source or sink:
        raise UsageError("--room is source and sink at once", "leave out --source and --sink")
    return {"audio.source": "room", "audio.sink": "room", "room.name": room}


def load_plugins(settings: Settings, files: Sequence[Path] = ()) -> None:
    """Load the plugins that the settings name, and `files`; name each on standard error. Raises UsageError."""
    if loose := [*settings.plugins, *files]:
        from workbench.plugin.manager import load_files

        for line in load_files(loose):
            click.echo(plain(line, one_line=True), err=True)
