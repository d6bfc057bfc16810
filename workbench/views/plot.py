"""`trace.plot`: the figures of a trace, as they are now or drawn again while the conversation goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, overload

from workbench.views.figures import Drawing, draw_all_bars, draw_latencies, draw_one, draw_timeline
from workbench.views.live_output import LiveOutput

if TYPE_CHECKING:
    from workbench.views.trace import OpenTrace


class Plot:
    """What can be drawn of a trace. Each call draws what is there now; with `live=True` the output in the notebook is
    drawn again whenever a turn has ended, until the session has.
    """

    def __init__(self, trace: OpenTrace) -> None:
        self._trace = trace

    @overload
    def latency(self, *, live: Literal[False] = False) -> Drawing: ...
    @overload
    def latency(self, *, live: Literal[True]) -> LiveOutput: ...
    def latency(self, *, live: bool = False) -> Drawing | LiveOutput:
        """Draw heard latency over the turns, with p50 and p95 of those that compare."""
        return self._output(lambda: draw_latencies(self._trace.turns), live)

    @overload
    def waterfall(self, turn: int | None = None, *, live: Literal[False] = False) -> Drawing: ...
    @overload
    def waterfall(self, turn: int | None = None, *, live: Literal[True]) -> LiveOutput: ...
    def waterfall(self, turn: int | None = None, *, live: bool = False) -> Drawing | LiveOutput:
        """Draw the lanes of one turn, or a bar for each of the last. Raises UsageError for a turn that is not there."""
        if turn is None:
            return self._output(lambda: draw_all_bars(self._trace.turns), live)
        one_turn = self._trace.turn(turn)
        return self._output(lambda: draw_one(one_turn), live)

    @overload
    def timeline(self, turn: int | None = None, *, live: Literal[False] = False) -> Drawing: ...
    @overload
    def timeline(self, turn: int | None = None, *, live: Literal[True]) -> LiveOutput: ...
    def timeline(self, turn: int | None = None, *, live: bool = False) -> Drawing | LiveOutput:
        """Draw the waveforms of both sides with each turn's waterfall between them; of one turn, or of everything.

        A long session has rows like a page of music. Raises UsageError for a turn that is not there.
        """
        if turn is not None:
            self._trace.moment(turn)
        return self._output(lambda: draw_timeline(self._trace, turn), live)

    def _output(self, draw: Callable[[], Drawing], live: bool) -> Drawing | LiveOutput:
        return LiveOutput(self._trace, lambda: draw().bundle()) if live else draw()
