"""The first line: what is going on, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from workbench.model.text import plain
from workbench.readers.folds.status import NOT_YET, Activity, SessionStatus

ACTIVITIES: dict[Activity, tuple[str, str, str]] = {
    "starting": ("◌", "Warming up", "one moment"),
    "listening": ("●", "Listening", "speak, or type and press Enter"),
    "hearing": ("◉", "Hearing you", "the turn ends when you fall silent"),
    "thinking": ("◌", "Thinking", "Esc stops the answer"),
    "speaking": ("▶", "Speaking", "speak, or press Esc, to interrupt"),
    "muted": ("⊘", "Muted", "Ctrl+O listens again; typing works"),
    "ended": ("■", "Ended", "Ctrl+Q leaves"),
    "recording": ("▤", "Recording", "← → turns, space plays"),
}
"""A sign, a word and what the user can do; the sign tells without colour."""


@dataclass(frozen=True, slots=True)
class HeaderState:
    """What the header shows: what is going on in which session, and how long it has run, ms."""

    activity: Activity = "starting"
    status: SessionStatus = NOT_YET
    t_ms: float = 0.0


class Header(Widget):
    """Activity on the left, agent and time on the right."""

    heading: reactive[HeaderState] = reactive(HeaderState())

    def render(self) -> Content:
        """One line."""
        activity, width = self.heading.activity, self.content_size.width
        sign, word, advice = self._said()
        left = Content.styled(f"{sign} {word}", f"bold $activity-{activity}")
        right = Content.styled(self._right(), "$quiet")
        advised = left + Content.styled(f"  {advice}", "$quiet")
        if advised.cell_length + right.cell_length + 2 <= width:
            left = advised
        elif advised.cell_length <= width:
            left, right = advised, Content("")
        gap = max(1, width - left.cell_length - right.cell_length)
        return left + Content(" " * gap) + right

    def _said(self) -> tuple[str, str, str]:
        """Sign, word, advice. A room that is not there comes first: nobody hears what is said meanwhile."""
        status, activity = self.heading.status, self.heading.activity
        sign, word, advice = ACTIVITIES[activity]
        room = status.room
        if activity == "ended" and status.ended:
            return sign, word, f"{plain(status.ended, 60, one_line=True)} · {advice}"
        if room is not None and activity != "ended" and room.waiting:
            waits = "nobody hears you; the answer waits" if room.state == "reconnecting" else "one moment"
            return "◌", room.word.capitalize(), f"room {plain(room.name, 40, one_line=True)}: {waits}"
        return sign, word, advice

    def _right(self) -> str:
        status, seconds = self.heading.status, int(self.heading.t_ms / 1000)
        about = " · ".join(plain(part, one_line=True) for part in (status.agent, status.profile) if part)
        return f"{about}  {seconds // 60}:{seconds % 60:02d}".strip()
