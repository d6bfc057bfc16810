"""What widgets tell their screen."""

from __future__ import annotations

from textual.message import Message


class Typed(Message):
    """The user typed `text` to the agent and pressed Enter."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class SessionClosed(Message):
    """The session has been left, or could not be opened."""
