"""The turns of a recording as lines of JSON."""

from __future__ import annotations

import json
from typing import TextIO

from workbench.readers import plausible_entries
from workbench.readers.latency import LatencySummary
from workbench.readers.timeline import turns
from workbench.trace.trace import Trace


def write_jsonl(trace: Trace, out: TextIO) -> None:
    """Write an object a turn, as `workbench run --json` prints them, then one with `summary`."""
    latency = LatencySummary()
    for turn in turns(plausible_entries(trace)):
        latency.add(turn)
        out.write(json.dumps(turn.to_json(), ensure_ascii=False) + "\n")
    out.write(json.dumps(latency.to_json()) + "\n")
