"""The event log: what the trace says, one line an event."""

from __future__ import annotations

from textual.widgets import Log

KEPT_LINES = 2_000


class EventLog(Log):
    """Plain lines; the newest at the end."""

    can_focus = False

    def __init__(self) -> None:
        super().__init__(max_lines=KEPT_LINES, auto_scroll=True)
