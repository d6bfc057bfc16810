"""Which recordings make room for others: those that are too old, and the oldest of too many bytes.

Only folders of sessions that can be read are ever chosen: no link, nothing that is being written, and nothing of which
the date is not known.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from workbench.model.errors import UsageError
from workbench.trace.files import is_held, size_bytes
from workbench.trace.store import EVENTS, SessionFolder, session_date

JUST_BEGUN_S = 60.0
"""A folder without events that is younger than this is one of a session that begins."""


@dataclass(frozen=True, slots=True)
class StoredSession:
    """The folder of a session, when it was recorded, and the bytes that it takes."""

    path: Path
    date: datetime
    size_bytes: int


@dataclass(slots=True)
class PrunePlan:
    """What is to be removed, oldest first, what stays, and what is left alone for a reason."""

    remove: list[StoredSession] = field(default_factory=list)
    keep: list[StoredSession] = field(default_factory=list)
    untouched: list[tuple[Path, str]] = field(default_factory=list)


def plan_pruning(root: Path, *, before: datetime | None = None, keep_bytes: int | None = None) -> PrunePlan:
    """Choose the sessions of `root` from before that date, and the oldest ones until `keep_bytes` are left.

    Raises UsageError where `root` cannot be read.
    """
    plan, stored = PrunePlan(), list[StoredSession]()
    for path in _folders(root):
        try:
            stored.append(_stored(path))
        except UsageError as error:
            plan.untouched.append((path, error.reason))
    total = 0
    for session in sorted(stored, key=lambda session: (session.date, session.path), reverse=True):
        total += session.size_bytes
        too_old = before is not None and session.date < before
        too_much = keep_bytes is not None and total > keep_bytes
        (plan.remove if too_old or too_much else plan.keep).append(session)
    plan.remove.reverse()
    return plan


def _folders(root: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in root.iterdir() if not path.name.startswith(".") and path.is_dir())
    except OSError as error:
        raise UsageError(
            f"{root} cannot be read: {error.strerror}", "give another folder by --dir"
        ) from error


def _stored(path: Path) -> StoredSession:
    """Raises UsageError with the reason why a folder is left alone."""
    if path.is_symlink():
        raise UsageError("it is a link")
    date = session_date(SessionFolder.open(path).about.date)
    if date is None:
        raise UsageError("its date is not known")
    try:
        if being_written(path):
            raise UsageError("it is being written")
        return StoredSession(path, date, size_bytes(path))
    except OSError as error:
        raise UsageError(f"it cannot be read: {error.strerror}") from error


def being_written(folder: Path) -> bool:
    """Decide whether a session is recording into that folder right now. Raises OSError."""
    try:
        return is_held(folder / EVENTS)
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime < JUST_BEGUN_S


def now() -> datetime:
    """Return the wall clock, UTC."""
    return datetime.now(UTC)
