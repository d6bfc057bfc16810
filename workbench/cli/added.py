"""Commands that plugins add to the command line. Nothing here is imported for a command of ours."""

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


class TheirError(WorkbenchError):
    """A plugin's command or exporter raised."""

    exit_code = 1


@contextmanager
def theirs(what: str, *passing: type[Exception]) -> Iterator[None]:
    """Around a plugin's code in a command: what it raises is told as its own fault, but for errors that are meant for
    people, and those of the types `passing`."""
    clicks = (click.ClickException, click.Abort, click.exceptions.Exit)
    known: tuple[type[Exception], ...] = (WorkbenchError, *clicks, *passing)
    try:
        yield
    except known:
        raise
    except Exception as error:
        from workbench.plugin.guard import told

        raise TheirError(f"{what} raised {told(error)}", "report it to whoever wrote the plugin") from error


def are_there() -> bool:
    """Whether there may be a plugin that is not ours: a look at the files, 4 ms. `importlib.metadata` costs 25 ms more,
    importing the plugins as long as they like."""
    return any(map(_named_in_folder, sys.path)) or _named_in_settings()


def _named_in_folder(folder: str) -> bool:
    """Whether a distribution there has an entry point of ours, other than our own."""
    try:
        with os.scandir(folder or ".") as found:
            names = [one.path for one in found if one.name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return False
    for name in names:
        try:
            text = Path(name, "entry_points.txt").read_text("utf-8", "replace")
        except OSError:
            continue
        lines = text.partition("[workbench]")[2].partition("[")[0].split("\n")
        if any(line.strip() and not line.startswith("builtin") for line in lines):
            return True
    return False


def _named_in_settings() -> bool:
    """Whether some settings may name one; loading them to know takes 0.2 s."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "workbench"
    for file in (Path("workbench.toml"), home / "workbench.toml"):
        try:
            if re.search(r"^\s*plugins\s*=", file.read_text("utf-8", "replace"), re.MULTILINE):
                return True
        except OSError:
            pass
    return "WORKBENCH_PLUGINS" in os.environ


def commands(ours: frozenset[str]) -> dict[str, tuple[Plugin, click.Command]]:
    """The commands of plugins by name, those that are nobody else's. Raises UsageError for a loose plugin or settings
    that are broken."""
    found: dict[str, tuple[Plugin, click.Command]] = {}
    for plugin, command in _all():
        if str(command.name) not in ours:
            found.setdefault(str(command.name), (plugin, command))
    return found


def find(name: str, ours: frozenset[str]) -> click.Command | None:
    """The command of a plugin, None if there is none. Raises UsageError if two plugins bring it."""
    from workbench.plugin.manager import both

    if not are_there():
        return None
    owners = [(plugin, command) for plugin, command in _all() if command.name == name and name not in ours]
    if len(owners) > 1:
        reason = f"two commands are called {name!r}: {both(owners[0][0], owners[1][0])}"
        raise UsageError(reason, "uninstall one of them")
    return _named(*owners[0]) if owners else None


def problems(ours: frozenset[str]) -> list[PluginProblem]:
    """Commands that can't be called, as one of ours has their name."""
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
        from workbench.cli.flags import load_plugins
        from workbench.config import load

        load_plugins(load({}))
    return manager().brought("workbench_commands")


def _named(plugin: Plugin, command: click.Command) -> click.Command:
    """The command; what it raises is told as its plugin's."""
    inner = command.invoke
    what = f"the command {command.name} of {plugin.name} ({plugin.origin})"

    def invoke(context: click.Context) -> Any:
        with theirs(what, OSError):  # what it prints may have nowhere to go
            return inner(context)

    if not hasattr(command, "of_plugin"):
        command.invoke, command.of_plugin = invoke, plugin.name  # type: ignore[assignment,method-assign,attr-defined]
    return command
