"""A turn of a recording, saved as a test.

    tests/turns/NAME/
        workbench-test.toml    what is expected, for a person to edit (`expectations`)
        session/               the recording up to the end of the turn: sound, events, cassette

It is run on what was recorded, from the turn on with today's agent where one is named. What the cassette cannot answer,
as the agent asks for something else than it did, the recorded providers are asked for real.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from workbench.agent import Agent, load_agent
from workbench.model.errors import MissingError, UsageError
from workbench.model.events import SpeechStarted, TurnEnded
from workbench.model.text import plain
from workbench.readers import entries
from workbench.readers.folds.calls import CallRecord, parsed
from workbench.readers.folds.tools import ToolsFold
from workbench.readers.timeline import Turn
from workbench.replay import SAVED_TURN
from workbench.replay.expectations import Expectations, ExpectedCall, SavedTest
from workbench.replay.rerun import Rerun, rerun
from workbench.replay.slices import copy_beginning
from workbench.trace.cassette import open_cassette
from workbench.trace.trace import Trace
from workbench.views.comparison import words_difference
from workbench.views.trace import open_trace

RECORDING = "session"
PLACE = Path("tests") / "turns"
"""Where saved turns are, unless somebody says otherwise."""
AFTER_MS, BEFORE_MS = 1000.0, 100.0
"""So much of what follows the turn is kept, and so much before the next speech is not, ms."""
ASKED = {"stt": "speech to text", "llm": "the language model", "tts": "the voice", "tools": "a tool"}


def save_turn(folder: Path, number: int, place: Path | None = None, agent: Path | None = None) -> Path:
    """Save turn `number` of the recording in `folder` as a test in the new folder `place`, and return that.

    Without `place` it is one in tests/turns that is called by the user's words. `agent` is the file whose agent is
    tested. Raises UsageError for a turn that is not there or failed, a recording without a cassette, an agent that
    cannot be loaded, and where nothing can be written.
    """
    trace = open_trace(folder)
    turn = trace.turn(number)
    if turn.status == "failed":
        reason = f"turn {number} failed: there is nothing to expect of it"
        raise UsageError(reason, "save a turn that was answered")
    open_cassette(folder)  # before anything is written
    if agent is not None:
        load_agent(agent)
    place = place or PLACE / _slug(turn)
    if place.exists():
        raise UsageError(f"{place} is there already", "give another folder by -o")
    test = SavedTest(
        turn=number, agent=_relative(agent, place), expect=_as_it_was(turn, calls_of(trace, number))
    )
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as scratch:
            new = Path(scratch) / place.name
            new.mkdir()
            copy_beginning(folder, new / RECORDING, _end_ms(trace, number))
            (new / SAVED_TURN).write_text(test.text(turn), encoding="utf-8")
            new.rename(place)
    except OSError as error:
        raise UsageError(
            f"{place} cannot be written: {error.strerror}", "give another folder by -o"
        ) from error
    return place


def problems_of(file: Path) -> list[str]:
    """Run a saved turn by its file, and return what is not as expected, in plain words; empty where all is.

    Raises UsageError for a file, a recording or an agent that cannot be used.
    """
    test = SavedTest.read(file)
    agent = load_agent(file.parent / test.agent) if test.agent else None
    with tempfile.TemporaryDirectory(prefix="workbench-rerun-") as scratch:
        try:
            again = _run(file.parent / RECORDING, test.turn, agent, Path(scratch))
        except MissingError as error:
            return [f"the recording has no answer to what is asked now, and {error.reason}\n{error.hint}"]
        turn = next((turn for turn in again.trace.turns if turn.turn == test.turn), None)
        if turn is None:
            problems = [f"there is no turn {test.turn} any more: {len(again.trace.turns)} are decided"]
        else:
            problems = list(test.expect.problems(turn, calls_of(again.trace, test.turn)))
        return [*problems, *_reasons(file.parent / RECORDING, again, agent)] if problems else []


def calls_of(trace: Trace, number: int) -> tuple[CallRecord, ...]:
    """Return the tool calls of a turn in their order."""
    fold = ToolsFold(keep=None)
    for entry in entries(trace):
        fold.feed(entry)
    return fold.now.of(number)


# --- saving ----------------------------------------------------------------------------------------------------------


def _as_it_was(turn: Turn, calls: tuple[CallRecord, ...]) -> Expectations:
    """Return what comes out as it was recorded."""
    tools = []
    for call in calls:
        arguments = parsed(call.arguments or "{}")
        tools.append(
            ExpectedCall(name=call.name, arguments=arguments if isinstance(arguments, dict) else None)
        )
    contains = (turn.agent_text,) if turn.agent_text else ()
    return Expectations(
        user_text=turn.user_text, agent_contains=contains, tools=tuple(tools), cut=turn.status == "cut"
    )


def _end_ms(trace: Trace, number: int) -> float:
    """Return the time up to which the turn is recorded: some silence after its end, nothing of what is said next."""
    end_ms = None
    for entry in entries(trace):
        match entry.event:
            case TurnEnded(turn=turn) if turn == number:
                end_ms = entry.t_ms
            case SpeechStarted() if end_ms is not None:
                return max(end_ms, min(end_ms + AFTER_MS, entry.t_ms - BEFORE_MS))
    assert end_ms is not None
    return end_ms + AFTER_MS


def _slug(turn: Turn) -> str:
    words = re.findall(r"[a-z0-9]+", turn.user_text.lower())
    return "-".join(words)[:40].strip("-") or f"turn-{turn.turn}"


def _relative(agent: Path | None, place: Path) -> str | None:
    return None if agent is None else Path(os.path.relpath(agent.resolve(), place.resolve())).as_posix()


# --- running ---------------------------------------------------------------------------------------------------------


def _run(folder: Path, number: int, agent: Agent | None, scratch: Path) -> Rerun:
    """Run it on the cassette alone, and with the recorded providers only where that has no answer."""
    from_turn = number if agent else None
    again = rerun(folder, agent=agent, from_turn=from_turn, into=scratch / "played")
    if any(not change.live for change in again.changes):
        again = rerun(folder, agent=agent, from_turn=from_turn, into=scratch / "live", live=True)
    return again


def _reasons(folder: Path, again: Rerun, agent: Agent | None) -> Iterator[str]:
    """Yield why it came out otherwise, as far as that can be told."""
    recorded = [row["agent"] for row in open_cassette(folder).of("agent")]
    before = str(recorded[-1].get("instructions", "")) if recorded else ""
    if agent is not None and agent.instructions != before:
        changed = words_difference(before, agent.instructions)
        yield f"the agent's instructions are not those of the recording:\n  {plain(changed, 1000, one_line=True)}"
    for change in again.changes[:3]:
        who = ASKED.get(change.stage, change.stage)
        yield f"{who} was asked what is not in the recording: {change.request}"
