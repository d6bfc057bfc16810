"""Recordings for the commands that read them."""

from __future__ import annotations

from pathlib import Path

from workbench.model.events import Entry, Event
from workbench.trace.codec import encode
from workbench.trace.store import About, SessionFolder


def record(name: str, day: int, events: list[Event]) -> Path:
    about = About(
        session=name,
        date=f"2025-01-0{day}T10:00:00Z",
        agent="sh\x1b]0;x\x07op",
        profile="scripted",
        versions={},
    )
    folder = SessionFolder.create(about)
    lines = (encode(Entry(i, 60_000.0 + i, event)) + "\n" for i, event in enumerate(events))
    folder.events.write_text("".join(lines), encoding="ascii")
    return folder.path
