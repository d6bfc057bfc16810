"""`workbench run`: a conversation without a screen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from workbench.cli.options import agent_and_settings, json_option, session_options, settings_options
from workbench.cli.output import err, out, summary_json, summary_text, turn_text
from workbench.model.text import plain

if TYPE_CHECKING:
    from workbench.agent import Agent
    from workbench.config import Settings
    from workbench.model.events import Entry
    from workbench.readers.timeline import Turn

WIDTH = 80
"""Columns of a turn's waterfall."""


@click.command(
    epilog="""\b
Examples:
  workbench run --source question.wav --sink none
  workbench run my_agent.py --source calls.wav --sink answers.wav --fast --json
  workbench run --record demo/            # talk; Ctrl-C ends it
  workbench run my_agent.py --room demo   # join a LiveKit room (LIVEKIT_URL, …)
  workbench run my_agent.py --room 'demo-*'   # every room of that kind, a session in each"""
)
@session_options
@click.option(
    "--fast", is_flag=True, help="Skip all waiting: as fast as the models go. Needs a file as source."
)
@json_option("One JSON line a turn, and a last one that sums up.")
@settings_options
def run(fast: bool, as_json: bool, record: Path | None, **options: Any) -> None:
    """Talk to an agent without a screen, and print where the time of each turn went.

    Ends by itself when the file has ended and the last reply was spoken. Exit codes: 0 fine, 2 bad input, 3 something
    is missing, 4 a turn failed, 128 + signal.
    """
    agent, settings = agent_and_settings(
        record=record, settings={"record.enabled": record is not None}, **options
    )
    raise SystemExit(converse(settings, agent, fast=fast, as_json=as_json))


def converse(settings: Settings, agent: Agent | None, *, fast: bool = False, as_json: bool = False) -> int:
    """Run a session to its end and print its turns; return the exit code."""
    from workbench.model.errors import UsageError
    from workbench.session.process import tuned_process
    from workbench.simulation.clock import run_virtual  # 3 ms

    if fast and (settings.audio.source in ("mic", "none", "room") or settings.audio.sink == "speaker"):
        raise UsageError("--fast goes through a file, to no speaker", "give --source FILE.wav --sink none")
    if settings.audio.source == "room":
        from workbench.cli.dispatch import many_sessions, run_dispatcher

        if many_sessions(settings):
            with tuned_process():
                return asyncio.run(run_dispatcher(settings, agent, as_json, sys.stdout))
    conversation = run_session(settings, agent, as_json, sys.stdout)
    # what the agent's own code prints is no turn
    with tuned_process(), contextlib.redirect_stdout(sys.stderr):
        return run_virtual(conversation) if fast else asyncio.run(conversation)


async def run_session(settings: Settings, agent: Agent | None, as_json: bool, to: TextIO) -> int:
    """Run a session on this loop and print its turns to `to`; return the exit code."""
    from workbench.cli.signals import signals
    from workbench.engine.tasks import beside
    from workbench.model.events import Notice, Spent
    from workbench.readers import Readers
    from workbench.readers.folds.thinking import ThinkingFold
    from workbench.readers.latency import LatencySummary
    from workbench.session import open_session
    from workbench.views.trace import on_turn

    latency, incomplete, spent = LatencySummary(), False, dict[str, float | None]()
    thinking = ThinkingFold()

    def turn_ended(turn: Turn) -> None:
        latency.add(turn)
        thoughts = thinking.take(turn.turn)
        print_turn(turn, as_json, to, **({"thinking": plain(thoughts)} if thoughts else {}))

    def recording(entry: Entry) -> None:
        nonlocal incomplete
        match entry.event:
            case Spent(usage=usage):
                spent.update(usage)
            case Notice(level="error", owner="recorder"):
                incomplete = True

    async with open_session(settings, agent=agent) as session:
        readers = Readers(
            session.trace, [thinking.feed, on_turn(session.trace, turn_ended), print_news, recording]
        )
        try:
            async with beside(readers.run()):
                with signals(lambda number: session.stop(f"signal {number.name}")) as caught:
                    await session.ended()
        finally:
            readers.catch_up()
    readers.catch_up()  # what the recorder said at its end
    summary = summary_json(latency, spent)
    out(json.dumps(summary) if as_json else f"\n{summary_text(latency, spent)}", to)
    if session.recording:
        err(f"recorded in {session.recording}{', but not to the end' if incomplete else ''}")
    if caught:
        return 128 + caught[0]
    return 4 if summary["summary"]["failed"] else 0


def print_turn(turn: Turn, as_json: bool, to: TextIO, **more: str) -> None:
    """Print a turn: a JSON line with the keys `more` too, or a conversation with its waterfall."""
    if as_json:
        out(json.dumps({**turn.to_json(), **more}), to)
    else:
        out("\n" + "\n".join([*more.values(), turn_text(turn, WIDTH)]).rstrip(), to)


def print_news(entry: Entry) -> None:
    """Print what a person wants to know while a session runs, on standard error."""
    if line := news(entry):
        err(plain(line))


def news(entry: Entry) -> str:
    """Return a sentence about an event, empty where nobody needs to know."""
    from workbench.model import events as ev
    from workbench.readers.folds.status import LOST_VOICE
    from workbench.text.languages import name_of

    match entry.event:
        case ev.ProviderWarmed(stage=stage, provider=provider, took_ms=took_ms, error=error):
            return f"{stage}: {provider} {f'failed: {error}' if error else f'ready after {took_ms:.0f} ms'}"
        case ev.ModelLoading(stage=stage, provider=provider, waited_ms=waited_ms, reason=reason) if (
            waited_ms < 2000 or waited_ms % 5000 < 1000  # not a line each second
        ):
            why = f" ({reason})" if reason else ""
            return f"{stage}: {provider} loads its model: {waited_ms / 1000:.0f} s{why}"
        case ev.FallbackStarted(stage=stage, provider=provider, fallback=fallback, reason=reason):
            return f"{stage}: {fallback} takes over from {provider}: {reason}"
        case ev.VoiceChanged(stage=stage, state="lost", reason=reason, hint=hint):
            return f"{LOST_VOICE[(stage,)]}: {reason}{_hint(hint)}"
        case ev.VoiceChanged(stage=stage):
            return f"{stage}: back"
        case ev.ListeningStarted():
            return "listening"
        case ev.LanguageChanged(language=language):
            return f"the user speaks {name_of(language)} now"
        case ev.Notice(level="warning" | "error" as level, owner=owner) as notice if owner != "session":
            return f"{level}: {owner}: {notice.reason}{_hint(notice.hint)}"
        case ev.PluginFailed(plugin=plugin, hook=hook, reason=reason):
            return f"warning: plugin {plugin}: {hook} {reason}; it is not called again"
        case ev.DuplexChanged(mode=mode, reason=reason):
            return f"{mode} duplex: {reason}"
        case ev.DeviceLost(name=name, reason=reason, hint=hint):
            return f"lost {name}: {reason}{_hint(hint)}"
        case ev.RoomConnection(room=room, state=state, reason=reason, hint=hint, attempt=attempt):
            again = f" ({attempt})" if attempt > 1 else ""
            return f"room {room}: {state}{again}{f': {reason}' if reason else ''}{_hint(hint)}"
        case ev.ParticipantChanged(identity=identity, kind=kind, state=state):
            return f"{identity} ({kind}): {state}"
        case _:
            return ""


def _hint(hint: str) -> str:
    return f" – {hint}" if hint else ""
