"""A line to search in a recording."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class SearchLine(Input):
    """There while it is typed into. Enter posts `Wanted`; both Enter and Esc put it away."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "put_away", "Leave", show=False)]

    class Wanted(Message):
        """Look for `text`."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        super().__init__(placeholder="Search what was said, tools, events; Enter", compact=True, id="search")
        self.can_focus = False

    def open(self) -> None:
        """Take what is typed."""
        self.screen.add_class("-searching")
        self.can_focus = True
        self.clear()
        self.focus()

    def action_put_away(self) -> None:
        """Be gone."""
        self.screen.remove_class("-searching")
        self.screen.set_focus(None)
        self.can_focus = False

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_put_away()
        if text := event.value.strip():
            self.post_message(self.Wanted(text))
