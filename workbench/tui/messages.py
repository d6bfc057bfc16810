"""What widgets tell their screen."""

from __future__ import annotations

from textual.message import Message


class Typed(Message):
    """The user typed `text` to the agent and pressed Enter."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class SessionReady(Message):
    """The session is open."""


class SessionFailed(Message):
    """The session could not be opened, or broke: `reason` and what to do, and the exit code that it means."""

    def __init__(self, reason: str, hint: str, exit_code: int) -> None:
        super().__init__()
        self.reason = reason
        self.hint = hint
        self.exit_code = exit_code


class SessionClosed(Message):
    """The session has been left."""
