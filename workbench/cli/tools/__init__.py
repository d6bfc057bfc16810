"""`workbench tools`: the tools of an agent, looked at, called and tested without a conversation."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, TextIO

import click

from workbench.cli.options import config_option, json_option, option_group, plugin_option
from workbench.cli.tools.toolbench import Selection, answer_stream, open_toolbench
from workbench.model.text import plain

FILE = "[FILE.py]"
ARGUMENTS = "JSON|@FILE|-"
Work = Callable[..., Coroutine[Any, Any, int]]


def on_tools(metavar: str) -> Callable[[Work], Callable[..., None]]:
    """Return a decorator for a command: it gets the selection of tools, whether it answers in JSON, the stream to
    answer on, and its own options; what it returns is the exit code."""
    options: Callable[[Callable[..., None]], Callable[..., None]] = option_group(
        click.argument("words", nargs=-1, metavar=metavar),
        plugin_option,
        config_option,
        json_option("JSON, one object a line."),
    )

    def decorate(work: Work) -> Callable[..., None]:
        @wraps(work)
        def command(
            words: tuple[str, ...], plugins: tuple[Path, ...], config: Path | None, as_json: bool, **own: Any
        ) -> None:
            with answer_stream() as out:
                selection = Selection.parse(words, plugins, config, names="NAME" in metavar)
                code = asyncio.run(work(selection, as_json, out, **own))
            raise SystemExit(code)

        return options(command)

    return decorate


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
@on_tools(FILE)
async def list_tools(selection: Selection, as_json: bool, out: TextIO) -> int:
    """The tools that the model may choose from, where each is from, and how long its schema takes."""
    async with open_toolbench(selection) as bench:
        listed = [describe(tool) for tool in bench.tools]
    for about in listed:
        text = "\n".join(_lines(about))
        if as_json:
            text = json.dumps({key: value for key, value in about.items() if key != "schema"})
        click.echo(text, file=out)
    if not listed:
        click.echo("there are no tools", err=True)
    elif not as_json:
        total_ms = sum(about["took_ms"] for about in listed)
        count = f"{len(listed)} tool{'s' * (len(listed) != 1)}"
        click.echo(f"{count}, schemas made in {total_ms:.1f} ms", err=True)
    return 0


def describe(tool: Any) -> dict[str, Any]:
    """Return all about a tool. UsageError for a signature from which no schema can be made."""
    fresh = replace(tool)  # nothing of it is cached
    began = time.perf_counter()
    spec = fresh.spec
    took_ms = (time.perf_counter() - began) * 1000
    schema = tool.parameters.schema
    policy = (
        "confirm",
        "idempotent",
        "on_interrupt",
        "timeout_s",
        "retries",
        "concurrency",
        "calls_per_minute",
    )
    return {
        "name": tool.name,
        "description": spec.description,
        "arguments": [*schema.get("properties", {})],
        "required": [*schema.get("required", ())],
        "strict": spec.strict,
        "loose_because": tool.parameters.loose_because,
        **{name: getattr(tool, name) for name in policy},
        "origin": tool.origin,
        "schema": schema,
        "took_ms": round(took_ms, 3),
    }


def _lines(about: dict[str, Any]) -> list[str]:
    arguments = (name if name in about["required"] else f"[{name}]" for name in about["arguments"])
    sentence = plain(about["description"], one_line=False).strip().partition("\n")[0]
    origin = plain(about["origin"], one_line=True) or "from somewhere"
    marks = [
        *(["asks the user"] if about["confirm"] else []),
        *(["changes nothing"] if about["idempotent"] else []),
    ]
    return [
        plain(f"{about['name']}({', '.join(arguments)})", one_line=True),
        *([f"  {sentence}"] if sentence else []),
        f"  {' · '.join([origin, *marks])}",
    ]


@tools.command(
    epilog="""\b
Example:
  workbench tools show agent.py weather"""
)
@on_tools(f"{FILE} NAME")
async def show(selection: Selection, as_json: bool, out: TextIO) -> int:
    """All about one tool: what the model is told, and how it may be called."""
    name = selection.required_name
    async with open_toolbench(selection) as bench:
        about = describe(bench.tools.find(name))
    if as_json:
        click.echo(json.dumps(about), file=out)
        return 0
    lines = [about["name"], "", about["description"], ""]
    for argument, schema in about["schema"].get("properties", {}).items():
        optional = "" if argument in about["required"] else ", may be left out"
        text = schema.get("description", "") if isinstance(schema, dict) else ""
        lines.append(f"  {argument}{optional}{f': {text}' if text else ''}")
    policy = [
        f"{key} {about[key]}"
        for key in ("confirm", "idempotent", "on_interrupt", "timeout_s", "retries")
        if about[key] not in (None, False, 0)
    ]
    strict = "strict" if about["strict"] else f"not strict: {about['loose_because']}"
    lines += [
        "",
        ", ".join(policy),
        f"schema: {strict}; made in {about['took_ms']} ms",
        f"from {about['origin']}",
    ]
    click.echo(plain("\n".join(lines)), file=out)
    click.echo(json.dumps(about["schema"], indent=2, ensure_ascii=False), file=out)
    return 0


@tools.command(
    epilog="""\b
Example:
  workbench tools schema agent.py > tools.json          # as `tools=` of chat.completions takes it
  workbench tools schema agent.py weather --format json"""
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["openai", "json"]),
    default="openai",
    show_default=True,
    help="As OpenAI's API takes tools, or the bare JSON schema of the arguments.",
)
@on_tools(f"{FILE} [NAME]")
async def schema(selection: Selection, as_json: bool, out: TextIO, form: str) -> int:
    """The schemas as JSON: of all tools, or of one. With --json on one line."""
    async with open_toolbench(selection) as bench:
        schemas = {
            tool.name: _openai(tool.spec) if form == "openai" else tool.parameters.schema
            for tool in bench.selected(selection.name)
        }
    answer: Any = list(schemas.values()) if form == "openai" else schemas
    if selection.name:
        answer = schemas[selection.name]
    click.echo(json.dumps(answer, indent=None if as_json else 2, ensure_ascii=as_json), file=out)
    return 0


def _openai(spec: Any) -> dict[str, Any]:
    function = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
    return {"type": "function", "function": {**function, **({"strict": True} if spec.strict else {})}}


@tools.command(
    epilog="""\b
Example:
  workbench tools call agent.py weather --args '{"city": "Oslo", "days": 2}'
  echo '{"city": "Oslo"}' | workbench tools call agent.py weather --args - --json"""
)
@click.option(
    "--args",
    "arguments",
    metavar=ARGUMENTS,
    default="{}",
    help="The arguments; - is standard input.  [default: {}]",
)
@click.option("--yes", is_flag=True, help="Do not ask, where the user must agree.")
@on_tools(f"{FILE} NAME")
async def call(selection: Selection, as_json: bool, out: TextIO, arguments: str, yes: bool) -> int:
    """Call a tool as the model would. Its result is on standard output, all that it prints on standard error.

    Exit codes: 0 fine; 2 no such tool, or arguments that it does not take; 4 it failed; 130 Ctrl-C.
    """
    from workbench.cli.tools.invoke import call_tool

    return await call_tool(selection, arguments, yes=yes, as_json=as_json, out=out)


@tools.command(
    epilog="""\b
Example:
  workbench tools test agent.py
  workbench tools test agent.py weather --args '{"city": "Oslo"}'   # calls it, too"""
)
@click.option(
    "--args",
    "arguments",
    metavar=ARGUMENTS,
    help="Arguments that work: the tool NAME is called with them some thirty times.",
)
@on_tools(f"{FILE} [NAME]")
async def test(selection: Selection, as_json: bool, out: TextIO, arguments: str | None) -> int:
    """Check each tool: schema, description, how it refuses wrong arguments. A line each.

    A tool is called only if it is given arguments that work; then it is also checked that it ends at once when it is
    cancelled, keeps the loop free, closes what it opened. Exit code 1 if one fails.
    """
    from workbench.cli.tools.contract import check_tools

    return await check_tools(selection, arguments, as_json=as_json, out=out)


@tools.command(
    epilog="""\b
Example:
  workbench tools serve agent.py                    # on standard input and output
  workbench tools serve agent.py --http --port 8000"""
)
@click.option("--http", is_flag=True, help="Streamable HTTP on this machine alone.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 is any free one."
)
@on_tools(FILE)
async def serve(selection: Selection, as_json: bool, out: TextIO, http: bool, port: int) -> int:
    """Offer the tools to others as an MCP server. With --http --json one line {"url": …} when it is ready.

    The other side asks its user where a tool wants that: such tools are marked as destructive.
    """
    from workbench.cli.signals import until_signal
    from workbench.cli.tools.server import serve_tools

    return await until_signal(serve_tools(selection, port if http else None, as_json=as_json, out=out))
