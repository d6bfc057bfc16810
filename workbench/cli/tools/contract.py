"""`workbench tools test`: each tool checked against the contract of tools."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

import click

from workbench.cli.tools.invoke import read_arguments
from workbench.cli.tools.toolbench import Selection, open_toolbench
from workbench.model.errors import UsageError
from workbench.model.text import plain

if TYPE_CHECKING:
    from workbench.tools.tool import Tool


@dataclass(slots=True)
class ContractResult:
    """Whether a tool keeps the contract, and what could be better."""

    tool: str
    passed: bool = True
    problem: str | None = None
    hint: str | None = None
    notes: list[str] = field(default_factory=list)
    rules: dict[str, str] = field(default_factory=dict)
    took_ms: float = 0.0

    def __str__(self) -> str:
        if self.problem:
            return f"✗ {self.tool}: {self.problem}{f' – {self.hint}' if self.hint else ''}"
        return f"✓ {self.tool}: {len(self.rules)} rules, {self.took_ms:.0f} ms"


async def check_tools(selection: Selection, arguments: str | None, *, as_json: bool, out: TextIO) -> int:
    """Check the tools and print a line for each; return the exit code."""
    example = None if arguments is None else _example(read_arguments(arguments))
    name = selection.name if example is None else selection.required_name
    async with open_toolbench(selection) as bench:
        results = [await asyncio.to_thread(_check, tool, example) for tool in bench.selected(name)]
    for result in results:
        lines = (
            [json.dumps(asdict(result))]
            if as_json
            else [str(result), *(f"! {note}" for note in result.notes)]
        )
        click.echo("\n".join(plain(line, one_line=True) for line in lines), file=out)
    passed = sum(result.passed for result in results)
    if not results:
        click.echo("there are no tools", err=True)
    elif not as_json:
        click.echo(f"{passed} of {len(results)} keep the rules", err=True)
    return 0 if passed == len(results) else 1


def _example(text: str) -> Mapping[str, Any]:
    hint = 'write it like \'{"city": "Oslo"}\''
    try:
        example = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--args is not JSON: {error}", hint) from None
    if not isinstance(example, dict):
        raise UsageError("--args is no JSON object", hint)
    return example


def _check(tool: Tool, example: Mapping[str, Any] | None) -> ContractResult:
    from workbench.testing import BrokenRule, check_tool

    result = ContractResult(tool.name)
    began = time.perf_counter()
    try:
        report = check_tool(tool, arguments=example, call=example is not None)
    except BrokenRule as error:
        result.passed, result.problem, result.hint = False, error.what, error.hint or None
    else:
        result.rules = {str(rule): str(figure) for rule, figure in report.figures.items()}
        result.notes = _notes(tool)
    result.took_ms = round((time.perf_counter() - began) * 1000, 1)
    return result


def _notes(tool: Tool) -> list[str]:
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
