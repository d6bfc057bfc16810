"""A recorded session of any length: a short one, played under the virtual clock, again and again in one folder."""

from __future__ import annotations

import json
import shutil
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench._figures import settings
from workbench.model.audio import INPUT_RATE
from workbench.session import open_session
from workbench.simulation.clock import run_virtual
from workbench.simulation.synthesis import Score

COUNTED = {"turn": "turns", "utterance": "utterances", "reply": "replies"}
"""Fields that count on from one repetition to the next."""


def record(folder: Path) -> Path:
    """Record a minute of conversation: questions, an interruption, an "mhm"."""
    score = Score(seed=5, noise_db=-66)
    for _ in range(3):
        score.silence(0.7).say("tell me more about it").silence(5.0)
        score.say("please stop now").silence(3.0).mhm().silence(2.5)
    sound = folder.parent / "minute.wav"
    score.write_wav(sound)

    async def talk() -> None:
        wanted = settings(
            profile="scripted",
            audio__source=str(sound),
            audio__sink="none",
            record__enabled=True,
            record__folder=folder,
        )
        async with open_session(wanted) as session:
            await session.ended()

    run_virtual(talk())
    return folder


def repeat(short: Path, folder: Path, seconds: float) -> Path:
    """Write a session of that length into `folder`: events and sound of `short` over and over, counting on."""
    folder.mkdir()
    shutil.copy(short / "session.json", folder)
    lines = [json.loads(line) for line in (short / "events.jsonl").read_text("ascii").splitlines()]
    length_ms = lines[-1]["t_ms"]
    times = max(1, round(seconds * 1000 / length_ms))
    for path in short.glob("*.wav"):
        _repeat_sound(path, folder / path.name, times, length_ms / 1000)
    with (folder / "events.jsonl").open("w", encoding="ascii") as file:
        for line in _events(lines, times, length_ms):
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
    return folder


def _repeat_sound(path: Path, out: Path, times: int, seconds: float) -> None:
    with wave.open(str(path), "rb") as file:
        form, rate = file.getparams(), file.getframerate()
        sound = file.readframes(round(seconds * rate))
    sound += bytes(2 * round(seconds * rate) - len(sound))
    with wave.open(str(out), "wb") as file:
        file.setparams(form)
        for _ in range(times):
            file.writeframes(sound)


def _events(lines: list[dict[str, Any]], times: int, length_ms: float) -> Iterator[dict[str, Any]]:
    most = {name: max(line.get(name) or 0 for line in lines) for name in COUNTED}
    rates = {"user": INPUT_RATE, "mic": INPUT_RATE, "agent": 24_000}
    number = 0
    for repetition in range(times):
        for line in lines:
            kind = line["type"]
            if (kind == "session_started" and repetition) or (
                kind == "session_ended" and repetition < times - 1
            ):
                continue
            yield {**line, "i": number, **_shifted(line, repetition, most, length_ms, rates)}
            number += 1


def _shifted(
    line: dict[str, Any], repetition: int, most: dict[str, int], length_ms: float, rates: dict[str, int]
) -> dict[str, Any]:
    shift_ms = repetition * length_ms
    track = line.get("track") or ("agent" if line["type"].startswith("reply") else "user")
    changed: dict[str, Any] = {}
    for name, value in line.items():
        if value is None or isinstance(value, bool):
            continue
        if name in COUNTED:
            changed[name] = value + repetition * most[name]
        elif name in ("t_ms", "start_ms", "end_ms", "at_ms", "user_end_ms", "agent_start_ms"):
            changed[name] = round(value + shift_ms, 3)
        elif name == "sample" or (name.endswith("_sample")):
            of = "agent" if name.startswith("agent") else "user" if name.startswith("user") else track
            changed[name] = value + round(shift_ms * rates[of] / 1000)
    return changed
