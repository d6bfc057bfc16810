"""What a session has used and cost so far."""

from __future__ import annotations

from workbench.model.conversation import NO_USAGE, Usage
from workbench.model.events import Spent
from workbench.trace.trace import Trace


class Spending:
    """Adds up the usage of turns and of what answers nothing; the sum is in the trace after each."""

    def __init__(self, trace: Trace) -> None:
        self.total = NO_USAGE
        self._trace = trace

    def add(self, usage: Usage, *, notable: bool) -> None:
        """Count a usage; one that is not `notable` and costs nothing waits for the next event."""
        self.total += usage
        if notable or usage.cost or usage.unpriced:
            self._trace.emit(Spent(self.total.to_json()))
