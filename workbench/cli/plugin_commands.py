"""Commands of plugins on our command line. Nothing here is imported for a command of ours."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.model.errors import UsageError, WorkbenchError

if TYPE_CHECKING:
    from workbench.plugin.loading import Plugin, PluginProblem


class PluginCommandError(WorkbenchError):
    """A plugin's command or exporter raised."""

    exit_code = 1


@contextmanager
def blamed_on(plugin_code: str, *passing: type[Exception]) -> Iterator[None]:
    """Report what a plugin's code raises as its own fault, but for errors meant for people and the types `passing`.

    Raises PluginCommandError.
    """
    clicks = (click.ClickException, click.Abort, click.exceptions.Exit)
    unchanged: tuple[type[Exception], ...] = (WorkbenchError, *clicks, *passing)
    try:
        yield
    except unchanged:
        raise
    except Exception as error:
        from workbench.plugin.foreign_calls import describe_error

        reason = f"{plugin_code} raised {describe_error(error)}"
        raise PluginCommandError(reason, "report it to whoever wrote the plugin") from error


def may_exist() -> bool:
    """Decide whether there may be a plugin that is not ours, by a look at the files: 4 ms.

    `importlib.metadata` costs 25 ms more, importing the plugins as long as they like.
    """
    return any(map(_named_in_folder, sys.path)) or _named_in_settings()


def _named_in_folder(folder: str) -> bool:
    """Decide whether a distribution there has an entry point of ours, other than our own."""
    try:
        with os.scandir(folder or ".") as files:
            paths = [file.path for file in files if file.name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return False
    for path in paths:
        try:
            text = Path(path, "entry_points.txt").read_text("utf-8", "replace")
        except OSError:
            continue
        lines = text.partition("[workbench]")[2].partition("[")[0].split("\n")
        if any(line.strip() and not line.startswith("builtin") for line in lines):
            return True
    return False


def _named_in_settings() -> bool:
    """Decide whether some settings may name one; loading them to know takes 0.2 s."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "workbench"
    for file in (Path("workbench.toml"), home / "workbench.toml"):
        try:
            if re.search(r"^\s*plugins\s*=", file.read_text("utf-8", "replace"), re.MULTILINE):
                return True
        except OSError:
            pass
    return "WORKBENCH_PLUGINS" in os.environ


def commands(ours: frozenset[str]) -> dict[str, tuple[Plugin, click.Command]]:
    """Return the commands of plugins by name, without those that have the name of one of `ours`.

    Raises UsageError for a loose plugin or settings that are broken.
    """
    by_name: dict[str, tuple[Plugin, click.Command]] = {}
    for plugin, command in _all():
        if str(command.name) not in ours:
            by_name.setdefault(str(command.name), (plugin, command))
    return by_name


def find(name: str, ours: frozenset[str]) -> click.Command | None:
    """Return the command of a plugin, None if there is none. Raises UsageError if two plugins have it."""
    from workbench.plugin.manager import describe_clash

    if not may_exist():
        return None
    owners = [(plugin, command) for plugin, command in _all() if command.name == name and name not in ours]
    if len(owners) > 1:
        reason = f"two commands are called {name!r}: {describe_clash(owners[0][0], owners[1][0])}"
        raise UsageError(reason, "uninstall one of them")
    return _guarded(*owners[0]) if owners else None


def problems(ours: frozenset[str]) -> list[PluginProblem]:
    """Return a problem for each command that can't be called, as one of ours has its name."""
    from workbench.plugin.loading import PluginProblem

    return [
        PluginProblem(
            plugin.name,
            plugin.origin,
            f"its command {command.name!r} is also one of workbench itself, which goes first",
            "give it another name",
        )
        for plugin, command in _all()
        if command.name in ours
    ]


def _all() -> list[tuple[Plugin, Any]]:
    from workbench.plugin.manager import manager

    if _named_in_settings():
        from workbench.cli.options import load_plugins
        from workbench.config import load_settings

        load_plugins(load_settings({}))
    return manager().contributions("workbench_commands")


def _guarded(plugin: Plugin, command: click.Command) -> click.Command:
    """Return the command, which blames its plugin for what it raises."""
    invoke = command.invoke

    def guarded_invoke(context: click.Context) -> Any:
        with blamed_on(
            f"the command {command.name} of {plugin.name} ({plugin.origin})", OSError
        ):  # broken pipes
            return invoke(context)

    if not hasattr(command, "of_plugin"):
        command.invoke, command.of_plugin = guarded_invoke, plugin.name  # type: ignore[assignment,method-assign,attr-defined]
    return command
