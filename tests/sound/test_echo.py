"""Echo on a virtual card whose speaker can be heard in its microphone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.sound.card import VirtualCard
from tests.sound.conftest import ROOT
from tests.waiting import PATIENCE_S
from workbench.model.audio import INPUT_RATE, level_db
from workbench.transports.file.wavfile import read_wav
from workbench.transports.local.echo_path import ALIKE_MS

pytestmark = pytest.mark.sound

MEASURE = """
import asyncio, dataclasses, json
from workbench.transports.local.echo_path import measure_echo_path
print(json.dumps(dataclasses.asdict(asyncio.run(measure_echo_path()))))
"""


def measured(card: VirtualCard) -> dict[str, Any]:
    told = subprocess.run(
        [sys.executable, "-c", MEASURE],
        env=card.environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    path: dict[str, Any] = json.loads(told.stdout)
    return path


def test_the_way_back_is_measured(card: VirtualCard) -> None:
    assert measured(card)["delay_ms"] is None
    card.echo(-20)
    path = measured(card)
    assert path["level_db"] == pytest.approx(-40, abs=2)
    assert 0 < path["delay_ms"] < 200
    assert path["error_ms"] <= ALIKE_MS


def test_a_session_knows_its_own_voice(card: VirtualCard, tmp_path: Path) -> None:
    card.echo(-15)
    agent = tmp_path / "agent.py"
    story = "I am going to tell you a very long story now. " * 4
    agent.write_text(f"from workbench import Agent\nagent = Agent(instructions='', greeting={story!r})\n")
    command = [sys.executable, "-m", "workbench", "run", str(agent), "--profile", "scripted"]
    with subprocess.Popen(
        [*command, "--record", str(tmp_path / "session")],
        env=card.environment(),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as session:
        try:
            events = until_event(tmp_path / "session" / "events.jsonl", session, "reply_ended")
        finally:
            session.terminate()
    states = [event for event in events if event["type"] == "echo_state"]
    assert states[-1]["erle_db"] > 10
    assert 0 < states[-1]["delay_ms"] < 200
    mic, user = (
        np.concatenate(list(read_wav(tmp_path / "session" / name, INPUT_RATE)))[INPUT_RATE:]
        for name in ("mic.wav", "user.wav")
    )
    assert level_db(user) < level_db(mic) - 10


def until_event(path: Path, process: subprocess.Popen[bytes], kind: str) -> list[dict[str, Any]]:
    """The events of a session that is being recorded, up to the first of that kind."""
    until = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < until:
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        kinds = [event["type"] for event in events]
        if kind in kinds:
            return events[: kinds.index(kind) + 1]
        time.sleep(0.1)
    raise AssertionError(f"no {kind} came; exit code {process.poll()}")
