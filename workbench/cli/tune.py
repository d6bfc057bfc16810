"""`workbench tune`: recordings scored over a grid of VAD and end-of-turn settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.options import (
    agent_and_settings,
    json_option,
    profile_option,
    settings_options,
)
from workbench.cli.output import err, out, short
from workbench.cli.sessions import find_session
from workbench.model.errors import UsageError

if TYPE_CHECKING:
    from workbench.config import Settings
    from workbench.replay.tune.detectors import Detectors
    from workbench.replay.tune.figures import TunePoint
    from workbench.replay.tune.grid import Combination
    from workbench.replay.tune.scoring import ScoringProgress
    from workbench.replay.tune.tuning import TuneResult

CHART_ROWS = 16
LISTED = 20
"""Changes that are listed for people."""
PICTURES = (".png", ".svg", ".pdf")
INLINE_S = 4.0
"""Less work than this is done in this process: others take 1.5 s to start."""


@click.command(
    epilog="""\b
Examples:
  workbench tune before
  workbench tune before after --grid turn.silence_ms=200,350,500 --grid turn.hold_ms=300,420,600
  workbench tune before -o tune.html --pick 3 --write
  workbench tune before --silences
  workbench tune before --label 4=end"""
)
@click.argument("sessions", nargs=-1, required=True, metavar="DIR…")
@click.option(
    "--grid", "axes", multiple=True, metavar="NAME=A,B,…",
    help="Values to try for a setting, instead of the usual grid; may be given again.",
)  # fmt: skip
@click.option("--pick", type=click.IntRange(min=1), metavar="N", help="Choose this point of the front.")
@click.option("--write", is_flag=True, help="Write the chosen settings into workbench.toml.")
@click.option(
    "-o", "--output", "outputs", multiple=True, metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page (.html) or a picture (.png, .svg, .pdf); may be given again.",
)  # fmt: skip
@click.option(
    "--silences", is_flag=True, help="List the silences of the user and what each was, nothing else."
)
@click.option(
    "--label", "labels", multiple=True, metavar="N=LABEL",
    help="Correct what silence N was: pause, end, unclear; auto takes the correction back.",
)  # fmt: skip
@click.option(
    "--dask", "address", metavar="ADDRESS", help="Score on a dask cluster, by its scheduler's address."
)
@click.option(
    "--tui", "screen", is_flag=True, help="Walk along the front on the screen, hear, correct, write."
)
@json_option("One JSON object a line: each point that was tried, then a summary.")
@profile_option()
@settings_options
def tune(
    sessions: tuple[str, ...],
    axes: tuple[str, ...],
    pick: int | None,
    write: bool,
    outputs: tuple[Path, ...],
    silences: bool,
    labels: tuple[str, ...],
    address: str | None,
    screen: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Score recordings over a grid of settings: false cutoffs and latency, with the settings in use marked.

    Each silence of the user is put to the turn detector with all combinations of settings. Whether it was a pause or
    the end of a turn is told by what the user did next, and can be corrected. Nothing recorded is changed; corrections
    are kept beside it, in labels.json.
    """
    _, settings = agent_and_settings(**options)
    folders = [find_session(name) for name in sessions]
    _check_outputs(outputs)
    for text in labels:
        _label(folders, settings, text)
    if silences or labels:
        _list_silences(folders, settings, as_json)
        return
    if screen:
        _need_terminal(as_json or write or outputs)
    result = _score(folders, settings, axes, address)
    chosen = _chosen(result, pick)
    if screen:
        write_chosen = partial(_write_settings, settings, options.get("config"))
        raise SystemExit(_show(result, chosen, partial(_rescore, folders, settings, axes), write_chosen))
    for line in _json(result, chosen) if as_json else _text(result, chosen, pick):
        out(line)
    for file in outputs:
        _write_output(file, result, chosen)
    if write:
        err(_write_settings(settings, options.get("config"), chosen))


# --- scoring ---------------------------------------------------------------------------------------------------------


def _score(
    folders: Sequence[Path], settings: Settings, axes: Sequence[str], address: str | None
) -> TuneResult:
    from workbench.replay.tune.tuning import tune as score

    detectors, grid = _tried(settings, axes)
    with _executors(address, folders, len(grid)) as open_executor, _progress() as progress:
        return score(folders, detectors, grid, open_executor, progress)


def _tried(settings: Settings, axes: Sequence[str]) -> tuple[Detectors, list[Combination]]:
    """Return the detectors that are scored, and what is tried with them. Raises UsageError."""
    from workbench.replay.tune.detectors import Detectors
    from workbench.replay.tune.grid import combinations, default_axes, parse_axis

    detectors = Detectors.of(settings)
    grid = dict(map(parse_axis, axes)) or default_axes(detectors.turn)
    return detectors, combinations(grid, settings.vad, settings.turn)


@contextmanager
def _executors(
    address: str | None, folders: Sequence[Path], settings: int
) -> Iterator[Callable[[], Executor]]:
    """Give what makes executors: on the cluster, on this machine's cores, or here where there is little to do."""
    from workbench.replay.tune.scoring import work_s
    from workbench.replay.tune.workers import SerialExecutor, cluster, cores, processes

    if address is not None:
        with cluster(address) as open_executor:
            yield open_executor
    elif work_s(folders, settings) < INLINE_S or cores() == 1:
        yield SerialExecutor
    else:
        yield partial(processes, cores())


@contextmanager
def _progress() -> Iterator[ScoringProgress]:
    """Show a bar with the time that is left on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = TextColumn("scoring"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Bar(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        yield _BarProgress(bar)


class _BarProgress:
    def __init__(self, bar: Any) -> None:
        self._bar, self._total = bar, 0.0
        self._task = bar.add_task("scoring", total=None)

    def expect(self, seconds: float) -> None:
        """So much work is to be done in addition."""
        self._total += seconds
        self._bar.update(self._task, total=self._total)

    def advance(self, seconds: float) -> None:
        """So much of it has been done."""
        self._bar.advance(self._task, seconds)


def _chosen(result: TuneResult, pick: int | None) -> TunePoint:
    if pick is None:
        return result.best
    if pick > len(result.front):
        raise UsageError(
            f"--pick {pick}: the front has {len(result.front)} points", "see their numbers without it"
        )
    return result.front[pick - 1]


# --- labels ----------------------------------------------------------------------------------------------------------


def _label(folders: Sequence[Path], settings: Settings, text: str) -> None:
    """Correct the label of a silence, `4=end`."""
    from workbench.replay.tune.detectors import Detectors
    from workbench.replay.tune.labels import LABELS, write_label
    from workbench.replay.tune.scoring import read_labelled

    if len(folders) != 1:
        raise UsageError("--label corrects one recording", "give one DIR")
    number, _, label = text.partition("=")
    if not number.strip().isdecimal() or label not in (*LABELS, "auto"):
        hint = f"write it like --label 4=end; labels are {', '.join(LABELS)}, and auto"
        raise UsageError(f"--label {short(repr(text), 40)} is no correction", hint)
    silences = read_labelled(folders[0], Detectors.of(settings)).silences
    if not 1 <= int(number) <= len(silences):
        raise UsageError(
            f"--label: there is no silence {int(number)}", f"there are 1 to {len(silences)}: --silences"
        )
    known = next(each for each in LABELS if each == label) if label != "auto" else None
    write_label(folders[0], silences[int(number) - 1].start, known)


def _list_silences(folders: Sequence[Path], settings: Settings, as_json: bool) -> None:
    from workbench.replay.tune.detectors import Detectors
    from workbench.replay.tune.scoring import read_labelled
    from workbench.replay.tune.summary import silence_json, span

    for folder in folders:
        for number, silence in enumerate(read_labelled(folder, Detectors.of(settings)).silences, 1):
            if as_json:
                out(json.dumps({"recording": str(folder), **silence_json(number, silence)}))
            else:
                label = f"{silence.label}{' (by hand)' if silence.corrected else ''}"
                out(f"{number:>4}  {span(silence):<17} {label:<17} {short(silence.text[-200:], 55)}")


# --- what is written -------------------------------------------------------------------------------------------------


def _json(result: TuneResult, chosen: TunePoint) -> Iterator[str]:
    from workbench.replay.tune.summary import to_json

    for point in result.points:
        yield json.dumps(point.to_json())
    yield json.dumps({"summary": to_json(result, chosen)})


def _text(result: TuneResult, chosen: TunePoint, pick: int | None) -> Iterator[str]:
    from workbench.replay.tune.chart import chart, legend
    from workbench.replay.tune.summary import budgets, caution, overview, settings_text

    yield overview(result)
    if warning := caution(result):
        yield warning
    yield ""
    for row in chart(result, chosen, min(get_terminal_size().columns, 100), CHART_ROWS):
        yield "".join(cell.text for cell in row).rstrip()
    yield f"        {legend(result, chosen)}   (false cutoffs over mean latency)"
    yield ""
    yield from (f"{name:<34} {value:>8}" for name, value in budgets(result))
    yield ""
    yield from _front(result, chosen)
    yield ""
    if chosen is result.in_use:
        better = "nothing that was tried is better in one figure and not worse in the other"
        yield f"in use: {better}" if pick is None else "the settings in use are chosen"
        return
    yield f"chosen: {settings_text(chosen.settings)}"
    yield from _changes(result, chosen)


def _front(result: TuneResult, chosen: TunePoint) -> Iterator[str]:
    from workbench.replay.tune.summary import settings_text, share
    from workbench.views.format import ms

    off = [] if result.in_use in result.front else [(None, result.in_use)]
    yield f"   {'':>3} {'latency':>9}  {'false cutoffs':<18} settings"
    for number, point in [*enumerate(result.front, 1), *off]:
        sign = "◆" if point is result.in_use else "◉" if point is chosen else " "
        figures = f"{ms(point.latency_ms):>9}  {share(point):<18}"
        yield f" {sign} {number or '':>3} {figures} {settings_text(point.settings)}"


def _changes(result: TuneResult, chosen: TunePoint) -> Iterator[str]:
    from workbench.replay.tune.summary import became, span

    changes = result.changes(chosen)
    several = len(result.recordings) > 1
    yield "what would change:" if changes else "no silence is decided otherwise; only by less than 100 ms"
    for change in changes[:LISTED]:
        place = f"{short(change.folder.name, 24)} " if several else ""
        words = short(change.silence.text[-80:], 40)
        yield f"  {place}#{change.number} {span(change.silence)}  {became(change)}  {words}"
    if len(changes) > LISTED:
        yield f"  … and {len(changes) - LISTED} more: --json has all, -o tune.html plays them"


def _check_outputs(outputs: Sequence[Path]) -> None:
    for file in outputs:
        if file.suffix.lower() not in (".html", *PICTURES):
            raise UsageError(
                f"-o {short(str(file))}: what should that be?", "name it .html, .png, .svg or .pdf"
            )
        if not file.absolute().parent.is_dir():
            raise UsageError(
                f"-o {short(str(file))}: there is no folder {short(str(file.parent))}", "make it first"
            )


def _write_output(file: Path, result: TuneResult, chosen: TunePoint) -> None:
    from workbench.replay.tune.page import page
    from workbench.replay.tune.picture import draw_front

    try:
        if file.suffix.lower() == ".html":
            file.write_text(page(result, chosen), encoding="utf-8")
        else:
            draw_front(result, chosen).savefig(file)
    except OSError as error:
        raise UsageError(
            f"{short(str(file))} cannot be written: {error.strerror}", "give another place"
        ) from None
    err(f"wrote {short(str(file))}")


def _write_settings(settings: Settings, config: Path | None, chosen: TunePoint) -> str:
    """Write the chosen settings into the settings file, and return what was done. Raises UsageError."""
    from workbench.config.edit import write_settings

    file = config or settings.file or Path("workbench.toml")
    if not chosen.settings:
        return "nothing is written: these are the settings in use"
    write_settings(file, chosen.settings)
    environment = [name for name in chosen.settings if settings.origin(name).startswith("WORKBENCH_")]
    but = f"; the environment goes before it for {', '.join(environment)}" if environment else ""
    return f"wrote {', '.join(chosen.settings)} into {short(str(file))}{but}"


# --- the screen ------------------------------------------------------------------------------------------------------


def _need_terminal(others: object) -> None:
    from workbench.tui.terminal import have_terminal  # 50 ms of textual

    if others:
        raise UsageError("--tui is an answer of its own", "leave out --json, --write and -o")
    if not have_terminal():
        raise UsageError(
            "there is no terminal to draw on", "leave out --tui, or write a page with -o tune.html"
        )


def _rescore(folders: Sequence[Path], settings: Settings, axes: Sequence[str]) -> TuneResult:
    """Score anew, without a bar: the screen is in its place."""
    from rich.progress import Progress as Bar

    from workbench.replay.tune.tuning import tune as score

    detectors, grid = _tried(settings, axes)
    with _executors(None, folders, len(grid)) as open_executor:
        return score(folders, detectors, grid, open_executor, _BarProgress(Bar(disable=True)))


def _show(
    result: TuneResult,
    chosen: TunePoint,
    rescore: Callable[[], TuneResult],
    write: Callable[[TunePoint], str],
) -> int:
    from workbench.tui.app import WorkbenchApp
    from workbench.tui.terminal import quiet_terminal
    from workbench.tui.tune import TuneScreen

    app = WorkbenchApp(lambda: TuneScreen(result, rescore, write, chosen))
    with quiet_terminal():
        app.run()
    return app.return_code or 0
