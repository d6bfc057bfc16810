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

from workbench.cli.tools.toolbench import Selection, opened
from workbench.model.errors import UsageError
from workbench.model.text import plain

if TYPE_CHECKING:
    from workbench.tools.tool import Tool


@dataclass(slots=True)
class ContractResult:
    """What is found of a tool."""

    tool: str
    problem: str = ""
    hint: str = ""
    notes: list[str] = field(default_factory=list)
    rules: dict[str, str] = field(default_factory=dict)
    took_ms: float = 0.0


async def check(what: Selection, arguments: str | None, as_json: bool, out: TextIO) -> int:
    """Check the tools; the exit code."""
    example = _example(arguments)
    async with opened(what) as bench:
        chosen = [bench.tools.find(what.name)] if what.name else [*bench.tools]
        results = [await asyncio.to_thread(partial(_checked, tool, example)) for tool in chosen]
    for result in results:
        click.echo(json.dumps(_json(result)) if as_json else _text(result), file=out)
    failed = sum(bool(result.problem) for result in results)
    if not results:
        click.echo("there are no tools", err=True)
    elif not as_json:
        click.echo(f"{len(results) - failed} of {len(results)} keep the rules", err=True)
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


def _checked(tool: Tool, example: Mapping[str, Any] | None) -> ContractResult:
    from workbench.testing import BrokenRule, check_tool

    result = ContractResult(tool.name)
    began = time.perf_counter()
    try:
        report = check_tool(tool, arguments=example, call=example is not None)
    except BrokenRule as error:
        result.problem, result.hint = error.what, error.hint
    else:
        result.rules = {str(rule): str(figure) for rule, figure in report.figures.items()}
        result.notes = _notes(tool)
    result.took_ms = round((time.perf_counter() - began) * 1000, 1)
    return result


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


def _text(result: ContractResult) -> str:
    if result.problem:
        told = f"✗ {result.tool}: {result.problem}{f' – {result.hint}' if result.hint else ''}"
        return plain(told, one_line=True)
    kept = f"✓ {result.tool}: {len(result.rules)} rules, {result.took_ms:.0f} ms"
    return "\n".join(plain(line, one_line=True) for line in (kept, *(f"! {note}" for note in result.notes)))


def _json(result: ContractResult) -> dict[str, Any]:
    return {
        "tool": result.tool,
        "passed": not result.problem,
        "problem": result.problem or None,
        "hint": result.hint or None,
        "notes": result.notes,
        "rules": result.rules,
        "took_ms": result.took_ms,
    }
