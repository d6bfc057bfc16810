"""`workbench compare`: sessions against the first of them, turn by turn, with gates for CI."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import click

from workbench.cli.options import json_option
from workbench.cli.output import err, short
from workbench.cli.sessions import find_session
from workbench.model.errors import UsageError
from workbench.readers import entries
from workbench.readers.pairs import (
    DifferenceEstimate,
    SessionFigures,
    TurnPair,
    pair_turns,
    paired,
)
from workbench.views.comparison import pair_changes, pair_latency, pair_numbers, summary_rows
from workbench.views.trace import OpenTrace, open_trace

TRIED = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
GATE = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|%)?\s*")
MARKDOWN = re.compile(r"[|\\`*_<>~\[\]]")
"""What a table of Markdown would take for more than text."""
SHARES = ("cut", "failed", "cutoffs", "discarded")
"""Figures that a gate may ask for in per cent of the turns."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition that must not hold: `p95 > 900`, `cutoffs > 2%`."""

    name: str
    sign: str
    limit: float
    share: bool

    @classmethod
    def parse(cls, text: str, names: Sequence[str]) -> Gate:
        """Raises UsageError for what is no condition on a figure of that name."""
        match = GATE.fullmatch(text)
        if match is None:
            raise UsageError(f"--fail-if {short(repr(text))} is no condition", 'write it like "p95 > 900"')
        name, sign, limit, unit = match.groups()
        if name not in names:
            raise UsageError(
                f"--fail-if knows no figure {short(repr(name))}", f"there are {', '.join(names)}"
            )
        if (unit == "%" and name not in SHARES) or (unit == "ms" and not name.startswith("p")):
            raise UsageError(
                f"--fail-if: {name} is not in {unit}", f"in %: {', '.join(SHARES)}; in ms: p50 …"
            )
        return cls(name, sign, float(limit), unit == "%")

    def problem(self, figures: dict[str, float | None]) -> str | None:
        """Return what is wrong with a session, None if nothing is; a figure that is not known is wrong too."""
        value, turns = figures[self.name], figures["turns"]
        if value is None or (self.share and not turns):
            return f"{self.name} is not known: no turn tells it"
        if self.share:
            assert turns
            value = 100 * value / turns
        unit = "%" if self.share else ""
        if not TRIED[self.sign](value, self.limit):
            return None
        return f"{self.name} is {value:.4g}{unit}, which is {self.sign} {self.limit:g}{unit}"


@click.command()
@click.argument("sessions", nargs=-1, required=True, metavar="A B [C…]")
@json_option("One JSON object a line: each pair of turns, then a summary for each session.")
@click.option("--markdown", is_flag=True, help="Tables for a pull request.")
@click.option(
    "--tui", "screen", is_flag=True, help="Look at each pair of turns on the screen, and hear both."
)
@click.option(
    "--fail-if", "conditions", multiple=True, metavar="CONDITION",
    help='Exit with 1 where this holds for B, C…: "p95 > 900", "cutoffs > 2%". May be given again.',
)  # fmt: skip
def compare(
    sessions: tuple[str, ...], as_json: bool, markdown: bool, screen: bool, conditions: tuple[str, ...]
) -> None:
    """Compare sessions with the first of them, turn by turn: words, parts, cuts, discarded replies, cost.

    Each is an id, a folder, or the beginning of a folder's name in `workbench sessions`. Turns with the same words
    belong together. The difference of heard latency is paired, with a 95 % interval by bootstrap.

    \b
    Example:
      workbench compare before after --fail-if "p95 > 900" --fail-if "cutoffs > 2%"
    """
    if len(sessions) < 2:
        raise UsageError(
            "one session alone cannot be compared", "give two or more; `workbench sessions` lists them"
        )
    if as_json + markdown + screen > 1:
        raise UsageError("--json, --markdown and --tui are different answers", "give one of them")
    names = [short(name.rstrip("/").rsplit("/", 1)[-1], 40) for name in sessions]
    gates = [Gate.parse(text, [*SessionFigures(()).figures()]) for text in conditions]
    traces = [open_trace(find_session(name)) for name in sessions]
    a, *others = (SessionFigures(entries(trace)) for trace in traces)
    if screen:
        _show(names, traces, [a, *others])
    write = _write_json if as_json else _write_markdown if markdown else _write_text
    for name, b in () if screen else zip(names[1:], others, strict=True):
        for line in write((names[0], name), a, b):
            click.echo(line)
    problems = [
        f"{name}: {problem}"
        for name, b in zip(names[1:], others, strict=True)
        for gate in gates
        if (problem := gate.problem(b.figures())) is not None
    ]
    for problem in problems:
        err(problem)
    raise SystemExit(1 if problems else 0)


def _show(names: Sequence[str], traces: Sequence[OpenTrace], figures: Sequence[SessionFigures]) -> None:
    """Show them on the screen until the user leaves. Raises UsageError without a terminal."""
    from workbench.tui.terminal import have_terminal, quiet_terminal  # 50 ms of textual

    if not have_terminal():
        raise UsageError("there is no terminal to draw on", "leave out --tui")
    from workbench.tui.app import WorkbenchApp
    from workbench.tui.comparison import ComparisonScreen

    app = WorkbenchApp(lambda: ComparisonScreen(names, traces, figures))
    with quiet_terminal():
        app.run()
    if app.return_code:
        raise SystemExit(app.return_code)


# --- for programs ----------------------------------------------------------------------------------------------------


def _write_json(names: tuple[str, str], a: SessionFigures, b: SessionFigures) -> Iterator[str]:
    for pair in pair_turns(a.turns, b.turns):
        turns = {name: turn and turn.to_json() for name, turn in (("a", pair.a), ("b", pair.b))}
        yield json.dumps({**turns, "difference_ms": pair.difference_ms})
    change = {
        key: asdict(value) if isinstance(value, DifferenceEstimate) else value
        for key, value in paired(a, b).items()
    }
    yield json.dumps(
        {"summary": {"names": names, "a": a.figures(), "b": b.figures(), "difference_ms": change}}
    )


# --- for people ------------------------------------------------------------------------------------------------------


def _write_text(names: tuple[str, str], a: SessionFigures, b: SessionFigures) -> Iterator[str]:
    yield f"{names[0]} → {names[1]}"
    for pair in pair_turns(a.turns, b.turns):
        head, latency, changed = _cells(pair)
        yield f"  {head:<10} {latency:<28} {changed}"
    yield ""
    for cells in summary_rows(a, b):
        yield "  {:<24} {:>12} {:>12}   {}".format(*cells).rstrip()
    yield ""


def _write_markdown(names: tuple[str, str], a: SessionFigures, b: SessionFigures) -> Iterator[str]:
    yield from _table((" ", *names, "change"), summary_rows(a, b))
    yield from _table(("turn", "heard after", "words"), map(_cells, pair_turns(a.turns, b.turns)))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield from map(_row, (heads, ["---"] * len(heads)))
    yield from (_row([MARKDOWN.sub(r"\\\g<0>", cell) for cell in cells]) for cells in rows)
    yield ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(pair: TurnPair) -> tuple[str, str, str]:
    """Return the turns' numbers, their latencies, and what is different in what was said or how they ended."""
    return pair_numbers(pair), pair_latency(pair), " · ".join(pair_changes(pair))
