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
from workbench.notebook import resume as recorded
from workbench.notebook.page_links import open_page_session
from workbench.notebook.widget import BROWSER, LiveWidget
from workbench.session import Session

ROOM = "room"
"""A source and sink: a LiveKit room's."""
KERNEL_ENDED = "the kernel ended"
"""Why a session ends with its kernel; the page knows it too."""
__all__ = ["LiveWidget", "live"]


@dataclass(slots=True)
class _Run:
    """Of a cell: the request that ran it last, its widgets that began a session, and those on one that was there."""

    request: str = ""
    began: list[LiveWidget] = field(default_factory=list)
    more: WeakSet[LiveWidget] = field(default_factory=WeakSet)


_running: dict[str, _Run] = {}
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
    """A widget on a conversation with `agent`; the cell returns at once, `.session` is the session.

    `source` is "browser" (the page's microphone), "mic" (the kernel's sound card), "none" (type only) or a wav file;
    `sink` is "browser", "speaker", "none" or a wav file to write. `room` names a LiveKit room in the place of both:
    whoever is in it talks, the widget shows. `changes` are settings (`turn_silence_ms=300`).
    `resume` takes up a recorded conversation: its folder, or True for the latest. Running the cell again ends the
    session that it began before. Given a running `Session`, or a widget on one, it is one more widget on that one, and
    when the cell runs again that widget is taken away and the session goes on.

    UsageError for what cannot be used. What is missing (weights, a device, a key) is said in the widget.
    """
    session = getattr(agent, "session", agent)
    if isinstance(session, Session):
        return _one_more(session)
    if agent is not None and not isinstance(agent, Agent):
        raise UsageError(f"no Agent but {type(agent).__name__}", "write live(Agent(instructions=…))")
    settings = _settings(agent, settings, source, sink, room, profile, changes)
    session, earlier = _made(agent, settings, resume)  # before anything ends: it may be a mistake
    if _end_earlier() and resume:
        session, earlier = _made(
            agent, settings, resume
        )  # what ended may be what is taken up, and is whole now
    with ExitStack() as undo:
        undo.enter_context(session)
        if earlier is not None:
            earlier.go_on(session)
        widget = LiveWidget(session)
        _running[_cell()[0]].began.append(widget)
        undo.pop_all()
    return widget


def _one_more(session: Session) -> LiveWidget:
    """A widget on a session that is there."""
    cell, _ = _cell()
    if not cell:
        return LiveWidget(session)  # it cannot be told which one it takes the place of
    _end_earlier(session)
    widget = LiveWidget(session)
    _running[cell].more.add(widget)
    return widget


def _made(
    agent: Agent | None, settings: Settings, resume: bool | str | Path
) -> tuple[Session, recorded.ResumedConversation | None]:
    """A session that is not yet entered, and what it takes up."""
    session = open_page_session(settings, agent)
    return session, recorded.resume(session, resume) if resume else None


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


def _cell() -> tuple[str, str]:
    """The cell that runs and the request that runs it, where the notebook says which; else all cells are one."""
    try:
        from IPython import get_ipython  # it is there in a kernel, and nowhere else needed

        parent: dict[str, Any] = get_ipython().parent_header
        cell, request = (parent.get(part) or {} for part in ("metadata", "header"))
    except (ImportError, AttributeError):
        return "", ""
    return str(cell.get("cellId", "")), str(request.get("msg_id", ""))


def _end_earlier(kept: Session | None = None) -> bool:
    """What the cell began when it ran before ends, but `kept`, and what it showed more is taken away; whether a session
    ended."""
    cell, request = _cell()
    before = _running.get(cell, _Run())
    if request and request == before.request:
        return False  # several in one cell
    stay = [widget for widget in before.began if widget.session is kept]
    end = [widget for widget in before.began if widget.session is not kept]
    _running[cell] = _Run(request, stay)
    for widget in list(before.more):
        widget.leave()
    for widget in end:
        widget.replace()
    return bool(end)


def began() -> list[LiveWidget]:
    """The widgets that began a session in a cell, but those that were replaced."""
    return [widget for run in list(_running.values()) for widget in run.began]


@atexit.register
def _end_all() -> None:
    """The kernel ends: recordings are closed."""
    for widget in began():
        widget.end(KERNEL_ENDED)
