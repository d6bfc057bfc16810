"""Is heard latency what is heard? The waterfall against a capture of microphone feed and speaker by another process.

A session on a virtual sound card is asked questions; each answer's latency as the session says it (`heard` events) is
compared with what another program finds in the capture. Only the scripted models are used: devices and clocks are what
is measured. Promise: they agree within 15 ms at p95.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench._figures import Promise, run, tell
from tests.sound.card import RATE, VirtualCard, missing
from workbench.model.audio import silence
from workbench.model.errors import MissingError
from workbench.transports.file.wavfile import WavWriter, read_wav

QUESTION = Path(__file__).parents[1] / "tests" / "data" / "question.wav"
QUESTIONS = 20
EVERY_S = (3.0, 3.5)
"""Silence after a question, s: between these."""
READY_S = 30.0
"""A session is listening after this long at most, s."""


def questions(path: Path) -> float:
    """Write the questions one after the other, at odd distances; their length in s."""
    question = np.concatenate(list(read_wav(QUESTION, RATE)))
    pauses = np.random.default_rng(1).uniform(*EVERY_S, QUESTIONS)
    writer = WavWriter(path, RATE)
    for pause in pauses:
        writer.write(question)
        writer.write(silence(int(pause * RATE)))
    writer.close()
    return writer.count / RATE


def listening(events: Path, session: subprocess.Popen[str]) -> None:
    """Wait until the session reads its microphone."""
    until = time.monotonic() + READY_S
    while not (events.exists() and '"listening_started"' in events.read_text()):
        if session.poll() is not None or time.monotonic() > until:
            raise MissingError(
                f"the session did not start: {session.stderr.read() if session.stderr else ''}"
            )
        time.sleep(0.05)


def talk(card: VirtualCard, folder: Path) -> list[float]:
    """Hold the conversation; heard latency of each turn as the session says it, ms."""
    length = questions(folder / "questions.wav")
    record = folder / "session"
    command = [
        sys.executable,
        "-m",
        "workbench",
        "run",
        "--profile",
        "scripted",
        "--record",
        str(record),
        "--json",
    ]
    session = subprocess.Popen(
        [*command, "--set", "vad.provider=energy"],
        env=card.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    try:
        listening(record / "events.jsonl", session)
        with card.capture(folder / "capture.wav"):
            time.sleep(1)
            card.say(folder / "questions.wav").wait(length + 30)
            time.sleep(1)
    finally:
        session.terminate()
        session.wait(20)
    events = [json.loads(line) for line in (record / "events.jsonl").read_text().splitlines()]
    heard = [event for event in events if event["type"] == "heard" and event["agent_start_ms"] is not None]
    return [event["agent_start_ms"] - event["user_end_ms"] for event in heard]


def captured(capture: Path) -> list[float]:
    """The same latencies as the capture says them, by a program of its own, ms."""
    told = subprocess.run(
        [sys.executable, "-m", "bench._capture", str(capture)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(told.stdout)
    return [(answer["agent_start_s"] - answer["user_end_s"]) * 1000 for answer in found]


def main() -> None:
    """Measure and tell."""
    if lacks := missing():
        raise MissingError(f"a virtual sound card {lacks}", "see scripts/system-packages --test")
    with tempfile.TemporaryDirectory() as name, VirtualCard(Path(name) / "card") as card:
        said = talk(card, Path(name))
        true = captured(Path(name) / "capture.wav")
    off = np.abs(np.array(said[: len(true)]) - np.array(true[: len(said)]))
    complete = len(said) == len(true) == QUESTIONS
    p95 = round(float(np.quantile(off, 0.95)), 2) if complete else None
    tell(
        "heard",
        [Promise("waterfall and capture differ, p95", p95, 15.0, "ms")],
        {
            "questions": QUESTIONS,
            "answers said": len(said),
            "answers captured": len(true),
            "models": "scripted",
        },
        {
            "difference_p50_ms": round(float(np.median(off)), 2) if len(off) else None,
            "difference_max_ms": round(float(off.max()), 2) if len(off) else None,
            "said_ms": [round(value, 1) for value in said],
            "captured_ms": [round(value, 1) for value in true],
        },
    )


if __name__ == "__main__":
    run(main)
