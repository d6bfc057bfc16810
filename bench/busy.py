"""A conversation beside threads of pure Python that never rest, as of a notebook cell that computes.

The session lives in a thread of its own and answers a wav file; how late are frames handled, and is there a gap in what
is heard? Where there is a sound server, a reply goes through a virtual card and a capture of its monitor is searched
for silence within the reply: that is what a listener would hear. Beside one thread there must be none; beside two it is
told.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench._figures import Promise, percentile, run, settings, spread, tell
from bench._lateness import Lateness
from tests.sound.card import VirtualCard, missing
from workbench.agent import Agent
from workbench.model.audio import Samples
from workbench.model.events import Glitch, Notice
from workbench.session import open_session
from workbench.session.process import tuned_process
from workbench.simulation.synthesis import Score

ROOT = Path(__file__).parents[1]
REPLY = "This reply is long enough that somebody would hear it if the sound stopped for a moment in between. "
SECONDS = 8.0
RATE = 48_000
GAP_MS = 5.0
"""Silence from which a gap counts, ms; the voice has none."""


@contextmanager
def busy(threads: int) -> Iterator[None]:
    """So many threads compute all the time."""
    over = threading.Event()

    def compute() -> None:
        number = 1
        while not over.is_set():
            for _ in range(1000):
                number = number * 31 % 1_000_003

    running = [threading.Thread(target=compute, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in running:
            thread.join()


def talk(threads: int, sink: str, user: Path) -> dict[str, Any]:
    """A greeting of some seconds beside the threads; what the session itself says of it."""
    wanted = settings(
        profile="scripted",
        vad__provider="silero",
        audio__source=str(user),
        audio__sink=sink,
        record__enabled=False,
    )
    lateness = Lateness()
    greeter = Agent(instructions="", greeting=REPLY)
    with tuned_process(), open_session(wanted, agent=greeter) as session:
        time.sleep(1)  # providers are warm, the device runs
        lateness.on = True
        with busy(threads):
            session.wait(SECONDS - 2)
            lateness.on = False
        session.wait()
    events = [entry.event for entry in session.trace.since(0)]
    return {
        "late_ms": lateness.late_ms,
        "glitches": sum(isinstance(event, Glitch) and event.track == "agent" for event in events),
        "not ready": sum(isinstance(event, Notice) and event.owner == "tts" for event in events),
    }


def gaps(captured: Samples) -> tuple[list[float], float]:
    """Each stretch of silence within the reply, ms, and its length, s; `captured`: the speaker's side at 48 kHz."""
    heard = np.flatnonzero(np.abs(captured.astype(np.int32)) > 8)
    found = [round(float(ms), 1) for ms in np.diff(heard) * 1000 / RATE if ms >= GAP_MS]
    return found, round(float(heard[-1] - heard[0]) / RATE, 1)


def through_card(threads: int, user: Path, folder: Path) -> dict[str, Any]:
    """The same in a process whose speaker is a virtual card's, and the gaps in a capture of it."""
    with VirtualCard(folder) as card:
        captured = folder / "heard.wav"
        with card.capture(captured):
            command = [sys.executable, "-m", "bench.busy", str(threads), str(user)]
            done = subprocess.run(
                command, cwd=ROOT, env=card.environment(), capture_output=True, text=True, check=False
            )
        if done.returncode:
            raise RuntimeError(done.stderr[-1000:])
        found: dict[str, Any] = json.loads(done.stdout)
        with wave.open(str(captured), "rb") as file:
            both = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        found["gaps_ms"], found["heard_s"] = gaps(both[1::2])
    return found


def shown(found: dict[str, Any]) -> dict[str, Any]:
    """Without the single values."""
    return {**found, "late_ms": spread(found["late_ms"])}


def measured(threads: int, user: Path, folder: Path) -> dict[str, Any]:
    """Beside so many threads; once more where one made gaps, which may have been made by whatever else runs here."""
    found = once(threads, user, folder / f"{threads}")
    if threads == 1 and audible(found):
        found = once(threads, user, folder / "again") | {"tries": 2}
    return found


def once(threads: int, user: Path, folder: Path) -> dict[str, Any]:
    """Through a virtual card, if there can be one."""
    return talk(threads, "none", user) if missing() else through_card(threads, user, folder)


def audible(found: dict[str, Any]) -> int:
    """Gaps, however they were found."""
    return int(found["glitches"] + found["not ready"] + len(found.get("gaps_ms", ())))


def main() -> None:
    """Measure and tell."""
    with tempfile.TemporaryDirectory() as folder:
        user = Score(noise_db=-60).silence(SECONDS).write_wav(Path(folder) / "user.wav")
        alone, one, two = (measured(threads, user, Path(folder)) for threads in (0, 1, 2))
    tell(
        "busy",
        [
            Promise("audible gaps beside one busy thread", audible(one), 0, ""),
            Promise("a frame is handled late by, beside one, p99", percentile(one["late_ms"], 99), 20, "ms"),
        ],
        {"seconds": SECONDS - 3, "speaker": missing() or "virtual card, captured by another process"},
        {"alone": shown(alone), "beside one": shown(one), "beside two": shown(two)},
    )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(talk(int(sys.argv[1]), "speaker", Path(sys.argv[2]))))
    else:
        run(main)
