"""`workbench tools call`: one call of a tool, as the model would make it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TextIO

import click

from workbench.cli.tools.toolbench import Selection, open_toolbench
from workbench.model.errors import UsageError
from workbench.model.text import plain

LONGEST = 2_000_000
"""Characters of arguments that are read from a file; the model may send half of it."""


def read_arguments(text: str) -> str:
    """Return JSON as it stands, from `@FILE`, or from standard input (`-`). UsageError for a file that cannot be
    read."""
    if text == "-":
        return sys.stdin.read(LONGEST)
    if not text.startswith("@"):
        return text
    try:
        with Path(text[1:]).open(encoding="utf-8") as file:
            return file.read(LONGEST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"{plain(text[1:], 200)} cannot be read: {reason}", "give --args '{…}'") from None


async def call_tool(selection: Selection, arguments: str, *, yes: bool, as_json: bool, out: TextIO) -> int:
    """Call the tool, and print its result; return the exit code."""
    from workbench.tools.arguments import ArgumentsError
    from workbench.tools.consent import question

    name, arguments = selection.required_name, read_arguments(arguments)
    async with open_toolbench(selection) as bench:
        tool = bench.tools.find(name)
        valid = True
        try:
            values = tool.parameters.parse(arguments)
        except ArgumentsError:  # the call says why
            valid = False
        else:
            if tool.confirm and not yes:
                _ask(name, question(tool, values))
        end = await bench.runner.perform(name, arguments)
        shown = bench.shown_to_model(end)
    done = end.status == "done"
    if as_json:
        answer = {
            "tool": end.name,
            "status": end.status,
            "result": end.result if done else None,
            "error": end.error,
            "shown": shown,
            "took_ms": end.took_ms,
        }
        click.echo(json.dumps(answer), file=out)
    elif done:
        click.echo(plain(end.result), file=out)
        cut = f"; the model is shown {end.shown:,} of {len(end.result):,} characters" if end.shown else ""
        click.echo(f"done in {end.took_ms:.1f} ms{cut}", err=True)
    else:
        click.echo(plain(shown), err=True)
        click.echo(f"{end.status} after {end.took_ms:.1f} ms", err=True)
    return 0 if done else 4 if valid else 2


def _ask(name: str, question: str) -> None:
    """Ask the user. Raises click.Abort for a no, UsageError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise UsageError(f"{name} asks the user first: {question}", "add --yes")
    click.confirm(plain(question, one_line=True), abort=True, err=True)
