"""`workbench sessions`: the recordings on this machine. The answer is on standard output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workbench.cli.options import json_option, path_option, plugin_option
from workbench.cli.output import WIDTH, short, summary_json, summary_text, turn_text
from workbench.model.errors import UsageError
from workbench.model.events import Entry, Spent
from workbench.readers import entries
from workbench.readers.latency import LatencySummary
from workbench.readers.timeline import turns
from workbench.trace.store import SessionFolder, SessionInfo, default_root, open_trace, session_date
from workbench.trace.store import sessions as listed
from workbench.trace.trace import Trace
from workbench.views.format import money

search_option = click.option(
    "--search", default="", metavar="TEXT", help="Only those where somebody said TEXT."
)
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many, the newest."
)


@click.group(invoke_without_command=True)
@search_option
@limit_option
@json_option()
@click.pass_context
def sessions(context: click.Context, search: str, limit: int, as_json: bool) -> None:
    """List, search and show recorded sessions. Without a command it lists them.

    \b
    Example:
      workbench sessions --search "good morning"
      workbench sessions show
    """
    if context.invoked_subcommand is None:
        _list(search, limit, as_json)


@sessions.command("list")
@search_option
@limit_option
@json_option()
def list_sessions(search: str, limit: int, as_json: bool) -> None:
    """The recorded sessions, newest first.

    \b
    Example:
      workbench sessions list --search refund --json
    """
    _list(search, limit, as_json)


@sessions.command()
@click.argument("session", required=False)
@json_option()
def show(session: str | None, as_json: bool) -> None:
    """The turns of a session with what was said and where the time went. Without SESSION, of the newest.

    SESSION is an id, a folder, or the beginning of a folder's name in `workbench sessions`.

    \b
    Example:
      workbench sessions show 2f6c01aa
    """
    latency, spent = LatencySummary(), dict[str, float | None]()
    width = min(Console().width, WIDTH)

    def watched(trace: Trace) -> Iterator[Entry]:
        for entry in entries(trace):
            if isinstance(entry.event, Spent):
                spent.update(entry.event.usage)
            yield entry

    for turn in turns(watched(open_trace(find_session(session)))):
        latency.add(turn)
        click.echo(json.dumps(turn.to_json()) if as_json else turn_text(turn, width))
    click.echo(json.dumps(summary_json(latency, spent)) if as_json else summary_text(latency, spent))


@sessions.command()
@click.argument("session", required=False)
def path(session: str | None) -> None:
    """The folder of a session. Without SESSION, of the newest.

    \b
    Example:
      cp -r "$(workbench sessions path)" before
    """
    click.echo(find_session(session))


@sessions.command(hidden=True)
@click.argument("session", required=False)
@click.option("--to", "name", metavar="NAME", required=True)
@path_option("--out", "A new file to write into.")
@plugin_option
def export(session: str | None, name: str, out: Path | None, plugins: tuple[Path, ...]) -> None:
    """Do what `workbench export --format NAME -o FILE` does; this is how it was called before.

    \b
    Example:
      workbench sessions export --to csv --out turns.csv
    """
    from workbench.cli.export import run_export

    run_export(session, name, out, plugins)


def find_session(session: str | None) -> Path:
    """Return the folder of a session; None: of the newest. Raises UsageError where there is none, or more than one."""
    hint = "`workbench sessions` lists those there are"
    if session is not None and Path(session).is_dir():
        return SessionFolder.open(Path(session)).path
    whole = [info for info in listed() if info.problem is None]
    if session is None:
        if not whole:
            raise UsageError(f"no session is recorded in {default_root()}", "`workbench tui` records one")
        return whole[0].path
    matches = [info.path for info in whole if info.session == session or info.path.name.startswith(session)]
    if len(matches) != 1:
        raise UsageError(f"{len(matches) or 'no'} sessions are called {short(session, 60)!r}", hint)
    return matches[0]


def _list(search: str, limit: int, as_json: bool) -> None:
    infos: Iterator[SessionInfo] = islice(listed(search=search), limit)
    if as_json:
        for info in infos:
            click.echo(json.dumps(_described(info)))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("session", no_wrap=True)
    table.add_column("date", no_wrap=True)
    table.add_column("agent", overflow="fold")
    table.add_column("profile", overflow="fold")
    for column in ("turns", "duration", "cost", "size"):
        table.add_column(column, justify="right", no_wrap=True)
    for info in infos:
        table.add_row(*(Text(cell) for cell in _cells(info)))
    console = Console(highlight=False)
    if table.row_count:
        console.print(table)
    else:
        filtered = f" where somebody said {short(search, 60)!r}" if search else ""
        click.echo(f"no sessions in {default_root()}{filtered}", err=True)


def _cells(info: SessionInfo) -> list[str]:
    if info.problem is not None:
        return [short(info.path.name), "damaged", short(info.problem), "", "", "", "", ""]
    return [
        short(info.session),
        _local(info.date),
        short(info.agent),
        short(info.profile),
        str(info.turns),
        _duration(info.duration_s),
        money(info.spent),
        f"{info.size_bytes / 1e6:.1f} MB",
    ]


def _local(date: str) -> str:
    """Return the date in the user's time zone; as it is where it is no date."""
    moment = session_date(date)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment else short(date)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _described(info: SessionInfo) -> dict[str, Any]:
    return {
        "session": info.session,
        "date": info.date,
        "agent": info.agent,
        "profile": info.profile,
        "turns": info.turns,
        "duration_s": round(info.duration_s, 3),
        "cost": info.spent.get("cost"),
        "cost_at_least": info.spent.get("cost_at_least"),
        "size_bytes": info.size_bytes,
        "path": str(info.path),
        "problem": info.problem,
    }
