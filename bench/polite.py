"""Is a person talked over, in the terminal's program with the models on board? Measured on a capture of both sides.

A session on a virtual sound card asks a question; a human voice answers before its end, reads aloud for 44 s with
pauses of 0.4 to 1 s, hesitates, and dictates a number. Another program records microphone feed and speaker as two
channels; what is measured is in that capture alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench._figures import Promise, run, tell
from bench._prompts import prompts
from bench._readings import readings
from bench._spoken import spoken
from bench._talkover import ONE_SOUND_MS, Conversation, Span, Talkover, common_ms, joined
from bench._user_turns import FILLERS, NUMBERS, speak, trimmed
from tests.sound.card import RATE, VirtualCard, missing
from workbench.model.audio import INPUT_RATE
from workbench.model.errors import MissingError
from workbench.simulation.synthesis import Score, write_wav

QUESTION = "Shall I book the table for six o'clock, or would you rather come a little later?"
AGENT = f"""from workbench import Agent

agent = Agent(instructions="Answer in one short sentence.", greeting={QUESTION!r})
"""
EARLY_S = 0.4
"""The answer begins so long before the end of the question, s."""
ANSWERED_S = 20.0
"""The longest that an answer is waited for, s."""
APART_S = 2.0
"""Silence that parts what the user says from what comes next, s; no pause inside is so long."""
READY_S = 60.0
HESITATION_S = (0.0, 0.35, 0.9)
"""Pauses before the phrases of who hesitates, s."""
NUMBER = ((0.0, "555"), (0.5, "123"), (0.7, "4567"))
"""A telephone number in groups, and the pause before each, s."""
ROOT = Path(__file__).parents[1]


def parts() -> dict[str, Score]:
    """Return what the user says after the question, one after the other."""
    known = prompts("en")
    made = {"early answer": Score(), "hesitation": Score(), "dictated number": Score()}
    for word in ("digits/7", "digits/oclock"):
        speak(made["early answer"], trimmed(known[word]))
    letter, filler = FILLERS["en"]
    first, *others = known["vm-forward"].phrases
    for pause, phrase in zip(
        HESITATION_S, (first, trimmed(known[f"letters/{letter}"], filler), *others), strict=False
    ):
        speak(made["hesitation"].silence(pause), phrase)
    for pause, group in NUMBER:
        made["dictated number"].silence(pause)
        for digit in group:
            word = NUMBERS["en"][1].split()[int(digit)]
            speak(made["dictated number"], trimmed(known[f"digits/{digit}"], word))
            made["dictated number"].silence(0.06)
    return {"early answer": made.pop("early answer"), "reading": readings()[0][0], **made}


@contextmanager
def terminal(folder: Path, card: VirtualCard) -> Iterator[Path]:
    """Run `workbench tui` in a terminal of its own; yield the events of its recording."""
    (folder / "agent.py").write_text(AGENT)
    record = folder / "session"
    command = [
        sys.executable,
        "-m",
        "workbench",
        "tui",
        "agent.py",
        "--profile",
        "embedded",
        "--record",
        str(record),
    ]
    master, slave = pty.openpty()
    environment = {
        **card.environment(),
        "TERM": "xterm-256color",
        "COLUMNS": "120",
        "LINES": "40",
        "PYTHONPATH": str(ROOT),
    }
    session = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(slave)
    threading.Thread(target=_drain, args=(master,), daemon=True).start()
    try:
        yield record / "events.jsonl"
    finally:
        session.terminate()
        with suppress(subprocess.TimeoutExpired):
            session.wait(20)
        session.kill()
        os.close(master)


def _drain(terminal: int) -> None:
    with suppress(OSError):
        while os.read(terminal, 1 << 16):
            pass


def entries(events: Path) -> list[dict[str, Any]]:
    """Return what is recorded so far."""
    lines = events.read_text().splitlines(keepends=True) if events.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def until(events: Path, condition: Callable[[list[dict[str, Any]]], bool], patience_s: float) -> bool:
    """Wait until the events fulfil a condition; False if they do not in time."""
    deadline = time.monotonic() + patience_s
    while not condition(entries(events)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def quiet(recorded: list[dict[str, Any]]) -> bool:
    """Whether every reply that began to play has ended, and every utterance too."""
    playing = {event["reply"] for event in recorded if event["type"] == "reply_playing"}
    ended = {event["reply"] for event in recorded if event["type"] == "reply_ended"}
    spoke = [event["type"] for event in recorded if event["type"] in ("speech_started", "turn_ended")]
    return playing <= ended and spoke[-1:] == ["turn_ended"]


def talk(folder: Path, question_s: float) -> tuple[Conversation, list[str], list[dict[str, Any]]]:
    """Hold the conversation; what the capture says of it, the names of its parts, and the session's events."""
    made = parts()
    for name, score in made.items():
        write_wav(folder / f"{name}.wav", score.samples())
    with (
        VirtualCard(folder / "card") as card,
        card.capture(folder / "capture.wav"),
        terminal(folder, card) as events,
    ):
        if not until(events, lambda some: any(e["type"] == "reply_playing" for e in some), READY_S):
            raise MissingError("the session asked nothing", "try `workbench tui` by hand")
        time.sleep(max(0.0, question_s - EARLY_S))
        for name, score in made.items():
            card.say(folder / f"{name}.wav").wait(score.seconds + 30)
            time.sleep(APART_S)
            until(events, quiet, ANSWERED_S)
        recorded = entries(events)
    told = subprocess.run(
        [sys.executable, "-m", "bench._capture", str(folder / "capture.wav"), "--spans"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    spans: dict[str, list[Span]] = json.loads(told.stdout)
    user = joined([(a * 1000, b * 1000) for a, b in spans["left"]], ONE_SOUND_MS)
    agent = [(a * 1000, b * 1000) for a, b in spans["right"]]
    return Conversation(joined(user, APART_S * 1000), user, agent, "capture"), list(made), recorded


def main() -> None:
    """Measure and tell."""
    if lacks := missing():
        raise MissingError(f"a virtual sound card {lacks}", "see scripts/system-packages --test")
    question = asyncio.run(spoken((QUESTION,)))[0]
    with tempfile.TemporaryDirectory() as name:
        conversation, names, recorded = talk(Path(name), len(question) / INPUT_RATE)
    talkover = Talkover()
    talkover.add(conversation)
    overlaps = {
        name: round(common_ms(spoken_in(conversation, turn), conversation.audible))
        for name, turn in zip(names, conversation.turns, strict=True)
    }
    # in the early answer both are audible on purpose: the agent was asking
    later = [overlap for name, overlap in overlaps.items() if name != "early answer"]
    turns = [(e["user_text"], e["agent_text"]) for e in recorded if e["type"] == "turn_ended"]
    tell(
        "polite",
        [
            Promise("replies begun into speech", talkover.into_speech, 0, ""),
            Promise(
                "both audible within one part, the most, the early answer left out", max(later), 300, "ms"
            ),
        ],
        {"device": f"virtual, {RATE} Hz", "program": "workbench tui --profile embedded", "parts": names},
        {
            "talkover": talkover.figures(),
            "overlap_ms": overlaps,
            "turns": turns,
            "onsets": len(conversation.voiced),
        },
    )


def spoken_in(conversation: Conversation, turn: Span) -> list[Span]:
    """Return when the user was voiced in a turn."""
    return [span for span in conversation.voiced if turn[0] <= span[0] < turn[1]]


if __name__ == "__main__":
    run(main)
