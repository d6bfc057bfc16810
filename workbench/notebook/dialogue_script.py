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
from workbench.config import load_settings
from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.session import open_session
from workbench.simulation.clock import run_virtual
from workbench.simulation.script import Script
from workbench.simulation.synthesis import SECONDS_PER_CHARACTER, Score
from workbench.views.trace import OpenTrace, open_trace

LINE = re.compile(
    r"\s*(?:(you|user|agent)\s*:\s*(.+?)|\(\s*([a-z]+)\s*([\d.]+)?\s*s?\s*\))\s*", re.IGNORECASE
)
LEAD_S = 0.5
"""Silence before the first word, s."""
TURN_S = 2.0
"""What a turn may take beside the answer itself and the delays of the script, s."""
LONGEST_S = 3600.0
"""Of a conversation, s."""
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
    """Lines of both sides in their order, and directions."""

    steps: list[tuple[str, str]] = field(default_factory=list)
    """(`you`, words), (`agent`, words) or (a direction, seconds)."""

    @property
    def answers(self) -> list[tuple[str, str]]:
        """The user's words and the agent's answer, in order; several lines in a row are one answer."""
        answers: list[tuple[str, list[str]]] = []
        for role, words in self.steps:
            if role == "you":
                answers.append((words, []))
            elif role == "agent" and answers:
                answers[-1][1].append(words)
        return [(question, " ".join(lines)) for question, lines in answers if lines]

    def score(self, wait_s: float) -> Score:
        """Return it as sound. `wait_s` is the time that passes at most before an answer begins."""
        score = Score().silence(LEAD_S)
        due_s, paused = 0.0, False  # from here until the answer is over; whether directions say when to go on
        for step, words in self.steps:
            start_s = score.seconds
            if step == "agent":
                due_s += len(words) * SECONDS_PER_CHARACTER
            elif step == "you":
                score.silence(0 if paused else max(0.0, due_s)).say(words)
                due_s, paused = wait_s, False
            else:
                DIRECTIONS[step](score, float(words))
                due_s -= score.seconds - start_s
                paused = paused or step == "pause"
        return score.silence(max(due_s, wait_s))


def parse_dialogue(text: str) -> DialogueScript:
    """Return the script. Raises UsageError that names the line."""
    script = DialogueScript()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None or (match[3] and match[3].lower() not in DIRECTIONS):
            raise UsageError(f"line {number}: {plain(line.strip(), 60)!r} is neither said nor done", HINT)
        if match[1]:
            script.steps.append(("agent" if match[1].lower() == "agent" else "you", match[2]))
        else:
            script.steps.append((match[3].lower(), str(_seconds(match[4], number))))
    if not any(step != "agent" for step, _ in script.steps):
        raise UsageError("nobody says anything", HINT)
    return script


def score(
    play: str | Score,
    settings: Mapping[str, Any] | None = None,
    *,
    agent: Agent | None = None,
    **named: Any,
) -> OpenTrace:
    """Play a script (or a `workbench.simulation.Score`) under the virtual clock; return its trace, with its sound.

    Settings by dotted name (`{"turn.silence_ms": 300}`) or by keyword (`turn_silence_ms=300`). Every model is scripted
    and waits for nothing, unless `script={"first_token_ms": 300}` says otherwise, or `llm_provider="…"` takes another.
    The recording is in a temporary folder that goes away with the trace. Twice the same script gives the same turns.
    Raises UsageError for what can't be played or set.
    """
    changes = {key.replace("_", ".", 1): value for key, value in named.items()} | dict(settings or {})
    script = dict(changes.pop("script", None) or {})
    delays = Script.of(script)
    if isinstance(play, str):
        dialogue = parse_dialogue(play)
        wait_ms = delays.stt_ms + delays.first_token_ms + delays.first_byte_ms + delays.leading_silence_ms
        play = dialogue.score(TURN_S + wait_ms / 1000)
        script = {"answers": dialogue.answers, **script} if dialogue.answers else script
    if play.seconds > LONGEST_S:
        raise UsageError(f"this scene takes {play.seconds / 60:.0f} minutes", "an hour is the longest")
    script["spoken"] = [(note.text, note.start, note.end) for note in play.spoken]
    folder = Path(mkdtemp(prefix="workbench-score-"))
    try:
        trace = _perform(play, folder, changes | {"script": script}, agent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(trace, shutil.rmtree, folder, ignore_errors=True)
    return trace


def _perform(play: Score, folder: Path, changes: dict[str, Any], agent: Agent | None) -> OpenTrace:
    """Return the trace of the session, recorded in the folder."""
    fixed = {
        "profile": "scripted",
        **dict.fromkeys(("stt.provider", "llm.provider", "tts.provider"), "scripted"),
        "vad.provider": "energy",
        "audio.source": str(play.write_wav(folder / "user.wav")),
        "audio.sink": "none",
        "record.enabled": True,
        "record.folder": folder / "session",
    }
    settings = load_settings(fixed | changes)
    if not (settings.record.enabled and settings.record.folder):
        reason, hint = "a scene is shown from its recording", "leave out record.enabled and record.folder"
        raise UsageError(reason, hint)

    async def talk() -> None:
        async with open_session(settings, agent=agent) as session:
            await session.ended()

    with ThreadPoolExecutor(1, "score") as thread:  # a notebook's own thread has a loop already
        thread.submit(lambda: run_virtual(talk())).result()
    return open_trace(settings.record.folder)


def _seconds(text: str | None, number: int) -> float:
    try:
        seconds = float(text or 1)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= LONGEST_S:
        raise UsageError(f"line {number}: {text} is no number of seconds", "write it like (pause 1.5)")
    return seconds
