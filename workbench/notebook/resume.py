"""Taking up a recorded conversation: what was said, and the settings that were changed while it ran."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from workbench.model.conversation import Message, Role
from workbench.model.errors import UsageError
from workbench.model.events import ReplyEnded, Resumed, SettingChanged, TurnEnded
from workbench.readers import entries
from workbench.session import Session
from workbench.trace.store import default_root, open_trace, sessions

KEPT = 200
"""Messages that are carried from recording to recording, the last ones."""


@dataclass(frozen=True, slots=True)
class ResumedConversation:
    """What a recording leaves to the session that takes it up."""

    recording: str
    messages: tuple[Message, ...]
    settings: dict[str, Any]
    """Those that were changed while it ran."""

    def go_on(self, session: Session) -> None:
        """Tell the trace of a session that was entered, so that its recording can be taken up in its turn, and change
        the settings."""
        told = tuple({"role": one.role, "text": one.text, "cut": one.cut} for one in self.messages)
        session.trace.emit(Resumed(self.recording, told))
        for name, value in self.settings.items():
            with suppress(UsageError):  # a setting of another version
                session.set(name, value)


def resume(session: Session, folder: bool | str | Path) -> ResumedConversation:
    """Give a session that is not yet entered the conversation of a recording, True for the latest.

    UsageError where there is no recording.
    """
    path = _latest(session) if folder is True else Path(str(folder)).expanduser()
    messages: list[Message] = []
    changed: dict[str, Any] = {}
    for entry in entries(open_trace(path)):
        match entry.event:
            case Resumed(messages=before):
                messages += [_message(one) for one in before]
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
    earlier = ResumedConversation(str(path), tuple(messages[-KEPT:]), changed)
    session.conversation.add(*earlier.messages)
    return earlier


def _message(said: dict[str, Any]) -> Message:
    """As a recording has it, which somebody may have written by hand."""
    role: Role = "user" if said.get("role") == "user" else "assistant"
    return Message(role, str(said.get("text", "")), cut=bool(said.get("cut")))


def _latest(session: Session) -> Path:
    """The newest one; of those that began in the same second the one that was written to last."""
    root = session.settings.record.dir or default_root()
    newest = sessions(root)
    first = next(newest, None)
    if first is None:
        raise UsageError(f"there is no recording in {root}", "name its folder: live(agent, resume='…')")
    same = takewhile(lambda info: info.date == first.date, newest)
    return max((info.path for info in (first, *same)), key=_written)


def _written(folder: Path) -> float:
    return max((file.stat().st_mtime for file in folder.iterdir()), default=0.0)
