"""Everything that a screen shows of a session, as one fold over its trace."""

from __future__ import annotations

from dataclasses import replace

from workbench.model.events import Entry, TurnEnded
from workbench.readers.folds.conversation import KEPT, ConversationFold, ConversationLine
from workbench.readers.folds.levels import AudioLevels, LevelsFold
from workbench.readers.folds.log import log_line
from workbench.readers.folds.status import Activity, SessionStatus, StatusFold, activity
from workbench.readers.folds.tools import KEPT as KEPT_CALLS
from workbench.readers.folds.tools import ToolActivity, ToolsFold
from workbench.readers.latency import LatencyHistory, LatencySummary
from workbench.readers.timeline import Turn
from workbench.views.trace import OpenTrace
from workbench.views.waterfall import WaterfallLayout, lay_out


class ScreenFold:
    """Feed it a trace's entries in order; its parts are read after each batch. Turns are the trace's own."""

    def __init__(self, trace: OpenTrace | None = None, *, keep_all: bool = False) -> None:
        self.trace = OpenTrace(lambda: 0.0) if trace is None else trace
        self._read = 0
        self._conversation = ConversationFold(None if keep_all else KEPT)
        self._tools = ToolsFold(None if keep_all else KEPT_CALLS)
        self._levels = LevelsFold()
        self._status = StatusFold()
        self._summary = LatencySummary()
        self._last: Turn | None = None
        self.history = LatencyHistory()
        """Latency over the turns."""
        self.t_ms = 0.0
        """Time of the newest entry, ms."""

    def read(self) -> list[str] | None:
        """Take in what was emitted since the last look; returns lines for the event log, None if it was nothing."""
        lines: list[str] | None = None
        while entries := self.trace.since(self._read):
            self._read = entries[-1].i + 1
            lines = [*(lines or []), *filter(None, map(self.feed, entries))]
        return lines

    def feed(self, entry: Entry) -> str | None:
        """Take an entry in; returns its line for the event log, None where it has none."""
        self.t_ms = entry.t_ms
        self.trace.fold(entry)
        self._conversation.feed(entry)
        for call in self._tools.feed(entry):
            self._conversation.show_call(call)
        self._levels.feed(entry)
        self._status.feed(entry)
        if isinstance(entry.event, TurnEnded):
            self._end_turn(self.trace.turn(entry.event.turn))
        return log_line(entry)

    def _end_turn(self, turn: Turn) -> None:
        self._summary.add(turn)
        self.history = self.history.add(turn, self._summary)
        self._conversation.show_latency(turn)
        if turn.lanes_ms:
            self._last = turn

    @property
    def waterfall(self) -> WaterfallLayout:
        """The waterfall of the running turn from its first sound on, else of the last turn that has one."""
        turn = self.trace.running or self._last
        return WaterfallLayout() if turn is None else lay_out(turn, self.tools.of(turn.turn))

    @property
    def tools(self) -> ToolActivity:
        """Calls of tools, and what may be called."""
        return self._tools.now

    @property
    def lines(self) -> tuple[ConversationLine, ...]:
        """The conversation."""
        return self._conversation.lines

    @property
    def status(self) -> SessionStatus:
        """What the session runs on."""
        return self._status.now

    @property
    def activity(self) -> Activity:
        """What it is doing."""
        return activity(self.status, self.trace.live)

    @property
    def levels(self) -> AudioLevels:
        """Levels, and who speaks."""
        live = self.trace.live
        if self.status.ended:
            return self._levels.now
        agent = live.agent if live.agent in ("speaking", "paused") else "silent"
        return replace(self._levels.now, user=live.user, agent=agent)
