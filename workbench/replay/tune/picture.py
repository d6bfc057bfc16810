"""The front by matplotlib: false cutoffs over latency."""

from __future__ import annotations

from workbench.replay.tune.figures import CUTOFF_BUDGETS, LATENCY_BUDGETS_MS, TunePoint
from workbench.replay.tune.tuning import TuneResult
from workbench.views.figures import AGENT, FAILED, INK, LINE, QUIET, Drawing, styled

SIZE_IN = (7.5, 4.2)
REACH = 1.15
"""It reaches so many times as far as the front and the settings in use."""


def draw_front(result: TuneResult, chosen: TunePoint) -> Drawing:
    """Draw all that was tried, the front, the settings in use, the chosen ones, and eot-bench's budgets."""
    figure = Drawing(figsize=SIZE_IN, layout="constrained")
    axes = styled(figure.subplots())
    axes.plot(*_places(result.points), ".", color=LINE, ms=3, alpha=0.5, label="tried")
    axes.plot(*_places(result.front), "o-", color=AGENT, ms=5, drawstyle="steps-post", label="the front")
    axes.plot(*_places([result.in_use]), "D", color=FAILED, ms=8, label="in use")
    if chosen is not result.in_use:
        axes.plot(
            *_places([chosen]),
            "o",
            color="none",
            markeredgecolor=INK,
            markeredgewidth=2,
            ms=12,
            label="chosen",
        )
    shown = [*result.front, result.in_use, chosen]
    axes.set_xlim(0, max(point.latency_ms for point in shown) * REACH)
    axes.set_ylim(0, max(5.0, *(point.cutoff_rate * 100 for point in shown)) * REACH)
    for budget in LATENCY_BUDGETS_MS:
        axes.axvline(budget, color=QUIET, lw=0.7, ls=":")
    for share in CUTOFF_BUDGETS:
        axes.axhline(share * 100, color=QUIET, lw=0.7, ls=":")
    axes.set_xlabel("mean latency: from the end of a turn to when the reply may be heard, ms")
    axes.set_ylabel("false cutoffs, % of the pauses")
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    return figure


def _places(points: list[TunePoint] | tuple[TunePoint, ...]) -> tuple[list[float], list[float]]:
    return [point.latency_ms for point in points], [point.cutoff_rate * 100 for point in points]
