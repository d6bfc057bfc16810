"""Heard latency of spoken questions with the models on board, in real time, by `workbench run` as everybody runs it.

Eight questions in the voice on board, one after the other, above the noise of a quiet room; the sink plays to nobody.
The latency is what the tracks say: from the last audible sample of the question to the first audible one of the answer,
endpointing's silence included. `unexplained` is what of it no stage accounts for.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench._figures import Promise, percentile, run, spread, tell
from bench._spoken import QUESTIONS, spoken
from workbench.simulation.synthesis import Score

ROOT = Path(__file__).parents[1]
PAUSE_S = 4.5
"""Time for an answer; one that is still spoken then is interrupted by the next question, which is a turn as well."""


def questions(folder: Path) -> Path:
    """All of them in one file."""
    score = Score(seed=11, noise_db=-62).silence(1)
    for sound in asyncio.run(spoken(QUESTIONS)):
        score.add(sound).silence(PAUSE_S)
    return score.write_wav(folder / "questions.wav")


def turns(source: Path) -> list[dict[str, Any]]:
    """What `--json` says of each turn."""
    command = [sys.executable, "-m", "workbench", "run", "--profile", "embedded", "--source", str(source)]
    done = subprocess.run(
        [*command, "--sink", "none", "--json"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-1000:])
    return [found for found in map(json.loads, done.stdout.splitlines()) if "turn" in found]


def main() -> None:
    """Measure and tell."""
    with tempfile.TemporaryDirectory() as folder:
        found = turns(questions(Path(folder)))
    heard = [turn for turn in found if turn["heard_latency_ms"] is not None]
    latency = [turn["heard_latency_ms"] for turn in heard]
    unexplained = [abs(turn["parts_ms"]["unexplained"]) for turn in heard]
    parts = {
        name: percentile([turn["parts_ms"][name] for turn in heard], 50, 0) for name in heard[0]["parts_ms"]
    }
    tell(
        "embedded",
        [
            Promise("heard latency, p50", percentile(latency, 50, 0), 800, "ms"),
            Promise("unexplained, the most of any turn", round(max(unexplained), 2), 5, "ms"),
        ],
        {"questions": len(QUESTIONS), "turns": len(found), "answered": len(heard), "device": "none"},
        {
            "heard_latency_ms": spread(latency, 0),
            "parts_p50_ms": parts,
            "least_explained": max(heard, key=lambda turn: abs(turn["parts_ms"]["unexplained"])),
            "understood": [turn["user_text"] for turn in found],
        },
    )


if __name__ == "__main__":
    run(main)
