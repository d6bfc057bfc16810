"""What it costs to record a session, cassette and all: CPU time with a recording less CPU time without, in one run.

Ten minutes of scripted conversation, a question every nine seconds, under the virtual clock: nothing waits there, so
the CPU time of the process, its threads included, is what it takes on a free core, at the 20 jobs a second of a live
session. The best of a few passes, with and without in turn. Then half a minute at the pace of speech: how late
the loop woke, which is what a recording could do to the sound.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np

from bench._figures import Promise, run, settings, tell
from workbench.model.events import HostLag
from workbench.readers import entries
from workbench.session import open_session
from workbench.simulation.clock import run_virtual
from workbench.simulation.synthesis import SECONDS_PER_CHARACTER, Score
from workbench.trace.files import size_bytes

MINUTES = 10
EVERY_S = 9
REAL_S = 27
SAYS = "tell me more about it"
PASSES = 3


def source(path: Path, seconds: int) -> Path:
    """A file in which the user asks and waits for the answer."""
    score = Score(seed=5, noise_db=-66)
    while score.seconds < seconds:
        score.silence(0.7).say(SAYS).silence(EVERY_S - 0.7 - len(SAYS) * SECONDS_PER_CHARACTER)
    return score.write_wav(path)


async def converse(path: Path, record: Path | None) -> list[float]:
    """A session from the file's first sample to its last; how late the loop woke at most, each second, ms."""
    wanted = settings(
        profile="scripted",
        vad__provider="energy",
        audio__source=str(path),
        audio__sink="none",
        record__enabled=record is not None,
        record__folder=record,
    )
    async with open_session(wanted) as session:
        await session.ended()
        return [entry.event.max_ms for entry in entries(session.trace) if isinstance(entry.event, HostLag)]


def cpu_s(main: Coroutine[Any, Any, object]) -> float:
    """CPU seconds of the process for it under the virtual clock."""
    began = time.process_time()
    run_virtual(main)
    return time.process_time() - began


def main() -> None:
    """Measure and tell."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        long, short = source(place / "long.wav", MINUTES * 60), source(place / "short.wav", REAL_S)
        took: dict[bool, list[float]] = {True: [], False: []}
        for number in range(PASSES):
            took[False].append(cpu_s(converse(long, None)))
            took[True].append(cpu_s(converse(long, place / f"{number}")))
        written = size_bytes(place / "0")
        share = 100 * (min(took[True]) - min(took[False])) / (MINUTES * 60)
        late = {
            kind: round(float(np.percentile(asyncio.run(converse(short, folder)), 95)), 1)
            for kind, folder in (("without", None), ("with", place / "real"))
        }
    tell(
        "recording",
        [Promise("recording, of a core", round(share, 2), 1.0, "%")],
        {
            "audio": f"{MINUTES} min of conversation, virtual clock",
            "figure": f"the best of {PASSES} passes each",
        },
        {
            "cpu_s": {"with": round(min(took[True]), 2), "without": round(min(took[False]), 2)},
            "written_mb_a_minute": round(written / 1e6 / MINUTES, 2),
            "loop_late_p95_ms": late,
        },
    )


if __name__ == "__main__":
    run(main)
