"""Taking up a recorded conversation: what was said, and the settings that were changed while it ran."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.model.conversation import Message
from workbench.model.errors import UsageError
from workbench.model.events import ReplyEnded, SettingChanged, TurnEnded
from workbench.readers import entries
from workbench.session import Session
from workbench.trace.store import default_root, open_trace, sessions


def resume(session: Session, folder: bool | str | Path) -> dict[str, Any]:
    """Give a session that is not yet entered the conversation of a recording, True for the latest.

    Returns the settings that were changed while it ran, to be set again. UsageError where there is no recording.
    """
    trace = open_trace(_latest(session) if folder is True else Path(str(folder)).expanduser())
    messages: list[Message] = []
    changed: dict[str, Any] = {}
    for entry in entries(trace):
        match entry.event:
            case TurnEnded(user_text=user, agent_text=agent, status=status) if user:
                messages.append(Message("user", user))
                if agent:
                    messages.append(Message("assistant", agent, cut=status == "cut"))
            case ReplyEnded(turn=None, heard=heard, status=status) if heard:
                messages.append(Message("assistant", heard, cut=status == "cut"))
            case SettingChanged(name=name, value=value) if not name.endswith("api_key"):
                changed[name] = value
            case _:
                pass
    if messages:
        session.agent = replace(session.agent, greeting=None)  # they have met
    session.conversation.add(*messages)
    return changed


def _latest(session: Session) -> Path:
    root = session.settings.record.dir or default_root()
    latest = max(sessions(root), key=lambda info: info.path.name, default=None)
    if latest is None:
        raise UsageError(f"there is no recording in {root}", "name its folder: live(agent, resume='…')")
    return latest.path
