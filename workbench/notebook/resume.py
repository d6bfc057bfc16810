"""Taking up a recorded conversation: what was said, and the settings that were changed while it ran."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from workbench.config.settings import SECRET
from workbench.model.conversation import Message, Role
from workbench.model.errors import UsageError
from workbench.model.events import ReplyEnded, Resumed, SettingChanged, TurnEnded
from workbench.readers import entries
from workbench.session import Session
from workbench.trace.store import default_root, open_trace, sessions

MOST_MESSAGES = 200
"""Carried from recording to recording, the last ones."""


@dataclass(frozen=True, slots=True)
class ResumedConversation:
    """What a recording leaves to the session that takes it up."""

    recording: str
    messages: tuple[Message, ...]
    settings: dict[str, Any]
    """Those that were changed while it ran."""

    def apply(self, session: Session) -> None:
        """Write it into the trace of a session that was entered, so that its recording can be resumed in its turn, and
        change the settings."""
        messages = [{"role": item.role, "text": item.text, "cut": item.cut} for item in self.messages]
        session.trace.emit(Resumed(self.recording, tuple(messages)))
        for name, value in self.settings.items():
            with suppress(UsageError):  # a setting of another version
                session.set(name, value)


def resume_conversation(session: Session, folder: bool | str | Path) -> ResumedConversation:
    """Give a session that is not yet entered the conversation of a recording, True for the latest.

    Raises UsageError where there is no recording.
    """
    path = _latest(session) if folder is True else Path(str(folder)).expanduser()
    messages: list[Message] = []
    changed: dict[str, Any] = {}
    for entry in entries(open_trace(path)):
        match entry.event:
            case Resumed(messages=before):
                messages += map(_message, before)
            case TurnEnded(user_text=user, agent_text=agent, status=status) if user:
                messages.append(Message("user", user))
                if agent:
                    messages.append(Message("assistant", agent, cut=status == "cut"))
            case ReplyEnded(turn=None, heard=heard, status=status) if heard:
                messages.append(Message("assistant", heard, cut=status == "cut"))
            case SettingChanged(name=name, value=value) if not name.endswith(SECRET):
                changed[name] = value
            case _:
                pass
    if messages:
        session.agent = replace(session.agent, greeting=None)  # it was said
    resumed = ResumedConversation(str(path), tuple(messages[-MOST_MESSAGES:]), changed)
    session.conversation.add(*resumed.messages)
    return resumed


def _message(item: dict[str, Any]) -> Message:
    """Return a message of a recording, which somebody may have written by hand."""
    role: Role = "user" if item.get("role") == "user" else "assistant"
    return Message(role, str(item.get("text", "")), cut=bool(item.get("cut")))


def _latest(session: Session) -> Path:
    """Return the newest recording; of those that began in the same second, the one that was written to last."""
    root = session.settings.record.dir or default_root()
    newest = sessions(root)
    first = next(newest, None)
    if first is None:
        raise UsageError(f"there is no recording in {root}", "name its folder: live(agent, resume='…')")
    same = takewhile(lambda info: info.date == first.date, newest)
    return max((info.path for info in (first, *same)), key=_written_at)


def _written_at(folder: Path) -> float:
    return max((file.stat().st_mtime for file in folder.iterdir()), default=0.0)
