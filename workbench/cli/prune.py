"""`workbench prune`: old recordings make room."""

from __future__ import annotations

import json
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from workbench.cli.options import json_option, path_option
from workbench.cli.output import err, short
from workbench.model.errors import UsageError
from workbench.trace.files import remove_folder, remove_leftovers
from workbench.trace.pruning import PrunePlan, StoredSession, being_written, now, plan_pruning
from workbench.trace.store import default_root
from workbench.views.format import count

DURATION = re.compile(r"(\d{1,6})\s*(h|d|w)")
HOURS = {"h": 1, "d": 24, "w": 7 * 24}
SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([kMGT]?)B?", re.IGNORECASE)
BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def _duration(_context: click.Context, _option: click.Parameter, text: str | None) -> timedelta | None:
    if text is None:
        return None
    match = DURATION.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{short(text)!r} is no age: write it like 30d, 12h or 8w")
    return timedelta(hours=int(match[1]) * HOURS[match[2]])


def _size(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{short(text)!r} is no size: write it like 10G or 500M")
    return int(float(match[1]) * BYTES[match[2].lower()])


@click.command(
    epilog="""\b
Examples:
  workbench prune --older-than 30d --dry-run
  workbench prune --keep-bytes 10G --yes"""
)
@click.option(
    "--older-than", "age", metavar="AGE", callback=_duration, help="Remove what is older: 30d, 12h, 8w."
)
@click.option(
    "--keep-bytes", metavar="SIZE", callback=_size, help="Remove the oldest until so much is left: 10G, 500M."
)
@path_option("--dir", "The folder of the sessions.  [default: where they are recorded]", "DIR")
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option("One JSON object a line: each folder, then a summary.")
def prune(
    age: timedelta | None, keep_bytes: int | None, dir: Path | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Remove recordings that are too old, or the oldest of too many bytes.

    Only folders of sessions are removed, never what a link leads to, and never one that is being written. Exit codes:
    0 fine, 2 bad input or a folder that could not be removed.
    """
    if age is None and keep_bytes is None:
        raise UsageError(
            "prune needs to know what may go", "give --older-than 30d, --keep-bytes 10G, or both"
        )
    root = default_root() if dir is None else dir
    if dir is None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    plan = plan_pruning(root, before=None if age is None else now() - age, keep_bytes=keep_bytes)
    for path, reason in plan.untouched:
        err(f"left alone: {short(path.name)}: {short(reason, 200)}")
    if dry_run:
        for session in plan.remove:
            _tell(session, "would remove", as_json)
    else:
        _ask(plan, yes)
        _remove(plan, root, as_json)
    _summarize(plan, root, dry_run, as_json)


def _ask(plan: PrunePlan, yes: bool) -> None:
    if yes or not plan.remove:
        return
    what = f"{count(len(plan.remove), 'session')} ({_megabytes(plan.remove)})"
    if not sys.stdin.isatty():
        raise UsageError(
            f"{what} would be removed, and there is nobody to ask", "give --yes, or --dry-run to see them"
        )
    for session in plan.remove:
        err(f"  {_line(session)}")
    click.confirm(f"Remove {what} for good?", abort=True, err=True)


def _remove(plan: PrunePlan, root: Path, as_json: bool) -> None:
    """Remove one after the other, each in one step under its name: Ctrl-C leaves whole folders only."""
    place = root
    try:
        remove_leftovers(root)
        for session in plan.remove:
            place = session.path
            if being_written(place):
                raise UsageError(f"{place} is being written", "end its session first")
            remove_folder(place)
            _tell(session, "removed", as_json)
    except OSError as error:
        reason = f"{place} could not be removed: {error.strerror}"
        raise UsageError(reason, "those before it are gone; look at its permissions") from error


def _tell(session: StoredSession, verb: str, as_json: bool) -> None:
    if as_json:
        click.echo(
            json.dumps({"path": str(session.path), "date": _iso(session), "size_bytes": session.size_bytes})
        )
    else:
        click.echo(f"{verb} {_line(session)}")


def _summarize(plan: PrunePlan, root: Path, dry_run: bool, as_json: bool) -> None:
    freed, kept = (sum(session.size_bytes for session in part) for part in (plan.remove, plan.keep))
    if as_json:
        summary: dict[str, Any] = {
            "removed": 0 if dry_run else len(plan.remove),
            "freed_bytes": 0 if dry_run else freed,
            "kept": len(plan.keep),
            "kept_bytes": kept,
            "untouched": len(plan.untouched),
        }
        click.echo(json.dumps({"summary": summary}))
        return
    verb = "would be freed" if dry_run else "freed"
    stays = f"{count(len(plan.keep), 'session')} ({_megabytes(plan.keep)}) stay in {short(str(root), 200)}"
    click.echo(f"{_megabytes(plan.remove)} {verb} of {count(len(plan.remove), 'session')}; {stays}")


def _line(session: StoredSession) -> str:
    return f"{short(session.path.name)}  {_iso(session)}  {_megabytes([session])}"


def _iso(session: StoredSession) -> str:
    return session.date.strftime("%Y-%m-%dT%H:%M:%SZ")


def _megabytes(sessions: list[StoredSession]) -> str:
    return f"{sum(session.size_bytes for session in sessions) / 1e6:.1f} MB"
