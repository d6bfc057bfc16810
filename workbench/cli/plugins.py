"""`workbench plugins`: list, describe and check plugins, and begin one."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.options import json_option, load_plugins, plugin_option
from workbench.cli.output import mark, print_json
from workbench.model.errors import UsageError
from workbench.model.text import plain

if TYPE_CHECKING:
    from workbench.plugin.loading import Plugin, PluginProblem

plugins_json_option = json_option("One JSON object.")


@click.group(
    epilog="""\b
Example:
  workbench plugins list
  workbench plugins new dice"""
)
def plugins() -> None:
    """Tools, providers, commands, panels and hooks that come from packages or files."""


@plugins.command(
    "list",
    epilog="""\b
Example:
  workbench plugins list --json""",
)
@plugin_option
@plugins_json_option
def list_plugins(plugins: tuple[Path, ...], as_json: bool) -> None:
    """The plugins that are installed, by the name of their entry point, and loose ones. Imports none of them."""
    from workbench.config import load_settings
    from workbench.plugin.loading import Origin, installed_plugins

    packages, problems = installed_plugins()
    rows = [(plugin.name, plugin.origin) for plugin in packages]
    rows += [(file.stem, Origin(file=file)) for file in (*load_settings({}).plugins, *plugins)]
    if as_json:
        listed = [{"name": name, **_origin(origin)} for name, origin in rows]
        print_json({"plugins": listed, "problems": [_problem(problem) for problem in problems]})
        return
    width = max(len(name) for name, _ in rows)
    for name, origin in rows:
        click.echo(f"{name:<{width}}  {plain(str(origin), one_line=True)}")
    for problem in problems:
        _print_problem(problem, err=True)


@plugins.command(
    epilog="""\b
Example:
  workbench plugins show builtin"""
)
@click.argument("name")
@plugin_option
@plugins_json_option
def show(name: str, plugins: tuple[Path, ...], as_json: bool) -> None:
    """What a plugin is, which hooks it implements, and what it brings.

    Exit code 1 if something is wrong with it.
    """
    loaded, problems = _load(plugins)
    problems_of_it = [problem for problem in problems if problem.plugin == name]
    plugin = loaded.get(name)
    if plugin is None and not problems_of_it:
        names = [*loaded, *(problem.plugin for problem in problems)]
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"
        raise UsageError(f"no plugin is called {plain(repr(name), 80)}", hint)
    description = _describe(plugin) if plugin else {"name": name, **_origin(problems_of_it[0].origin)}
    if as_json:
        print_json({**description, "problems": [_problem(problem) for problem in problems_of_it]})
    else:
        _print(description)
        for problem in problems_of_it:
            _print_problem(problem)
    raise SystemExit(1 if problems_of_it else 0)


@plugins.command(
    epilog="""\b
Example:
  workbench plugins doctor
  workbench plugins doctor --plugin my_plugin.py --json"""
)
@plugin_option
@plugins_json_option
def doctor(plugins: tuple[Path, ...], as_json: bool) -> None:
    """Import every plugin, ask it what it brings, and say what is wrong with it.

    Exit code 1 if something is wrong with one of them.
    """
    from workbench.plugin.manager import describe_plugin

    loaded, problems = _load(plugins)
    if as_json:
        described = [_describe(plugin) for plugin in loaded.values()]
        reports = [_problem(problem) for problem in problems]
        print_json({"ok": not problems, "plugins": described, "problems": reports})
        raise SystemExit(1 if problems else 0)
    for plugin in loaded.values():
        if plugin.name not in {problem.plugin for problem in problems}:
            contents = describe_plugin(plugin).partition(": ")[2] or "nothing"
            line = f"{plugin.name} ({plugin.origin}): {contents}; imported in {plugin.took_ms:.0f} ms"
            click.echo(f"{mark('✓', 'green')} {plain(line, one_line=True)}")
    for problem in problems:
        _print_problem(problem)
    raise SystemExit(1 if problems else 0)


@plugins.command(
    epilog="""\b
Example:
  workbench plugins new dice
  pip install -e dice/
  workbench plugins show dice"""
)
@click.argument("name")
def new(name: str) -> None:
    """Write a package with a tool, its plugin and a test that passes, into a new folder NAME."""
    from workbench.cli.scaffold import scaffold

    folder = scaffold(name, Path())
    click.echo(f"wrote {folder}/: read {folder}/README.md, then `pip install -e {folder}/`", err=True)


def _load(files: Sequence[Path]) -> tuple[dict[str, Plugin], list[PluginProblem]]:
    """Load and ask all plugins; return them by name, and all that is wrong with them."""
    from workbench.cli import COMMANDS, plugin_commands
    from workbench.config import load_settings
    from workbench.plugin.manager import manager

    load_plugins(load_settings({}), files)
    manager().ask_all()
    return manager().loaded, [*manager().problems(), *plugin_commands.problems(frozenset(COMMANDS))]


def _describe(plugin: Plugin) -> dict[str, Any]:
    from workbench.plugin.contributions import KINDS
    from workbench.plugin.manager import manager

    items = {
        hook: [_name(item) for _, item in manager().contributions(hook, plugin)] if hook in KINDS else []
        for hook in plugin.hooks
    }
    return {
        "name": plugin.name,
        **_origin(plugin.origin),
        "about": _about(plugin.origin.package),
        "module": getattr(plugin.body, "__name__", type(plugin.body).__name__),
        "imported_in_ms": plugin.took_ms,
        "hooks": items,
    }


def _about(package: str | None) -> str:
    try:
        return str(metadata.metadata(package).json.get("summary") or "") if package else ""
    except metadata.PackageNotFoundError:  # its folder has another name than it says
        return ""


def _name(item: Any) -> str:
    stage = getattr(item, "stage", None)
    name = str(getattr(item, "name", None) or getattr(item, "__name__", type(item).__name__))
    return f"{stage} {name}" if stage else name


def _origin(origin: Any) -> dict[str, Any]:
    file = str(origin.file) if origin.file else None
    return {"package": origin.package, "version": origin.version, "file": file}


def _problem(problem: PluginProblem) -> dict[str, Any]:
    where = _origin(problem.origin)
    return {"plugin": problem.plugin, **where, "reason": problem.reason, "hint": problem.hint}


def _print(description: dict[str, Any]) -> None:
    origin = description["file"] or f"{description['package']} {description['version']}"
    rows = [("name", description["name"]), ("from", origin)]
    if "hooks" in description:
        rows += [("about", description["about"]), ("module", description["module"])]
        rows.append(("imported", f"in {description['imported_in_ms']:.0f} ms"))
    for label, text in rows:
        if text:
            click.echo(f"{label:<10}{plain(text, one_line=True)}")
    for hook, items in description.get("hooks", {}).items():
        click.echo(plain(f"  {hook}{': ' if items else ''}{', '.join(items)}", one_line=False))


def _print_problem(problem: PluginProblem, *, err: bool = False) -> None:
    click.echo(f"{mark('✗', 'red')} {plain(str(problem), one_line=True)}", err=err)
    if problem.hint:
        click.echo(f"  → {plain(problem.hint, one_line=True)}", err=err)
