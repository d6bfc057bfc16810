"""The turns of a recording as a table."""

from __future__ import annotations

import csv
from typing import TextIO

from workbench.model.events import PARTS
from workbench.model.text import plain
from workbench.readers import entries
from workbench.readers.timeline import Turn, turns
from workbench.trace.trace import Trace

PART_COLUMNS = (*PARTS, "unexplained")
COLUMNS = (
    "turn",
    "status",
    "cold",
    "user_text",
    "agent_text",
    "heard_latency_ms",
    *(f"{part}_ms" for part in PART_COLUMNS),
    "discarded_replies",
    "error",
)
FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes for the beginning of a formula."""


def write_csv(trace: Trace, out: TextIO) -> None:
    """A header and a row for each turn. Times in ms, empty where there is none; texts are made harmless."""
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(COLUMNS)
    for turn in turns(entries(trace)):
        rows.writerow(_row(turn))


def _row(turn: Turn) -> list[object]:
    error = turn.error
    return [
        turn.turn,
        turn.status,
        int(turn.cold),
        _text(turn.user_text),
        _text(turn.agent_text),
        turn.heard_latency_ms,
        *(turn.parts_ms[part] for part in PART_COLUMNS),
        turn.discarded_replies,
        _text(f"{error.stage}: {error.reason}") if error else "",
    ]


def _text(said: str) -> str:
    said = plain(said, one_line=True)
    return f"'{said}" if said.startswith(FORMULA) else said
