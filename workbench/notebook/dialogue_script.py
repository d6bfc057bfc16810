"""A conversation written down like a scene, played under the virtual clock: a minute of it takes well under a second.

    you: Good morning.
    agent: It is a fine day.
    you: Tell me everything.
    agent: Well, that is a long story, and it begins in the year of the flood.
    (pause 2)
    you: Stop.

`you:` is spoken by a synthetic voice, `agent:` is what the scripted model answers to it. Between two lines of yours
there is time for the answer, unless a `(pause 2)`, in seconds, says when you go on. `(pause)`, `(cough)`, `(mhm)`,
`(click)` and `(babble 2)` follow your words at once, whatever the agent does meanwhile.
"""

from __future__ import annotations

import re
import shutil
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from workbench.agent import Agent
from workbench.config import Settings, load_settings
from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.readers.opened import OpenTrace, open_trace
from workbench.session import open_session
from workbench.simulation.clock import run_virtual
from workbench.simulation.script import Script
from workbench.simulation.synthesis import SECONDS_PER_CHARACTER, Score

LINE = re.compile(
    r"\s*(?:(you|user|agent)\s*:\s*(.+?)|\(\s*([a-z]+)\s*([\d.]+)?\s*s?\s*\))\s*", re.IGNORECASE
)
LEAD_S = 0.5
"""Silence before the first word, s."""
TURN_S = 2.0
"""What a turn may take beside the answer itself and what the script makes it wait, s."""
LONGEST_S = 3600.0
"""Of a scene, s."""
HINT = "write `you: words`, `agent: words`, or (pause 2), (cough), (mhm), (click), (babble 2)"
DIRECTIONS: dict[str, Callable[[Score, float], Score]] = {
    "pause": lambda score, seconds: score.silence(seconds),
    "cough": lambda score, _: score.cough(),
    "mhm": lambda score, _: score.mhm(),
    "click": lambda score, _: score.click(),
    "babble": lambda score, seconds: score.babble(seconds),
}


@dataclass(slots=True)
class DialogueScript:
    """What was written down: lines of both sides in their order, and directions."""

    steps: list[tuple[str, str]] = field(default_factory=list)
    """(`you`, words), (`agent`, words) or (a direction, seconds)."""

    @property
    def answers(self) -> list[tuple[str, str]]:
        """What the agent says to which words, in order; several lines in a row are one answer."""
        found: list[tuple[str, list[str]]] = []
        for who, words in self.steps:
            if who == "you":
                found.append((words, []))
            elif who == "agent" and found:
                found[-1][1].append(words)
        return [(said, " ".join(answer)) for said, answer in found if answer]

    def score(self, wait_s: float) -> Score:
        """As sound. `wait_s` is the time that passes at most before an answer begins."""
        score = Score().silence(LEAD_S)
        due_s, paused = 0.0, False  # from here until the answer is over; whether directions say when to go on
        for who, words in self.steps:
            began_s = score.seconds
            if who == "agent":
                due_s += len(words) * SECONDS_PER_CHARACTER
            elif who == "you":
                score.silence(0 if paused else max(0.0, due_s)).say(words)
                due_s, paused = wait_s, False
            else:
                DIRECTIONS[who](score, float(words))
                due_s -= score.seconds - began_s
                paused = paused or who == "pause"
        return score.silence(max(due_s, wait_s))


def parse_dialogue(text: str) -> DialogueScript:
    """Read a scene. Raises UsageError that names the line."""
    found = DialogueScript()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None or (match[3] and match[3].lower() not in DIRECTIONS):
            raise UsageError(f"line {number}: {plain(line.strip(), 60)!r} is neither said nor done", HINT)
        if match[1]:
            found.steps.append(("agent" if match[1].lower() == "agent" else "you", match[2]))
        else:
            found.steps.append((match[3].lower(), str(_seconds(match[4], number))))
    if not any(who != "agent" for who, _ in found.steps):
        raise UsageError("nobody says anything", HINT)
    return found


def score(
    play: str | Score,
    settings: Mapping[str, Any] | None = None,
    *,
    agent: Agent | None = None,
    **named: Any,
) -> OpenTrace:
    """Play a scene (or a `workbench.simulation.Score`) under the virtual clock; its trace, with all of its sound.

    Settings by dotted name (`{"turn.silence_ms": 300}`) or by keyword (`turn_silence_ms=300`). Every model is scripted
    and waits for nothing, unless `script={"first_token_ms": 300}` says otherwise, or `llm_provider="…"` takes another.
    The recording is in a temporary folder that goes away with the trace. Twice the same scene gives the same turns.
    Raises UsageError for what can't be played or set.
    """
    wanted = {key.replace("_", ".", 1): value for key, value in named.items()} | dict(settings or {})
    script = dict(wanted.pop("script", None) or {})
    delays = Script.of(script)
    if isinstance(play, str):
        written = parse_dialogue(play)
        wait_ms = delays.stt_ms + delays.first_token_ms + delays.first_byte_ms + delays.leading_silence_ms
        played = written.score(TURN_S + wait_ms / 1000)
        script = {"answers": written.answers, **script} if written.answers else script
    else:
        played = play
    if played.seconds > LONGEST_S:
        raise UsageError(f"this scene takes {played.seconds / 60:.0f} minutes", "an hour is the longest")
    script["spoken"] = [(note.text, note.start, note.end) for note in played.spoken]
    folder = Path(mkdtemp(prefix="workbench-score-"))
    try:
        fixed = {
            "profile": "scripted",
            **dict.fromkeys(("stt.provider", "llm.provider", "tts.provider"), "scripted"),
            "vad.provider": "energy",
            "audio.source": str(played.write_wav(folder / "user.wav")),
            "audio.sink": "none",
            "record.enabled": True,
            "record.folder": folder / "session",
            "script": script,
        }
        found = load_settings({**fixed, **wanted})
        if not (found.record.enabled and found.record.folder):
            raise UsageError(
                "a scene is shown from its recording", "leave out record.enabled and record.folder"
            )
        trace = _performed(found, agent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(trace, shutil.rmtree, folder, ignore_errors=True)
    return trace


def _performed(settings: Settings, agent: Agent | None) -> OpenTrace:
    async def talk() -> None:
        async with open_session(settings, agent=agent) as session:
            await session.ended()

    with ThreadPoolExecutor(1, "score") as thread:  # a notebook's own thread has a loop already
        thread.submit(lambda: run_virtual(talk())).result()
    assert settings.record.folder is not None
    return open_trace(settings.record.folder)


def _seconds(text: str | None, number: int) -> float:
    try:
        found = float(text or 1)
    except ValueError:
        found = -1.0
    if not 0 < found <= LONGEST_S:
        raise UsageError(f"line {number}: {text} is no number of seconds", "write it like (pause 1.5)")
    return found
