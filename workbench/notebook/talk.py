"""`live(agent)`: talk to an agent from a cell, with the page's own microphone and speaker."""

from __future__ import annotations

import atexit
from pathlib import Path
from typing import Any

from workbench.agent import Agent
from workbench.audio.page import PageLink
from workbench.config import load
from workbench.config.settings import Settings
from workbench.model.errors import UsageError
from workbench.notebook import resume as recorded
from workbench.notebook.widget import BROWSER, Live
from workbench.session import Session, open_session

ROOM = "room"
"""A source and sink: a LiveKit room's."""
KERNEL_ENDED = "the kernel ended"
"""Why a session ends with its kernel; the page knows it too."""
__all__ = ["Live", "live"]

_running: dict[str, Live] = {}
"""The widget that began a session, by cell."""


def live(
    agent: Agent | Session | None = None,
    *,
    source: str = BROWSER,
    sink: str = BROWSER,
    room: str | None = None,
    profile: str | None = None,
    resume: bool | str | Path = False,
    settings: Settings | None = None,
    **changes: Any,
) -> Live:
    """A widget on a conversation with `agent`; the cell returns at once, `.session` is the session.

    `source` is "browser" (the page's microphone), "mic" (the kernel's sound card), "none" (type only) or a wav file;
    `sink` is "browser", "speaker", "none" or a wav file to write. `room` names a LiveKit room in the place of both:
    whoever is in it talks, the widget shows. `changes` are settings (`turn_silence_ms=300`).
    `resume` takes up a recorded conversation: its folder, or True for the latest. Running the cell again ends the
    session that it began before. Given a running `Session`, it is one more widget on that one.

    UsageError for what cannot be used. What is missing (weights, a device, a key) is said in the widget.
    """
    if isinstance(agent, Session):
        return Live(agent)
    if agent is not None and not isinstance(agent, Agent):
        raise UsageError(f"no Agent but {type(agent).__name__}", "write live(Agent(instructions=…))")
    _end_earlier(_cell())
    settings = _settings(agent, settings, source, sink, room, profile, changes)
    session = open_session(settings, agent=agent, page=PageLink())
    earlier = recorded.resume(session, resume) if resume else None
    session.__enter__()
    if earlier is not None:
        earlier.go_on(session)
    widget = Live(session)
    _running[_cell()] = widget
    return widget


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
        return load(flags, agent=agent)
    if profile or changes:
        raise UsageError("`settings` has all settings already", "leave out the others, or `settings`")
    settings = settings.model_copy(deep=True)
    settings.audio.source, settings.audio.sink = source, sink
    settings.room.name = room if room is not None else settings.room.name
    return settings


def _cell() -> str:
    """The cell that runs, where the notebook says which; else all cells are one."""
    try:
        from IPython import get_ipython  # it is there in a kernel, and nowhere else needed

        parent = get_ipython().parent_header
        return str(parent["metadata"]["cellId"])
    except (ImportError, AttributeError, KeyError, TypeError):
        return ""


def _end_earlier(cell: str) -> None:
    earlier = _running.pop(cell, None)
    if earlier is not None:
        earlier.end("replaced by a new one")


@atexit.register
def _end_all() -> None:
    """The kernel ends: recordings are closed."""
    for widget in list(_running.values()):
        widget.end(KERNEL_ENDED)
