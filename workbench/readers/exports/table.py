"""The turns of a recording as a table."""

from __future__ import annotations

import csv
from typing import TextIO

from workbench.model.events import PARTS
from workbench.model.text import plain
from workbench.readers import plausible_entries
from workbench.readers.timeline import Turn, turns
from workbench.trace.trace import Trace

PART_COLUMNS = (*PARTS, "startup", "unexplained")
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
    """Write a header and a row for each turn. Times in ms, empty where there is none; texts are made harmless."""
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows(_row(turn) for turn in turns(plausible_entries(trace)))


def _row(turn: Turn) -> list[object]:
    return [
        turn.turn,
        turn.status,
        int(turn.cold),
        _cell(turn.user_text),
        _cell(turn.agent_text),
        turn.heard_latency_ms,
        *(turn.parts_ms.get(part, 0.0) for part in PART_COLUMNS),
        turn.discarded_replies,
        _cell(f"{turn.error.stage}: {turn.error.reason}") if turn.error else "",
    ]


def _cell(text: str) -> str:
    line = plain(text, one_line=True)
    return f"'{line}" if line.startswith(FORMULA) else line
