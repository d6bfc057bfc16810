"""`workbench tools`: the tools of an agent, looked at, called and tested without a conversation."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import click

from workbench.cli.options import plugin_option
from workbench.cli.tools.toolbench import Selection, Toolbench, answers, opened, run, wanted
from workbench.model.text import plain

FILE = "[FILE.py]"


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """What each of the commands takes."""
    config = click.option(
        "--config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Settings instead of workbench.toml.",
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="JSON, one object a line.")
    return plugin_option(config(as_json(command)))


@click.group(
    epilog="""\b
Example:
  workbench tools list agent.py
  workbench tools call agent.py weather --args '{"city": "Oslo"}'"""
)
def tools() -> None:
    """The tools of an agent: list, show, call, test them, or serve them to others.

    FILE.py is an agent file, or one with nothing but tools in it; without it there are the tools of plugins and of MCP
    servers in the settings.
    """


@tools.command(
    "list",
    epilog="""\b
Example:
  workbench tools list agent.py
  workbench tools list agent.py --json | jq .name""",
)
@click.argument("words", nargs=-1, metavar=FILE)
@common
def list_tools(words: tuple[str, ...], plugins: tuple[Path, ...], config: Path | None, as_json: bool) -> None:
    """The tools that the model may choose from, where each is from, and how long its schema takes."""
    with answers() as out:
        run(_list(wanted(words, name=False, plugins=plugins, config=config), as_json, out))


async def _list(what: Selection, as_json: bool, out: TextIO) -> None:
    async with opened(what) as bench:
        told = [described(tool) for tool in bench.tools]
    for one in told:
        if as_json:
            click.echo(json.dumps({key: one[key] for key in one if key != "schema"}), file=out)
        else:
            click.echo("\n".join(_lines(one)), file=out)
    if not told:
        click.echo("there are no tools", err=True)
    elif not as_json:
        total = sum(one["took_ms"] for one in told)
        click.echo(f"{len(told)} tool{'s' * (len(told) != 1)}, schemas made in {total:.1f} ms", err=True)


def described(tool: Any) -> dict[str, Any]:
    """What there is to know about a tool. UsageError for a signature that cannot be."""
    fresh = replace(tool)  # nothing of it is known yet
    began = time.perf_counter()
    spec = fresh.spec
    took_ms = (time.perf_counter() - began) * 1000
    schema = tool.parameters.schema
    return {
        "name": tool.name,
        "description": spec.description,
        "arguments": [*schema.get("properties", {})],
        "required": [*schema.get("required", ())],
        "strict": spec.strict,
        "loose_because": tool.parameters.loose_because,
        "confirm": tool.confirm,
        "idempotent": tool.idempotent,
        "on_interrupt": tool.on_interrupt,
        "timeout_s": tool.timeout_s,
        "retries": tool.retries,
        "concurrency": tool.concurrency,
        "calls_per_minute": tool.calls_per_minute,
        "origin": tool.origin,
        "schema": schema,
        "took_ms": round(took_ms, 3),
    }


def _lines(one: dict[str, Any]) -> list[str]:
    required = one["required"]
    arguments = ", ".join(name if name in required else f"[{name}]" for name in one["arguments"])
    first = plain(one["description"], one_line=False).strip().partition("\n")[0]
    marks = [
        *(["asks the user"] if one["confirm"] else []),
        *(["changes nothing"] if one["idempotent"] else []),
    ]
    told = [plain(f"{one['name']}({arguments})", one_line=True)]
    told += [f"  {first}"] if first else []
    told.append(f"  {' · '.join([plain(one['origin'], one_line=True) or 'from somewhere', *marks])}")
    return told


@tools.command(
    epilog="""\b
Example:
  workbench tools show agent.py weather"""
)
@click.argument("words", nargs=-1, metavar=f"{FILE} NAME")
@common
def show(words: tuple[str, ...], plugins: tuple[Path, ...], config: Path | None, as_json: bool) -> None:
    """All about one tool: what the model is told, and how it may be called."""
    with answers() as out:
        run(_show(wanted(words, name=True, plugins=plugins, config=config), as_json, out))


async def _show(what: Selection, as_json: bool, out: TextIO) -> None:
    async with opened(what) as bench:
        one = described(bench.tools.find(what.name or ""))
    if as_json:
        click.echo(json.dumps(one), file=out)
        return
    click.echo(plain(f"{one['name']}\n\n{one['description']}\n"), file=out)
    for name, about in one["schema"].get("properties", {}).items():
        need = "" if name in one["required"] else ", may be left out"
        text = about.get("description", "") if isinstance(about, dict) else ""
        click.echo(plain(f"  {name}{need}{f': {text}' if text else ''}"), file=out)
    said = "strict" if one["strict"] else f"not strict: {one['loose_because']}"
    policy = {key: one[key] for key in ("confirm", "idempotent", "on_interrupt", "timeout_s", "retries")}
    told = ", ".join(f"{key} {value}" for key, value in policy.items() if value not in (None, False, 0))
    click.echo(
        plain(f"\n{told}\nschema: {said}; made in {one['took_ms']} ms\nfrom {one['origin']}"), file=out
    )
    click.echo(json.dumps(one["schema"], indent=2, ensure_ascii=False), file=out)


@tools.command(
    epilog="""\b
Example:
  workbench tools schema agent.py > tools.json          # as `tools=` of chat.completions takes it
  workbench tools schema agent.py weather --format json"""
)
@click.argument("words", nargs=-1, metavar=f"{FILE} [NAME]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["openai", "json"]),
    default="openai",
    show_default=True,
    help="As OpenAI's API takes tools, or the bare JSON schema of the arguments.",
)
@common
def schema(
    words: tuple[str, ...], form: str, plugins: tuple[Path, ...], config: Path | None, as_json: bool
) -> None:
    """The schemas as JSON: of all tools, or of one. With --json on one line."""
    with answers() as out:
        run(_schema(wanted(words, plugins=plugins, config=config), form, as_json, out))


async def _schema(what: Selection, form: str, as_json: bool, out: TextIO) -> None:
    async with opened(what) as bench:
        chosen = [bench.tools.find(what.name)] if what.name else [*bench.tools]
        made = {one.name: _openai(one.spec) if form == "openai" else one.parameters.schema for one in chosen}
    every = list(made.values()) if form == "openai" else made
    answer = made[what.name] if what.name else every
    click.echo(json.dumps(answer, indent=None if as_json else 2, ensure_ascii=as_json), file=out)


def _openai(spec: Any) -> dict[str, Any]:
    function = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
    return {"type": "function", "function": {**function, **({"strict": True} if spec.strict else {})}}


@tools.command(
    epilog="""\b
Example:
  workbench tools call agent.py weather --args '{"city": "Oslo", "days": 2}'
  echo '{"city": "Oslo"}' | workbench tools call agent.py weather --args - --json"""
)
@click.argument("words", nargs=-1, metavar=f"{FILE} NAME")
@click.option(
    "--args",
    "given",
    metavar="JSON|@FILE|-",
    default="{}",
    help="The arguments; - is standard input.  [default: {}]",
)
@click.option("--yes", is_flag=True, help="Do not ask, where the user must agree.")
@common
def call(
    words: tuple[str, ...],
    given: str,
    yes: bool,
    plugins: tuple[Path, ...],
    config: Path | None,
    as_json: bool,
) -> None:
    """Call a tool as the model would. Its result is on standard output, all that it prints on standard error.

    Exit codes: 0 fine; 2 no such tool, or arguments that it does not take; 4 it failed; 130 Ctrl-C.
    """
    from workbench.cli.tools.invoke import call_tool, read_arguments

    with answers() as out:
        what = wanted(words, name=True, plugins=plugins, config=config)
        code = run(call_tool(what, read_arguments(given), yes=yes, as_json=as_json, out=out))
    raise SystemExit(code)


@tools.command(
    epilog="""\b
Example:
  workbench tools test agent.py
  workbench tools test agent.py weather --args '{"city": "Oslo"}'   # calls it, too"""
)
@click.argument("words", nargs=-1, metavar=f"{FILE} [NAME]")
@click.option(
    "--args",
    "given",
    metavar="JSON|@FILE|-",
    help="Arguments that work: the tool NAME is called with them some thirty times.",
)
@common
def test(
    words: tuple[str, ...], given: str | None, plugins: tuple[Path, ...], config: Path | None, as_json: bool
) -> None:
    """Check each tool: schema, description, how it refuses wrong arguments. A line each.

    A tool is called only if it is given arguments that work; then it is also checked that it ends at once when it is
    cancelled, keeps the loop free, closes what it opened. Exit code 1 if one fails.
    """
    from workbench.cli.tools.contract import check
    from workbench.cli.tools.invoke import read_arguments

    with answers() as out:
        what = wanted(words, name=None if given is None else True, plugins=plugins, config=config)
        code = run(check(what, None if given is None else read_arguments(given), as_json, out))
    raise SystemExit(code)


@tools.command(
    epilog="""\b
Example:
  workbench tools serve agent.py                    # on standard input and output
  workbench tools serve agent.py --http --port 8000"""
)
@click.argument("words", nargs=-1, metavar=FILE)
@click.option("--http", is_flag=True, help="Streamable HTTP on this machine alone.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 is any free one."
)
@common
def serve(
    words: tuple[str, ...],
    http: bool,
    port: int,
    plugins: tuple[Path, ...],
    config: Path | None,
    as_json: bool,
) -> None:
    """Offer the tools to others as an MCP server. With --http --json one line {"url": …} when it is ready.

    The other side asks its user where a tool wants that: such tools are marked as destructive.
    """
    from workbench.cli.tools.server import serve_tools

    with answers() as out:
        what = wanted(words, name=False, plugins=plugins, config=config)
        code = run(serve_tools(what, port if http else None, as_json, out))
    raise SystemExit(code)


__all__ = ["Toolbench", "tools"]
