"""Heard latency of spoken questions with the models on board, in real time, by `workbench run` as everybody runs it.

Thirty questions in the voice on board, one after the other, above the noise of a quiet room; the sink plays to nobody.
The latency is what the tracks say: from the last audible sample of the question to the first audible one of the answer,
endpointing's silence included. `unexplained` is what of it no stage accounts for; lanes are when each part ran, from
the last audible sample on, what is hidden under endpointing too. With `--busy` the same follows beside two processes
that compute all the time; that is told, not promised.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench._figures import Promise, percentile, run, spread, tell
from bench._spoken import QUESTIONS, spoken
from workbench.simulation.synthesis import Score

ROOT = Path(__file__).parents[1]
PAUSE_S = 4.5
"""Time for an answer; one that is still spoken then is interrupted by the next question, which is a turn as well."""
MORE = (
    "Who wrote Romeo and Juliet?",
    "What time do shops open on Sunday?",
    "How do I boil an egg?",
    "Tell me something about whales.",
    "Which planet is the largest?",
    "How many legs does a spider have?",
    "What should I cook for dinner?",
    "Can dogs eat apples?",
    "What is the tallest mountain on Earth?",
    "Give me a tip for sleeping better.",
    "When was the telephone invented?",
    "What language do people speak in Brazil?",
    "How does a bicycle stay upright?",
    "What is your favorite color?",
    "Could you explain gravity?",
    "Name three fruits.",
    "Is coffee good for you?",
    "How old is the universe?",
    "What do bees make?",
    "Why do cats purr?",
    "Where can I learn to swim?",
    "What is a good name for a boat?",
)
BUSY = "while True: pass"


def questions(folder: Path, texts: Sequence[str]) -> Path:
    """All of them in one file."""
    score = Score(seed=11, noise_db=-62).silence(1)
    for sound in asyncio.run(spoken(tuple(texts))):
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
    return [line for line in map(json.loads, done.stdout.splitlines()) if "turn" in line]


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes compute all the time."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def figures(answered: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Percentiles of the latency, and medians of the parts and of when they ran."""
    lanes: dict[str, list[list[float]]] = {}
    for turn in answered:
        for part, lane in turn["lanes_ms"].items():
            lanes.setdefault(part, []).append(lane)
    return {
        "heard_latency_ms": spread([turn["heard_latency_ms"] for turn in answered], 0),
        "parts_p50_ms": {
            part: percentile([turn["parts_ms"][part] for turn in answered], 50, 0)
            for part in answered[0]["parts_ms"]
        },
        "lanes_p50_ms": {
            part: [percentile(ends, 50, 0) for ends in zip(*all_lanes, strict=True)]
            for part, all_lanes in lanes.items()
        },
    }


def main(options: Sequence[str]) -> None:
    """Measure and tell."""
    texts = (*QUESTIONS, *MORE)
    with tempfile.TemporaryDirectory() as folder:
        source = questions(Path(folder), texts)
        all_turns = turns(source)
        beside: list[dict[str, Any]] = []
        if "--busy" in options:
            with busy(2):
                beside = turns(source)
    answered, beside = ([turn for turn in each if turn["heard_latency_ms"]] for each in (all_turns, beside))
    latency = [turn["heard_latency_ms"] for turn in answered]
    unexplained = [abs(turn["parts_ms"]["unexplained"]) for turn in answered]
    tell(
        "embedded",
        [
            Promise("heard latency, p50", percentile(latency, 50, 0), 600, "ms"),
            Promise("heard latency, p95", percentile(latency, 95, 0), 900, "ms"),
            Promise("unexplained, the most of any turn", round(max(unexplained), 2), 5, "ms"),
        ],
        {"questions": len(texts), "turns": len(all_turns), "answered": len(answered), "device": "none"},
        {
            **figures(answered),
            **({"beside two busy processes": figures(beside)} if beside else {}),
            "slowest": max(answered, key=lambda turn: turn["heard_latency_ms"]),
            "least_explained": max(answered, key=lambda turn: abs(turn["parts_ms"]["unexplained"])),
            "understood": [turn["user_text"] for turn in all_turns],
        },
    )


if __name__ == "__main__":
    run(lambda: main(sys.argv[1:]))
