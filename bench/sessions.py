"""A hundred conversations in one process, on one loop: how late frames are handled, what it adds to a turn, memory.

Each session is opened like any other: a wav file in real time, Silero, scripted providers without delay, no recording.
They begin one after the other, 74 ms apart. A frame is late by the time between the moment at which its last sample has
been spoken and the end of its handling. A turn's overhead is what comes on top of the silence that endpointing waits
for, up to the reply's first frame at the sink. Memory is what the system says is resident.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np

from bench._figures import Promise, percentile, run, settings, spread, tell
from bench._lateness import Lateness
from bench._memory import resident_mb
from bench._spoken import QUESTIONS, spoken
from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.model.events import ClockMapped, ReplyPlaying, TurnDecided
from workbench.session import Session, open_session
from workbench.session.process import tuned_process
from workbench.simulation.synthesis import noise, write_wav

SESSIONS = 100
APART_S = 0.0737
MEASURED_S = 60.0
TURN_S = 5.0
FILES = 12


def wavs(folder: Path, sentences: list[Samples]) -> list[Path]:
    """Conversations that ask something every five seconds, each in another order."""
    seconds = MEASURED_S + SESSIONS * APART_S + 8
    paths = []
    for number in range(FILES):
        sound = noise(seconds, seed=number, db=-66)
        for turn in range(int(seconds / TURN_S)):
            said = sentences[(number + turn) % len(sentences)]
            at = round((0.6 + 0.31 * number + turn * TURN_S) * INPUT_RATE)
            sound[at : at + len(said)] += said[: max(0, len(sound) - at)]
        paths.append(write_wav(folder / f"{number}.wav", np.concatenate((sound, silence(160)))))
    return paths


def overheads(session: Session) -> list[float]:
    """What each turn took beyond the silence that was waited for, ms."""
    mapped: ClockMapped | None = None
    due, found = dict[int, float](), list[float]()
    for entry in session.trace.since(0):
        event = entry.event
        if isinstance(event, ClockMapped) and event.track == "user":
            mapped = event
        elif isinstance(event, TurnDecided) and event.end_sample is not None and mapped is not None:
            spoken_ms = mapped.at_ms + (event.end_sample - mapped.sample) / mapped.rate * 1000
            due[event.turn] = spoken_ms + event.waited_ms
        elif isinstance(event, ReplyPlaying) and event.turn in due:
            found.append(entry.t_ms - due.pop(event.turn))
    return found


async def measure(paths: list[Path]) -> tuple[list[Session], dict[str, Any], Lateness]:
    """Open them, let them talk, and close them."""
    lateness, memory = Lateness(), {"imported": resident_mb()}
    opened: list[Session] = []
    async with AsyncExitStack() as stack:
        stack.enter_context(tuned_process())

        async def one_more() -> None:
            wanted = settings(
                profile="scripted",
                vad__provider="silero",
                audio__source=str(paths[len(opened) % FILES]),
                audio__sink="none",
                record__enabled=False,
            )
            opened.append(await stack.enter_async_context(open_session(wanted)))

        await one_more()
        await asyncio.sleep(6)
        memory["first"] = resident_mb()
        while len(opened) < SESSIONS:
            await one_more()
            await asyncio.sleep(APART_S)
        lateness.on, began = True, time.process_time()
        await asyncio.sleep(MEASURED_S)
        lateness.on = False
        memory["cpu_s"] = time.process_time() - began
        memory["all"] = resident_mb()
    return opened, memory, lateness


def main() -> None:
    """Measure and tell."""
    with tempfile.TemporaryDirectory() as folder:
        paths = wavs(Path(folder), asyncio.run(spoken(QUESTIONS)))
        opened, found, lateness = asyncio.run(measure(paths))
    overhead = [ms for session in opened for ms in overheads(session)]
    each = (found["all"] - found["first"]) / (SESSIONS - 1)
    tell(
        "sessions",
        [
            Promise("a frame is handled late by, p99", percentile(lateness.late_ms, 99), 20, "ms"),
            Promise("overhead of a turn, p95", percentile(overhead, 95), 100, "ms"),
            Promise("memory of each more session", round(each, 2), 1.5, "MB"),
            Promise("resident with the first session", round(found["first"], 1), 110, "MB"),
        ],
        {"sessions": SESSIONS, "seconds": MEASURED_S, "vad": "silero", "a turn every": f"{TURN_S} s"},
        {
            "late_ms": spread(lateness.late_ms),
            "overhead_ms": spread(overhead),
            "memory_mb": {name: round(found[name], 1) for name in ("imported", "first", "all")},
            "events_each": opened[0].trace.end,
            "cpu": f"{found['cpu_s'] / MEASURED_S * 100:.0f} % of a core",
        },
    )


if __name__ == "__main__":
    run(main)
