"""Typing instead of talking."""

from __future__ import annotations

from textual import on
from textual.widgets import Input

from workbench.tui.messages import Typed


class Prompt(Input):
    """One line of text; Enter posts `Typed`."""

    def __init__(self) -> None:
        super().__init__(
            placeholder="Speak, or type here and press Enter", compact=True, select_on_focus=False
        )

    @on(Input.Submitted)
    def _say(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        if text:
            self.clear()
            self.post_message(Typed(text))
