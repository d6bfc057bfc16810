"""`live(agent)`: talk to an agent from a cell, with the page's own microphone and speaker."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakSet

from workbench.agent import Agent
from workbench.config import load_settings
from workbench.config.settings import Settings
from workbench.model.errors import UsageError
from workbench.notebook.page_links import open_page_session
from workbench.notebook.resume import ResumedConversation, resume_conversation
from workbench.notebook.widget import BROWSER, LiveWidget
from workbench.session import Session
from workbench.views.live_output import current_cell

ROOM = "room"
"""A source and sink: a LiveKit room's."""
KERNEL_ENDED = "the kernel ended"
"""Why a session ends with its kernel; the page knows it too."""
__all__ = ["LiveWidget", "live"]


@dataclass(slots=True)
class CellRun:
    """The request that ran a cell last, its widgets that began a session, and its others, on a session of another."""

    request: str = ""
    owners: list[LiveWidget] = field(default_factory=list)
    guests: WeakSet[LiveWidget] = field(default_factory=WeakSet)


_cells: dict[str, CellRun] = {}
"""By cell."""


def live(
    agent: Agent | Session | LiveWidget | None = None,
    *,
    source: str = BROWSER,
    sink: str = BROWSER,
    room: str | None = None,
    profile: str | None = None,
    resume: bool | str | Path = False,
    settings: Settings | None = None,
    **changes: Any,
) -> LiveWidget:
    """Return a widget on a conversation with `agent`; the cell returns at once, `.session` is the session.

    `source` is "browser" (the page's microphone), "mic" (the kernel's sound card), "none" (type only) or a wav file;
    `sink` is "browser", "speaker", "none" or a wav file to write. `room` names a LiveKit room in the place of both:
    whoever is in it talks, the widget shows. `changes` are settings (`turn_silence_ms=300`).
    `resume` takes up a recorded conversation: its folder, or True for the latest. Running the cell again ends the
    session that it began before. Given a running `Session`, or a widget on one, it is one more widget on that one, and
    when the cell runs again that widget is taken away and the session goes on.

    Raises UsageError for what cannot be used. What is missing (weights, a device, a key) is said in the widget.
    """
    session = getattr(agent, "session", agent)
    if isinstance(session, Session):
        return _guest(session)
    if agent is not None and not isinstance(agent, Agent):
        raise UsageError(f"no Agent but {type(agent).__name__}", "write live(Agent(instructions=…))")
    settings = _settings(agent, settings, source, sink, room, profile, changes)
    session, resumed = _open(agent, settings, resume)  # before anything ends: it may be a mistake
    if _end_previous() and resume:  # what ended may be what is taken up, and is whole now
        session, resumed = _open(agent, settings, resume)
    with ExitStack() as undo:
        undo.enter_context(session)
        if resumed is not None:
            resumed.apply(session)
        widget = LiveWidget(session)
        _cells[current_cell()[0]].owners.append(widget)
        undo.pop_all()
    return widget


def _guest(session: Session) -> LiveWidget:
    """Return one more widget on a session that runs."""
    cell, _ = current_cell()
    if not cell:
        return LiveWidget(session)  # it cannot be known which one it takes the place of
    _end_previous(session)
    widget = LiveWidget(session)
    _cells[cell].guests.add(widget)
    return widget


def _open(
    agent: Agent | None, settings: Settings, resume: bool | str | Path
) -> tuple[Session, ResumedConversation | None]:
    """Return a session that is not yet entered, and the conversation that it takes up."""
    session = open_page_session(settings, agent)
    return session, resume_conversation(session, resume) if resume else None


def _settings(
    agent: Agent | None,
    settings: Settings | None,
    source: str,
    sink: str,
    room: str | None,
    profile: str | None,
    changes: dict[str, Any],
) -> Settings:
    if room is not None:
        if (source, sink) != (BROWSER, BROWSER):
            raise UsageError("a room is source and sink at once", "leave out source and sink, or room")
        source = sink = ROOM
    if settings is None:
        flags = {key.replace("_", ".", 1): value for key, value in changes.items()}
        flags |= {"audio.source": source, "audio.sink": sink, "room.name": room, "profile": profile}
        return load_settings(flags, agent=agent)
    if profile or changes:
        raise UsageError("`settings` has all settings already", "leave out the others, or `settings`")
    settings = settings.model_copy(deep=True)
    settings.audio.source, settings.audio.sink = source, sink
    settings.room.name = room if room is not None else settings.room.name
    return settings


def _end_previous(exempt: Session | None = None) -> bool:
    """End the sessions that the cell began when it ran before, but `exempt`, and take its guests away.

    Return whether a session ended. Several calls in one run of a cell end nothing of each other.
    """
    cell, request = current_cell()
    before = _cells.get(cell, CellRun())
    if request and request == before.request:
        return False
    _cells[cell] = CellRun(request, [widget for widget in before.owners if widget.session is exempt])
    ended = [widget for widget in before.owners if widget.session is not exempt]
    for widget in list(before.guests):
        widget.leave()
    for widget in ended:
        widget.replace()
    return bool(ended)


def running_widgets() -> list[LiveWidget]:
    """Return the widgets that began a session in a cell, but those that were replaced."""
    return [widget for run in list(_cells.values()) for widget in run.owners]


@atexit.register
def _end_all() -> None:
    """Close the recordings before the kernel ends."""
    for widget in running_widgets():
        widget.end(KERNEL_ENDED)
