"""`workbench config`: settings with the origin of each value, and checks of settings files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import Any

import click

from workbench.cli.options import json_option, load_plugins
from workbench.cli.output import print_json, write_new
from workbench.cli.presets import ServerNames, combine, next_steps
from workbench.cli.presets import names as preset_names
from workbench.cli.suggestions import suggestions
from workbench.config import (
    Settings,
    find_file,
    known_settings,
    known_tables,
    load_settings,
    read_file,
    sentences,
)
from workbench.config.models import read_models
from workbench.config.toml import toml_value
from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.plugin.values import ProviderStage
from workbench.session.chain import check_chain
from workbench.simulation.script import Script
from workbench.tools.mcp.server import from_settings

STAGES: tuple[ProviderStage, ...] = ("vad", "turn", "stt", "llm", "tts")
WIDTH = 100
HEAD = """\
# Settings of workbench. A flag, or WORKBENCH_TABLE__KEY in the environment, goes before this file.
# Every setting stands here as a comment with its default: take away the # to set it.
"""
TAIL = """\
# What the scripted providers say (profile `scripted`).
# [script]
# user = ["Hello there.", "What can you do?"]
# agent = ["You said: {said}"]

# A provider with settings of its own, for a list of providers (above, [llm] provider = ["openai/gpt-5-mini", "local"]):
# the next one takes over where one fails. It has the words of [llm], [stt] and [tts].
# [providers.local]
# provider = "openai/llama3.2"
# base_url = "http://127.0.0.1:11434/v1"

# An MCP server whose tools the agent may use.
# [mcp.files]
# command = ["npx", "-y", "@modelcontextprotocol/server-filesystem", "."]
# [mcp.tickets]
# url = "http://127.0.0.1:8000/mcp"
# headers = {Authorization = "Bearer ${TICKETS_KEY}"}

# A profile of your own: chosen by `profile = "mine"` above, or by --profile mine.
# [profiles.mine]
# extends = "embedded"
# llm.provider = "openai/llama3.2"
# llm.base_url = "http://127.0.0.1:11434/v1"
"""

TAIL_ONLY = ("script", "mcp", "providers")
"""Tables of tables, which are shown by example."""

config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="Another file than workbench.toml."
)


@click.group(
    epilog="""\b
Example:
  workbench config show --origin
  workbench config validate"""
)
def config() -> None:
    """Settings: flag > environment (WORKBENCH_VAD__THRESHOLD) > workbench.toml > agent file > profile > default."""


@config.command(
    epilog="""\b
Example:
  workbench config show --profile scripted --origin
  workbench config show --json | jq .turn"""
)
@json_option("One JSON object.")
@click.option("--origin", is_flag=True, help="Where each value comes from.")
@click.option("--profile", help="As if this profile was chosen.")
@config_option
def show(as_json: bool, origin: bool, profile: str | None, config: Path | None) -> None:
    """Show every setting as it is used here. Keys are never shown."""
    settings = load_settings({"profile": profile}, config_path=config)
    if as_json:
        values = _with_origins(settings) if origin else settings.public()
        print_json(values)
    else:
        click.echo("\n".join(_lines(settings, origin)))
    for suggestion in suggestions(settings):
        click.echo(plain(f"offer: {suggestion}"), err=True)


@config.command(
    epilog="""\b
Example:
  workbench config validate workbench.toml"""
)
@click.argument("file", required=False, type=click.Path(path_type=Path))
def validate(file: Path | None) -> None:
    """Check a settings file and what else is set here. Exit code 2, with file, line and key, if something is wrong."""
    path = find_file(file)
    settings = load_settings(config_path=file)
    load_plugins(settings)
    for stage in STAGES:
        try:
            check_chain(stage, settings.chain(stage), settings)
        except UsageError as error:
            place = settings.origin(f"{stage}.provider")
            raise UsageError(f"{place}: {stage}.provider: {error.reason}", error.hint) from error
    try:
        Script.of(settings.script)
    except UsageError as error:
        raise UsageError(f"{settings.origin('script')}: {error.reason}", error.hint) from error
    from_settings(settings.mcp)
    if settings.prices:
        read_models(settings.prices)
    for profile in read_file(path).profiles:
        load_settings({"profile": profile}, config_path=file)
    click.echo(f"{path} is fine" if path else "there is no workbench.toml; the rest is fine")


@config.command(
    "init",
    epilog="""\b
Example:
  workbench config init
  workbench config init --for ollama
  workbench config init --for ollama,kokoro --force
  workbench config init ~/.config/workbench/workbench.toml""",
)
@click.argument(
    "file", default="workbench.toml", type=click.Path(path_type=Path, dir_okay=False), metavar="[FILE]"
)
@click.option(
    "--for", "servers", metavar="SERVER", multiple=True, type=ServerNames(),
    help=f"Only what this server needs; several with commas: {', '.join(preset_names())}.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite the file.")
def init_file(file: Path, servers: tuple[tuple[str, ...], ...], force: bool) -> None:
    """Write a workbench.toml in which every setting stands as a comment, with its default and what it does.

    With --for, write one for servers that you run or have a key for: stages that none of them has stay on board.
    """
    text, then = template(), ": take away a # to set something"
    if servers:
        text, presets = combine(name for several in servers for name in several)
        then = next_steps(presets)
    write_new(file, text, force=force, hint="nothing was written: give another name, or --force")
    click.echo(f"wrote {file}{then}", err=True)


def template() -> str:
    """A workbench.toml with every setting commented out."""
    descriptions, defaults = sentences(), Settings().public()
    lines = [HEAD]
    for table in ("", *known_tables()):
        if table:
            lines += [f"# {descriptions[table]}", f"[{table}]"]
        names = [
            name for name in known_settings() if name.rpartition(".")[0] == table and name not in TAIL_ONLY
        ]
        lines += [line for name in names for line in _entry(name, descriptions[name], _value(defaults, name))]
    return "\n".join([*lines, TAIL])


def _entry(name: str, sentence: str, value: Any) -> Iterator[str]:
    yield from wrap(sentence, WIDTH, initial_indent="# ", subsequent_indent="# ")
    yield f"# {name.rpartition('.')[2]} = {'' if value is None else toml_value(value)}".rstrip()
    yield ""


def _value(values: dict[str, Any], name: str) -> Any:
    value: Any = values
    for key in name.split("."):
        value = value[key]
    return value


def _with_origins(settings: Settings) -> dict[str, Any]:
    values = settings.public()
    return {
        name: {"value": _value(values, name), "origin": settings.origin(name)} for name in known_settings()
    }


def _lines(settings: Settings, origin: bool) -> Iterator[str]:
    """Like a workbench.toml, aligned."""
    values = settings.public()
    names = sorted(known_settings(), key=lambda name: (name.rpartition(".")[0], 0))
    table = ""
    for name in names:
        if name.rpartition(".")[0] != table:
            table = name.rpartition(".")[0]
            yield f"\n[{table}]"
        value = _value(values, name)
        text = plain(toml_value(value), limit=WIDTH, one_line=True) if value is not None else ""
        line = f"{name.rpartition('.')[2]:<20} = {text}".rstrip()
        yield f"{line:<50} # {plain(settings.origin(name))}" if origin else line
