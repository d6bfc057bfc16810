"""An hour of conversation under the virtual clock, scripted, twice: how long it takes, and whether it is the same.

A wav file of an hour, a question every nine seconds: four hundred turns through a whole session. Once with the energy
VAD and no recording, and twice, beside each other, with Silero and a recording. What is recorded must be the same
bytes, every event and every sample that was played; only ids and the date differ. Nothing waits under that clock, so
the CPU time is what it takes on a free core. Memory: ten thousand typed turns, of which the first two thousand fill
what is bounded.
"""

from __future__ import annotations

import gc
import hashlib
import json
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path
from typing import Any

from bench._figures import Promise, run, settings, tell
from bench._memory import resident_mb
from workbench.model.audio import INPUT_RATE
from workbench.model.events import TurnEnded
from workbench.session import open_session
from workbench.simulation.clock import run_virtual
from workbench.simulation.synthesis import SECONDS_PER_CHARACTER, Score

HOUR_S = 3600
EVERY_S = 9
SAYS = "tell me more about it"
TURNS = 10_000


def source(folder: Path) -> Path:
    """A file in which the user asks and waits for the answer."""
    score = Score(seed=5, noise_db=-66)
    while score.seconds < 10 * EVERY_S:
        score.silence(0.7).say(SAYS).silence(EVERY_S - 0.7 - len(SAYS) * SECONDS_PER_CHARACTER)
    path = folder / "hour.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, INPUT_RATE, 0, "NONE", ""))
        for _ in range(HOUR_S // (10 * EVERY_S)):
            file.writeframes(score.samples().tobytes())
    return path


async def converse(path: Path, vad: str, record: Path | None) -> int:
    """A session from the file's first sample to its last; the turns it had."""
    wanted = settings(
        profile="scripted",
        vad__provider=vad,
        audio__source=str(path),
        audio__sink="none",
        record__enabled=record is not None,
        record__folder=record,
    )
    async with open_session(wanted) as session:
        await session.ended()
    kept = session.trace.since(session.trace.start)
    return max(entry.event.turn for entry in kept if isinstance(entry.event, TurnEnded))


async def typed() -> list[float]:
    """Resident memory after each thousand typed turns, MB."""
    wanted = settings(
        profile="scripted",
        audio__source="none",
        audio__sink="none",
        record__enabled=False,
        script={"agent": ["Yes."]},
    )
    found: list[float] = []
    async with open_session(wanted) as session:
        session.type("Is it?")
        async for entry in session.trace.follow():
            if isinstance(entry.event, TurnEnded):
                if entry.event.turn % 1000 == 0:
                    gc.collect()
                    found.append(round(resident_mb(), 1))
                if entry.event.turn == TURNS:
                    break
                session.type("Is it?")
    return found


def fingerprint(folder: Path) -> str:
    """Of the events and of the agent's track; what names the session itself is left out of its first event."""
    first, *others = (folder / "events.jsonl").read_bytes().splitlines()
    kept = {
        name: value
        for name, value in json.loads(first).items()
        if name not in ("session", "date", "recording")
    }
    whole = hashlib.sha256(json.dumps(kept, sort_keys=True).encode())
    for part in (*others, (folder / "agent.wav").read_bytes()):
        whole.update(part)
    return whole.hexdigest()[:16]


def alone(*job: str) -> subprocess.Popen[str]:
    """One of the jobs below, in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "bench.hour", *job], stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> Any:
    """What it has printed."""
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError("a part of the measurement failed")
    return json.loads(out)


def job(name: str, *arguments: str) -> Any:
    """What a process of its own does: an hour of conversation, or the typed turns."""
    if name == "typed":
        return run_virtual(typed())
    path, vad, *record = arguments
    began, used = time.perf_counter(), time.process_time()
    turns = run_virtual(converse(Path(path), vad, Path(record[0]) if record else None))
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - used
    return {"cpu_s": round(cpu_s, 1), "wall_s": round(took_s, 1), "turns": turns}


def main() -> None:
    """Measure and tell."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = str(source(folder))
        plain = result(alone("hour", path, "energy"))
        folders = [folder / "once", folder / "twice"]
        both = [alone("hour", path, "silero", str(record)) for record in folders]
        recorded = [result(process) for process in both]
        prints = [fingerprint(record) for record in folders]
    memory = result(alone("typed"))
    tell(
        "hour",
        [
            Promise("an hour, energy VAD, no recording", plain["cpu_s"], 10, "s"),
            Promise("an hour, Silero and a recording", max(one["cpu_s"] for one in recorded), 40, "s"),
            Promise("recordings that differ from the first", len(set(prints)) - 1, 0, ""),
            Promise("memory that turns 2,000 to 10,000 added", round(memory[-1] - memory[1], 1), 1, "MB"),
        ],
        {
            "time": "CPU time of the process: its wall clock on a free core",
            "Silero": "two at the same time",
            "turns for memory": TURNS,
        },
        {"plain": plain, "recorded": recorded, "fingerprints": prints, "memory_mb": memory},
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(job(*sys.argv[1:])))
    else:
        run(main)
