"""The front as a chart of characters, for the terminal and the TUI: latency to the right, false cutoffs upwards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.replay.tune.figures import TunePoint
from workbench.replay.tune.tuning import TuneResult
from workbench.views.format import NBSP, ms

Mark = Literal["", "axis", "tried", "front", "used", "chosen"]
SIGNS: dict[Mark, str] = {"": " ", "axis": "", "tried": "·", "front": "●", "used": "◆", "chosen": "◉"}
RANK: tuple[Mark, ...] = ("", "tried", "front", "used", "chosen")
"""What is drawn over what."""
LABEL = 7
"""Columns of the figures beside the axis."""
STEP_MS = 100
"""The latency at its right end is a multiple of this."""
ROOM = 1.05
"""The chart reaches so many times as far as what it must show."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Characters that are drawn alike."""

    text: str
    mark: Mark


def chart(result: TuneResult, chosen: TunePoint, width: int, height: int) -> list[list[Cell]]:
    """Return the rows of a chart of so many columns and rows, of which the last two are the axis. Points
    beyond the front and the settings in use are left out."""
    columns, rows = max(10, width - LABEL - 1), max(3, height - 2)
    shown = [*result.front, result.in_use, chosen]
    most_ms = math.ceil(max(point.latency_ms for point in shown) * ROOM / STEP_MS) * STEP_MS
    most = min(1.0, max(*(point.cutoff_rate for point in shown), 0.05) * ROOM)
    grid: list[list[Mark]] = [[""] * columns for _ in range(rows)]
    for mark, points in _layers(result, chosen):
        for point in points:
            x, y = int(point.latency_ms / most_ms * columns), round(point.cutoff_rate / most * (rows - 1))
            if x < columns and y < rows and RANK.index(mark) > RANK.index(grid[rows - 1 - y][x]):
                grid[rows - 1 - y][x] = mark
    return [*_rows(grid, most), *_axis(most_ms, columns)]


def _layers(result: TuneResult, chosen: TunePoint) -> Iterator[tuple[Mark, Sequence[TunePoint]]]:
    yield "tried", result.points
    yield "front", result.front
    yield "used", [result.in_use]
    yield "chosen", [] if chosen is result.in_use else [chosen]


def _rows(grid: Sequence[Sequence[Mark]], most: float) -> Iterator[list[Cell]]:
    labelled = {0: most, len(grid) // 2: most / 2, len(grid) - 1: 0.0}
    for number, marks in enumerate(grid):
        label = f"{labelled[number] * 100:.0f}{NBSP}%" if number in labelled else ""
        yield [Cell(f"{label:>{LABEL}}│", "axis"), *(Cell(SIGNS[mark], mark) for mark in marks)]


def _axis(most_ms: float, columns: int) -> Iterator[list[Cell]]:
    yield [Cell(f"{'':>{LABEL}}└{'─' * columns}", "axis")]
    middle, last = ms(most_ms / 2), ms(most_ms)
    text = f"0{middle:^{max(1, columns - 1 - len(last))}}{last}"
    yield [Cell(f"{'':>{LABEL + 1}}{text}", "axis")]


def legend(result: TuneResult, chosen: TunePoint) -> str:
    """Return what the signs mean."""
    signs = [f"{SIGNS['front']} the front", f"{SIGNS['used']} in use"]
    signs += [] if chosen is result.in_use else [f"{SIGNS['chosen']} chosen"]
    return "   ".join([*signs, f"{SIGNS['tried']} tried"])
