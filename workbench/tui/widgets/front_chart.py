"""The front of `workbench tune`: false cutoffs over latency, as characters."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from workbench.replay.tune.chart import Mark, chart, legend
from workbench.replay.tune.figures import TunePoint
from workbench.replay.tune.tuning import TuneResult

STYLES: dict[Mark, str] = {
    "": "",
    "axis": "$quiet",
    "tried": "$lane",
    "front": "$agent",
    "used": "bold $error",
    "chosen": "bold $accent",
}
LEAST = 6
"""Rows below which there is no legend."""


@dataclass(frozen=True, slots=True)
class FrontState:
    """What was scored, and which point is looked at."""

    result: TuneResult
    chosen: TunePoint


class FrontChart(Widget):
    """The chart as large as its place."""

    state: reactive[FrontState | None] = reactive(None)

    def render(self) -> Content:
        """Draw it."""
        if self.state is None:
            return Content("")
        result, chosen = self.state.result, self.state.chosen
        width, height = self.content_size
        keyed = height >= LEAST
        rows = [
            Content.assemble(*((cell.text, STYLES[cell.mark]) for cell in row))
            for row in chart(result, chosen, width, height - keyed)
        ]
        if keyed:
            rows.append(Content.styled(f"{'':8}{legend(result, chosen)}", "$quiet"))
        return Content("\n").join(rows)
