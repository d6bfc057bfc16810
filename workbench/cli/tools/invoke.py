"""`workbench tools call`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TextIO

import click

from workbench.cli.tools.toolbench import Selection, Toolbench, opened
from workbench.model.errors import UsageError
from workbench.model.text import plain

MOST = 2_000_000
"""Characters of arguments that are read from a file; the model may send half of it."""


def read_arguments(given: str) -> str:
    """JSON as it stands, from `@FILE`, or from standard input (`-`). UsageError for a file that cannot be read."""
    if given == "-":
        return sys.stdin.read(MOST)
    if not given.startswith("@"):
        return given
    try:
        with Path(given[1:]).open(encoding="utf-8") as file:
            return file.read(MOST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"{plain(given[1:], 200)} cannot be read: {reason}", "give --args '{…}'") from None


async def call_tool(what: Selection, arguments: str, *, yes: bool, as_json: bool, out: TextIO) -> int:
    """Call it, and say what came of it; the exit code."""
    async with opened(what) as bench:
        tool = bench.tools.find(what.name or "")
        refusal = _refusal(bench, tool.name, arguments)
        if refusal is None and tool.confirm and not yes:
            _agreed(bench, tool.name, arguments)
        end = await bench.call(tool.name, arguments)
        shown = bench.shown(end)
    if as_json:
        answer = {
            "tool": end.name,
            "status": end.status,
            "result": end.result if end.status == "done" else None,
            "error": end.error,
            "shown": shown,
            "took_ms": end.took_ms,
        }
        click.echo(json.dumps(answer), file=out)
    elif end.status == "done":
        click.echo(plain(end.result), file=out)
        part = (
            ""
            if end.shown is None
            else f"; the model is shown {end.shown:,} of {len(end.result):,} characters"
        )
        click.echo(f"done in {end.took_ms:.1f} ms{part}", err=True)
    else:
        click.echo(plain(shown), err=True)
        click.echo(f"{end.status} after {end.took_ms:.1f} ms", err=True)
    return 0 if end.status == "done" else 4 if refusal is None else 2


def _refusal(bench: Toolbench, name: str, arguments: str) -> str | None:
    from workbench.tools.arguments import ArgumentsError, parse

    try:
        parse(arguments, bench.tools.find(name).parameters)
    except ArgumentsError as error:
        return str(error)
    return None


def _agreed(bench: Toolbench, name: str, arguments: str) -> None:
    """Ask the user. Raises click.Abort for a no, UsageError where nobody can be asked."""
    from workbench.tools.arguments import parse
    from workbench.tools.consent import question

    tool = bench.tools.find(name)
    asked = question(tool, parse(arguments, tool.parameters))
    if not sys.stdin.isatty():
        raise UsageError(f"{name} asks the user first: {asked}", "add --yes")
    click.confirm(plain(asked, one_line=True), abort=True, err=True)
