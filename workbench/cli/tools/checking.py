"""`workbench tools test`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

import click

from workbench.cli.tools.opened import Wanted, opened
from workbench.model.errors import UsageError
from workbench.model.text import plain

if TYPE_CHECKING:
    from workbench.tools.tool import Tool


@dataclass(slots=True)
class Verdict:
    """What is found of a tool."""

    tool: str
    problem: str = ""
    hint: str = ""
    notes: list[str] = field(default_factory=list)
    rules: dict[str, str] = field(default_factory=dict)
    took_ms: float = 0.0


async def check(what: Wanted, arguments: str | None, as_json: bool, out: TextIO) -> int:
    """Check the tools; the exit code."""
    example = _example(arguments)
    async with opened(what) as desk:
        chosen = [desk.tools.find(what.name)] if what.name else [*desk.tools]
        verdicts = [await asyncio.to_thread(partial(_checked, tool, example)) for tool in chosen]
    for verdict in verdicts:
        click.echo(json.dumps(_json(verdict)) if as_json else _text(verdict), file=out)
    failed = sum(bool(verdict.problem) for verdict in verdicts)
    if not verdicts:
        click.echo("there are no tools", err=True)
    elif not as_json:
        click.echo(f"{len(verdicts) - failed} of {len(verdicts)} keep the rules", err=True)
    return 1 if failed else 0


def _example(arguments: str | None) -> Mapping[str, Any] | None:
    if arguments is None:
        return None
    try:
        example = json.loads(arguments)
    except ValueError as error:
        raise UsageError(f"--args is not JSON: {error}", 'write it like \'{"city": "Oslo"}\'') from None
    if not isinstance(example, dict):
        raise UsageError("--args is no JSON object", 'write it like \'{"city": "Oslo"}\'')
    return example


def _checked(tool: Tool, example: Mapping[str, Any] | None) -> Verdict:
    from workbench.testing.contract import BrokenRule, check_tool

    verdict = Verdict(tool.name)
    began = time.perf_counter()
    try:
        report = check_tool(tool, arguments=example, call=example is not None)
    except BrokenRule as error:
        verdict.problem, verdict.hint = error.what, error.hint
    else:
        verdict.rules = {str(rule): str(figure) for rule, figure in report.figures.items()}
        verdict.notes = _notes(tool)
    verdict.took_ms = round((time.perf_counter() - began) * 1000, 1)
    return verdict


def _notes(tool: Tool) -> list[str]:
    """What could be better."""
    notes = []
    properties = tool.parameters.schema.get("properties", {})
    bare = [
        name
        for name, about in properties.items()
        if not (isinstance(about, dict) and about.get("description"))
    ]
    if bare:
        notes.append(f"the model is told nothing about {', '.join(bare)}: describe it in the docstring")
    if tool.parameters.loose_because:
        notes.append(f"not strict: {tool.parameters.loose_because}")
    return notes


def _text(verdict: Verdict) -> str:
    if verdict.problem:
        told = f"✗ {verdict.tool}: {verdict.problem}{f' – {verdict.hint}' if verdict.hint else ''}"
        return plain(told, one_line=True)
    kept = f"✓ {verdict.tool}: {len(verdict.rules)} rules, {verdict.took_ms:.0f} ms"
    return "\n".join(plain(line, one_line=True) for line in (kept, *(f"! {note}" for note in verdict.notes)))


def _json(verdict: Verdict) -> dict[str, Any]:
    return {
        "tool": verdict.tool,
        "passed": not verdict.problem,
        "problem": verdict.problem or None,
        "hint": verdict.hint or None,
        "notes": verdict.notes,
        "rules": verdict.rules,
        "took_ms": verdict.took_ms,
    }
