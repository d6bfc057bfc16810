"""Many rooms in one process: how late frames are handled, what a room costs in CPU and memory.

    python -m bench.rooms [ROOMS]                              # 20 unless given
    python -m bench.rooms [ROOMS] --yardstick [--venv FOLDER]  # and livekit-agents at the same work

In each room is a client who says a sentence every five seconds and is answered at once by scripted providers; Silero
listens. Agents, clients and server are processes of their own, and the cost of each is counted apart. livekit-agents is
installed by pip into an environment of its own, in FOLDER where one is named (and kept there), else in a temporary one;
it runs one session a room in one process, as ours (its worker by default takes a process for each, which costs more).
Both are measured one after the other, twice, in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import mean
from typing import Any

from bench._figures import Promise, percentile, run, tell
from bench._processes import cpu_s, memory_mb, threads_s
from bench._room_clients import EVERY_S
from bench._spoken import QUESTIONS, spoken
from workbench.model.audio import INPUT_RATE
from workbench.model.errors import MissingError
from workbench.simulation.synthesis import SECONDS_PER_CHARACTER, write_wav
from workbench.transports.livekit.server import LocalServer

ROOMS = 20
MEASURED_S, SETTLE_S = 20.0, 8.0
ANSWER, SILENCE_MS = "Fine, thank you.", 500
THEIRS = ("livekit-agents==1.8.9", "livekit-plugins-silero==1.8.9")
HERE = Path(__file__).parent


class Process:
    """One of them, to be spoken with in lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pid = process.pid
        self._process = process

    async def told(self) -> str:
        """Its next line."""
        assert self._process.stdout
        async with asyncio.timeout(120):
            line = (await self._process.stdout.readline()).decode().strip()
        if not line:
            raise RuntimeError("a process of the measurement ended before its time")
        return line

    def tell(self, order: str) -> None:
        """Give it an order."""
        assert self._process.stdin
        self._process.stdin.write(f"{order}\n".encode())


@asynccontextmanager
async def process(*command: str, **environ: str) -> AsyncIterator[Process]:
    """Runs meanwhile."""
    made = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
        limit=1 << 20,
    )
    try:
        yield Process(made)
    finally:
        if made.returncode is None:
            made.kill()
        await made.wait()


async def measure(count: int, command: list[str], sentences: Path) -> dict[str, Any]:
    """Let them talk; the figures of one contestant."""
    async with LocalServer() as server:
        environ = {
            "URL": server.url,
            "KEY": server.keys.api_key,
            "SECRET": server.keys.api_secret,
            "SENTENCES": str(sentences),
            "ANSWER": ANSWER,
            "ANSWER_S": str(len(ANSWER) * SECONDS_PER_CHARACTER),
            "SILENCE_MS": str(SILENCE_MS),
        }
        mine = [sys.executable, "-m", "bench._room_clients", str(count)]
        async with process(*command, str(count), **environ) as ours, process(*mine, **environ) as people:
            await ours.told()
            await asyncio.sleep(SETTLE_S)
            first_mb = memory_mb(ours.pid)
            ours.tell("go")
            await ours.told()
            await asyncio.sleep(SETTLE_S)
            pids = {"agents": ours.pid, "clients": people.pid, "server": server.pid}
            for one in (ours, people):
                one.tell("measure")
            before = {name: cpu_s(pid) for name, pid in pids.items()}
            threads, began = threads_s(ours.pid), time.monotonic()
            await asyncio.sleep(MEASURED_S)
            seconds = time.monotonic() - began
            used = {name: (cpu_s(pid) - before[name]) / seconds * 100 for name, pid in pids.items()}
            threads = threads_s(ours.pid) - threads
            all_mb = memory_mb(ours.pid)
            people.tell("stop")
            ours.tell("stop")
            found: dict[str, Any] = json.loads(await people.told()) | json.loads(await ours.told())
    return found | {
        "cpu_of_a_room_percent": round(used["agents"] / count, 2),
        "memory_of_each_more_room_mb": round((all_mb - first_mb) / max(1, count - 1), 2),
        "memory_mb": round(all_mb, 1),
        "cpu_percent": {name: round(percent, 1) for name, percent in used.items()},
        "cpu_percent_by_thread": {n: round(s / seconds * 100, 1) for n, s in threads.most_common(8)},
        "answers_expected": round(count * seconds / EVERY_S),
    }


def their_python(folder: Path) -> str:
    """The interpreter of an environment that has livekit-agents, made where there is none yet."""
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "-q", *THEIRS],
        ):
            if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
                reason = f"{' and '.join(THEIRS)} could not be installed"
                raise MissingError(
                    reason, "is the package index within reach? leave out --yardstick without one"
                )
        (folder / "complete").touch()
    return str(python)


async def compared(count: int, theirs: list[str] | None, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Ours and theirs in turn."""
    for number, sentence in enumerate(await spoken(QUESTIONS)):
        write_wav(folder / f"{number}.wav", sentence[: (EVERY_S - 2) * INPUT_RATE])
    contestants = {"ours": [sys.executable, "-m", "bench._our_rooms"]}
    if theirs:
        contestants["livekit-agents"] = theirs
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
    for _ in range(2 if theirs else 1):
        for name, command in contestants.items():
            found[name].append(await measure(count, command, folder))
    return found


def promises(found: dict[str, list[dict[str, Any]]]) -> list[Promise]:
    """What is said of it."""
    late = [one["late_ms"]["p99"] for one in found["ours"]]
    told = [Promise("a frame is handled late by, p99", percentile(late, 50), 20, "ms")]
    if theirs := found.get("livekit-agents"):
        for name, words in (("cpu_of_a_room_percent", "CPU"), ("memory_of_each_more_room_mb", "memory")):
            ratio = mean(one[name] for one in found["ours"]) / mean(one[name] for one in theirs)
            told.append(
                Promise(f"{words} of a room against livekit-agents in this run", round(ratio, 2), 1, "×")
            )
    return told


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rooms", nargs="?", type=int, default=ROOMS)
    parser.add_argument("--yardstick", action="store_true", help="measure livekit-agents too")
    parser.add_argument("--venv", type=Path, help="where its environment is, or is to be made and kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        theirs = None
        if given.yardstick:
            python = their_python(given.venv or Path(folder, "venv"))
            theirs = [python, str(HERE / "_their_rooms.py")]
        sentences = Path(folder, "sentences")
        sentences.mkdir()
        found = asyncio.run(compared(given.rooms, theirs, sentences))
    tell(
        "rooms",
        promises(found),
        {
            "rooms": given.rooms,
            "seconds": MEASURED_S,
            "vad": "silero",
            "a turn every": f"{EVERY_S} s",
            "livekit-agents": f"{' '.join(THEIRS)}, all sessions in one process"
            if theirs
            else "not asked for",
        },
        found,
    )


if __name__ == "__main__":
    run(main)
