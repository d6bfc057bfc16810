"""Typing instead of talking."""

from __future__ import annotations

from textual import on
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Input

INVITATION = "Speak, or type here and press Enter"
FAREWELL = "The session has ended: read on with PgUp, leave with Ctrl+Q"


class Prompt(Input):
    """One line of text; Enter posts `Typed`. Once the session has `ended` it takes no more."""

    class Typed(Message):
        """The user typed `text` to the agent and pressed Enter."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    ended: reactive[bool] = reactive(False, init=False)

    def __init__(self) -> None:
        super().__init__(placeholder=INVITATION, compact=True, select_on_focus=False)

    def watch_ended(self, ended: bool) -> None:
        """Say what can be done in place of typing."""
        self.placeholder = FAREWELL if ended else INVITATION
        self.disabled = ended

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        if text:
            self.clear()
            self.post_message(self.Typed(text))
