"""All folds of the screen together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from workbench.model.events import Entry
from workbench.readers.folds.conversation import KEPT, ConversationFold, Line
from workbench.readers.folds.gauges import Gauges, GaugesFold
from workbench.readers.folds.log import log_line
from workbench.readers.folds.status import Activity, Status, StatusFold, activity
from workbench.readers.folds.tools import KEPT as KEPT_CALLS
from workbench.readers.folds.tools import Tools, ToolsFold
from workbench.readers.folds.turns import Falls, History, HistoryFold, falls
from workbench.readers.timeline import Timeline, Turn


class ScreenFold:
    """Feed it entries in order; the parts are read after each batch. `on_turn` gets each turn that has ended."""

    def __init__(self, on_turn: Callable[[Turn], None] | None = None, *, keep_all: bool = False) -> None:
        self._on_turn = on_turn
        self._conversation = ConversationFold(None if keep_all else KEPT)
        self._tools = ToolsFold(None if keep_all else KEPT_CALLS)
        self._gauges = GaugesFold()
        self._status = StatusFold()
        self._history = HistoryFold()
        self._timeline = Timeline(self._ended)
        self._last: Turn | None = None
        self.t_ms = 0.0
        """Time of the newest entry, ms."""

    def feed(self, entries: Iterable[Entry]) -> list[str]:
        """Take entries in; returns their lines for the event log."""
        logged: list[str] = []
        for entry in entries:
            self.t_ms = entry.t_ms
            self._conversation.feed(entry)
            for call in self._tools.feed(entry):
                self._conversation.called(call)
            self._gauges.feed(entry)
            self._status.feed(entry)
            self._timeline(entry)
            line = log_line(entry)
            if line is not None:
                logged.append(line)
        return logged

    def _ended(self, turn: Turn) -> None:
        self._history.add(turn)
        self._conversation.timed(turn)
        if turn.lanes_ms:
            self._last = turn
        if self._on_turn is not None:
            self._on_turn(turn)

    @property
    def last(self) -> Falls:
        """The waterfall of the last turn that has one."""
        return Falls() if self._last is None else falls(self._last, self.tools.of(self._last.turn))

    @property
    def tools(self) -> Tools:
        """Calls of tools, and what may be called."""
        return self._tools.now

    @property
    def lines(self) -> tuple[Line, ...]:
        """The conversation."""
        return self._conversation.lines

    @property
    def status(self) -> Status:
        """What the session runs on."""
        return self._status.now

    @property
    def activity(self) -> Activity:
        """What it is doing."""
        return activity(self.status, self._timeline.live)

    @property
    def gauges(self) -> Gauges:
        """Levels and voices."""
        live = self._timeline.live
        agent = live.agent if live.agent in ("speaking", "paused") else "silent"
        return replace(self._gauges.now, user=live.user, agent=agent)

    @property
    def history(self) -> History:
        """Latency over the turns."""
        return self._history.now
