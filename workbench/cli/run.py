"""`workbench run`: a conversation without a screen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from workbench.cli.flags import agent_and_settings, plugin_option

if TYPE_CHECKING:
    from workbench.agent import Agent
    from workbench.config import Settings
    from workbench.model.events import Entry
    from workbench.readers.timeline import Turn

WIDTH = 78
"""Columns of what is printed."""


@click.command(
    epilog="""\b
Examples:
  workbench run --source question.wav --sink none
  workbench run my_agent.py --source calls.wav --sink answers.wav --fast --json
  workbench run --record demo/            # talk; Ctrl-C ends it
  workbench run my_agent.py --room demo   # join a LiveKit room (LIVEKIT_URL, …)
  workbench run my_agent.py --room 'demo-*'   # every room of that kind, a session in each"""
)
@click.argument("agent_file", metavar="[AGENT.py]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--source",
    metavar="mic|FILE.wav|none",
    help="Where the user's voice comes from; none: type only.  [default: mic]",
)
@click.option(
    "--sink",
    metavar="speaker|FILE.wav|none",
    help="Where the agent's voice goes; none: to nobody, at real time.  [default: speaker; none for a file]",
)
@click.option("--room", metavar="NAME", help="A LiveKit room instead: see `workbench room --help`.")
@click.option(
    "--profile", metavar="NAME", help="embedded, scripted, openai, or your own.  [default: embedded]"
)
@click.option(
    "--record", metavar="DIR", type=click.Path(path_type=Path), help="Record into DIR (new or empty)."
)
@click.option(
    "--fast", is_flag=True, help="Skip all waiting: as fast as the models go. Needs a file as source."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON line a turn, and a last one that sums up.")
@click.option(
    "--set", "changes", metavar="KEY=VALUE", multiple=True, help="Any setting, like turn.silence_ms=300."
)
@click.option(
    "--config", metavar="FILE", type=click.Path(path_type=Path), help="Settings instead of workbench.toml."
)
@plugin_option
def run(
    agent_file: Path | None,
    source: str | None,
    sink: str | None,
    room: str | None,
    profile: str | None,
    record: Path | None,
    fast: bool,
    as_json: bool,
    changes: tuple[str, ...],
    config: Path | None,
    plugins: tuple[Path, ...],
) -> None:
    """Talk to an agent without a screen, and print where the time of each turn went.

    Ends by itself when the file has ended and the last reply was spoken. Exit codes: 0 fine, 2 bad input, 3 something
    is missing, 4 a turn failed, 128 + signal.
    """
    from workbench.cli.flags import ends

    flags = {
        "profile": profile,
        **ends(source, sink, room),
        "record.enabled": record is not None,
        "record.folder": record,
    }
    agent, settings = agent_and_settings(agent_file, flags, changes, config, plugins)
    raise SystemExit(converse(settings, agent, fast=fast, as_json=as_json))


def converse(settings: Settings, agent: Agent | None, *, fast: bool = False, as_json: bool = False) -> int:
    """Run a session to its end and print its turns; the exit code."""
    from workbench.model.errors import UsageError
    from workbench.simulation.clock import run_virtual  # 3 ms

    if fast and (settings.audio.source in ("mic", "none", "room") or settings.audio.sink == "speaker"):
        raise UsageError("--fast goes through a file, to no speaker", "give --source FILE.wav --sink none")
    if settings.audio.source == "room":
        from workbench.cli.many import means_many, talk_in_many

        if means_many(settings):
            return asyncio.run(talk_in_many(settings, agent, as_json, sys.stdout))
    conversation = talk(settings, agent, as_json, sys.stdout)
    with contextlib.redirect_stdout(sys.stderr):  # what the agent's own code prints is no turn
        return run_virtual(conversation) if fast else asyncio.run(conversation)


async def talk(settings: Settings, agent: Agent | None, as_json: bool, to: TextIO) -> int:
    """The same, on this loop; turns are printed to `to`."""
    from workbench.cli.signals import signals
    from workbench.engine.flow import beside
    from workbench.model.events import Notice
    from workbench.readers import Readers
    from workbench.readers.latency import Latency
    from workbench.readers.timeline import Timeline
    from workbench.session import open_session

    latency, incomplete = Latency(), False

    def ended(turn: Turn) -> None:
        latency.add(turn)
        print_turn(turn, as_json, to)

    def recording(entry: Entry) -> None:
        nonlocal incomplete
        match entry.event:
            case Notice(level="error", owner="recorder"):
                incomplete = True

    async with open_session(settings, agent=agent) as session:
        readers = Readers(session.trace, [Timeline(ended), tell, recording])
        try:
            async with beside(readers.run()):
                with signals(lambda number: session.stop(f"signal {number.name}")) as caught:
                    await session.ended()
        finally:
            readers.catch_up()
    readers.catch_up()  # what the recorder said at its end
    summary = latency.summary()
    out(json.dumps(summary) if as_json else _summed_up(summary["summary"]), to)
    if session.recording:
        err(f"recorded in {session.recording}{', but not to the end' if incomplete else ''}")
    if caught:
        return 128 + caught[0]
    return 4 if summary["summary"]["failed"] else 0


# --- printing --------------------------------------------------------------------------------------------------------


def out(line: str, to: TextIO) -> None:
    """One line on standard output, at once."""
    click.echo(line, file=to)
    to.flush()


def err(line: str) -> None:
    """One line on standard error."""
    click.echo(line, err=True)


def print_turn(turn: Turn, as_json: bool, to: TextIO) -> None:
    """A turn as a JSON line, or as a conversation with its waterfall."""
    from workbench.model.text import plain
    from workbench.readers.timeline import waterfall_text

    if as_json:
        out(json.dumps(turn.to_json()), to)
        return
    mark = {"done": "", "cut": " (interrupted)", "failed": " (failed)"}[turn.status]
    lines = [f"\nturn {turn.turn}{mark}{' (cold)' if turn.cold else ''}"]
    lines.append(f"  you    {plain(turn.user_text, one_line=True)}")
    lines.append(f"  agent  {plain(turn.agent_text, one_line=True)}")
    if turn.error:
        lines.append(f"  {turn.error.stage}: {plain(turn.error.reason)}\n  → {plain(turn.error.hint)}")
    out("\n".join([*lines, *(f"  {line}" for line in waterfall_text(turn, WIDTH).splitlines())]), to)


def _summed_up(figures: dict[str, Any]) -> str:
    if not figures["n"]:
        return f"\n{_turns(figures)}, none with a latency to sum up"
    percentiles = "  ".join(f"{name} {figures[name]:.0f} ms" for name in ("p50", "p90", "p95", "p99"))
    return f"\n{_turns(figures)}; heard latency of {figures['n']}: {percentiles}"


def _turns(figures: dict[str, Any]) -> str:
    return "1 turn" if figures["turns"] == 1 else f"{figures['turns']} turns"


def tell(entry: Any) -> None:
    """What a person wants to know meanwhile, on standard error."""
    from workbench.model.events import (
        DeviceLost,
        DuplexChanged,
        ListeningStarted,
        Notice,
        ParticipantChanged,
        PluginFailed,
        ProviderWarmed,
        RoomConnection,
    )
    from workbench.model.text import plain

    match entry.event:
        case ProviderWarmed(stage=stage, provider=provider, took_ms=took_ms, error=error):
            err(
                plain(
                    f"{stage}: {provider} {f'failed: {error}' if error else f'ready after {took_ms:.0f} ms'}"
                )
            )
        case ListeningStarted():
            err("listening")
        case Notice(level="warning" | "error" as level, owner=owner, reason=reason, hint=hint) if (
            owner != "session"
        ):
            err(plain(f"{level}: {owner}: {reason}{f' – {hint}' if hint else ''}"))
        case PluginFailed(plugin=plugin, hook=hook, reason=reason):
            err(plain(f"warning: plugin {plugin}: {hook} {reason}; it is not called again"))
        case DuplexChanged(mode=mode, reason=reason):
            err(plain(f"{mode} duplex: {reason}"))
        case DeviceLost(name=name, reason=reason, hint=hint):
            err(plain(f"lost {name}: {reason} – {hint}"))
        case RoomConnection(room=room, state=state, reason=reason, hint=hint, attempt=attempt):
            again = f" ({attempt})" if attempt > 1 else ""
            err(
                plain(
                    f"room {room}: {state}{again}{f': {reason}' if reason else ''}{f' – {hint}' if hint else ''}"
                )
            )
        case ParticipantChanged(identity=identity, kind=kind, state=state):
            err(plain(f"{identity} ({kind}): {state}"))
        case _:
            pass
