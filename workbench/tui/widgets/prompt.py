"""Typing instead of talking."""

from __future__ import annotations

from textual import on
from textual.reactive import reactive
from textual.widgets import Input

from workbench.tui.messages import Typed

INVITATION = "Speak, or type here and press Enter"
FAREWELL = "The session has ended: read on with PgUp, leave with Ctrl+Q"


class Prompt(Input):
    """One line of text; Enter posts `Typed`. Once the session has `ended` it takes no more."""

    ended: reactive[bool] = reactive(False, init=False)

    def __init__(self) -> None:
        super().__init__(placeholder=INVITATION, compact=True, select_on_focus=False)

    def watch_ended(self, ended: bool) -> None:
        """Say what can be done in place of typing."""
        self.placeholder = FAREWELL if ended else INVITATION
        self.disabled = ended

    @on(Input.Submitted)
    def _say(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        if text:
            self.clear()
            self.post_message(Typed(text))
