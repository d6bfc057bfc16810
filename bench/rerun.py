"""What a cassette costs, and how fast a session runs again on it: ten minutes of conversation, a question every nine
seconds, under the virtual clock.

Recorded without a cassette and with one, in turn, three times each: the difference of the CPU times is what the
cassette takes of a core. Nothing of it is on the audio path but an append for each frame and each pull. Then it runs
again, twice: the speed is that of the wall clock, and both must be the same bytes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from bench._figures import Promise, run, settings, tell
from workbench import Agent
from workbench.replay.rerun import rerun
from workbench.replay.verdict import compare_traces
from workbench.session import Session
from workbench.session.recording import begin_trace
from workbench.simulation.clock import run_virtual
from workbench.simulation.synthesis import Score
from workbench.views.trace import open_trace

SECONDS, EVERY_S, PASSES = 600, 9, 3
SAYS = "tell me more about it"


class WithoutCassette(Session):
    """A session that is recorded as before there were cassettes."""

    def _open(self) -> Coroutine[Any, Any, None]:
        folder = begin_trace(self.settings, "bench", self.trace)
        self.recording = folder.path if folder else None
        return self._live(folder, None)


def converse(kind: type[Session], sound: Path, folder: Path) -> float:
    """Record a conversation; return the CPU time it took, s."""
    flags = {
        "profile": "scripted",
        "audio.source": str(sound),
        "audio.sink": "none",
        "record.folder": str(folder),
    }

    async def talk() -> None:
        async with kind(settings(**flags), Agent(instructions="Be brief.", name="bench")) as session:
            await session.ended()

    began = time.process_time()
    run_virtual(talk())
    return time.process_time() - began


def main() -> None:
    """Record, run again, and tell."""
    with tempfile.TemporaryDirectory() as place:
        folder, score = Path(place), Score(seed=5, noise_db=-66)
        while score.seconds < SECONDS:
            score.say(SAYS, at=score.seconds + 0.7).silence(EVERY_S - 3)
        score.write_wav(folder / "sound.wav")
        costs: dict[str, list[float]] = {"without": [], "with": []}
        for number in range(PASSES):
            for name, kind in (("without", WithoutCassette), ("with", Session)):
                costs[name].append(converse(kind, folder / "sound.wav", folder / f"{name}{number}"))
        recording = folder / "with0"
        lasted_s = open_trace(recording).end_ms / 1000
        took: list[float] = []
        again = []
        for name in ("once", "twice"):
            began = time.perf_counter()
            again.append(rerun(recording, into=folder / name))
            took.append(time.perf_counter() - began)
        same = [compare_traces(again[0].original, each.trace).sameness for each in again]
        size = sum(file.stat().st_size for file in (recording / "cassette").iterdir())
        share = (min(costs["with"]) - min(costs["without"])) / lasted_s * 100
        tell(
            "rerun",
            [
                Promise("a cassette takes of a core", round(share, 3), 1.0, "%"),
                Promise(
                    "a rerun takes of the session's time", round(min(took) / lasted_s * 100, 2), 2.0, "%"
                ),
                Promise(
                    "reruns that are not the same bytes", sum(each != "same bytes" for each in same), 0, ""
                ),
            ],
            {"session_s": round(lasted_s, 1), "turns": len(again[0].trace.turns)},
            {
                "times_real_time": round(lasted_s / min(took), 1),
                "cpu_s": {name: [round(each, 2) for each in values] for name, values in costs.items()},
                "cassette_bytes_per_s": round(size / lasted_s),
            },
        )


if __name__ == "__main__":
    run(main)
