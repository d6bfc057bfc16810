"""The header: the activity of the session, and what the user can do."""

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

    state: reactive[HeaderState] = reactive(HeaderState())

    def render(self) -> Content:
        """Draw one line; what to do goes before agent and time where there is no room for both."""
        activity, width = self.state.activity, self.content_size.width
        sign, word, advice = headline(self.state)
        start = Content.styled(f"{sign} {word}", f"bold $activity-{activity}")
        end = Content.styled(agent_and_time(self.state), "$quiet")
        advised = start + Content.styled(f"  {advice}", "$quiet")
        if advised.cell_length + end.cell_length + 2 <= width:
            start = advised
        elif advised.cell_length <= width:
            start, end = advised, Content("")
        gap = max(1, width - start.cell_length - end.cell_length)
        return start + Content(" " * gap) + end


def headline(state: HeaderState) -> tuple[str, str, str]:
    """Return sign, word and advice. A room that is not there comes first: nobody hears what is said meanwhile."""
    status, room = state.status, state.status.room
    sign, word, advice = ACTIVITIES[state.activity]
    if state.activity == "ended":
        return sign, word, " · ".join(filter(None, (plain(status.ended, 60, one_line=True), advice)))
    if room is not None and room.waiting:
        waits = "nobody hears you; the answer waits" if room.state == "reconnecting" else "one moment"
        return "◌", room.word.capitalize(), f"room {plain(room.name, 40, one_line=True)}: {waits}"
    return sign, word, status.by_text or advice


def agent_and_time(state: HeaderState) -> str:
    """Return `my_agent · embedded  1:05`."""
    seconds = int(state.t_ms / 1000)
    names = [plain(name, one_line=True) for name in (state.status.agent, state.status.profile) if name]
    return f"{' · '.join(names)}  {seconds // 60}:{seconds % 60:02d}".strip()
