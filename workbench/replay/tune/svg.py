"""The front as a drawing in a page: false cutoffs over latency, each point with its settings as a title."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from workbench.replay.tune.figures import CUTOFF_BUDGETS, LATENCY_BUDGETS_MS, TunePoint
from workbench.replay.tune.summary import settings_text, share
from workbench.replay.tune.tuning import TuneResult
from workbench.views.format import ms

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 66, WIDTH - 8, 12, HEIGHT - 44
REACH = 1.12
"""It reaches so many times as far as the front and the settings in use."""
TRIED = 2_000
"""Points that are drawn besides the front."""
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
KEY = (("front", "the front"), ("used", "in use"), ("chosen", "chosen"), ("tried", "tried"))


@dataclass(frozen=True, slots=True)
class Scale:
    """Where figures are in the drawing; its upper right corner stands for `most_ms` and `most_rate`."""

    most_ms: float
    most_rate: float

    def x(self, latency_ms: float) -> float:
        """Return the column of a latency."""
        return round(LEFT + latency_ms / self.most_ms * (RIGHT - LEFT), 1)

    def y(self, rate: float) -> float:
        """Return the row of a rate of cutoffs."""
        return round(BOTTOM - rate / self.most_rate * (BOTTOM - TOP), 1)

    def dot(self, point: TunePoint, kind: str, radius: float) -> str:
        """Return a point with its settings as title."""
        place = f'cx="{self.x(point.latency_ms)}" cy="{self.y(point.cutoff_rate)}" r="{radius:g}"'
        return f'<circle class="{kind}" {place}><title>{self._title(point)}</title></circle>'

    def diamond(self, point: TunePoint, kind: str, size: float) -> str:
        """Return a point of another shape."""
        x, y = self.x(point.latency_ms), self.y(point.cutoff_rate)
        corners = f"{x},{y - size} {x + size},{y} {x},{y + size} {x - size},{y}"
        return f'<polygon class="{kind}" points="{corners}"><title>{self._title(point)}</title></polygon>'

    def _title(self, point: TunePoint) -> str:
        return escape(f"{ms(point.latency_ms)}, {share(point)}: {settings_text(point.settings)}")

    def steps(self, points: Sequence[TunePoint]) -> str:
        """Return the line of a front: what is had between two of its points is the first of them."""
        corners = [f"{self.x(points[0].latency_ms)},{self.y(points[0].cutoff_rate)}"] if points else []
        for before, after in pairwise(points):
            x = self.x(after.latency_ms)
            corners += [f"{x},{self.y(before.cutoff_rate)}", f"{x},{self.y(after.cutoff_rate)}"]
        return f'<polyline class="line" points="{" ".join(corners)}"/>'

    def axes(self) -> Iterator[str]:
        """Yield the axes, their figures, and eot-bench's budgets."""
        yield f'<path class="axis" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none"/>'
        for budget in LATENCY_BUDGETS_MS:
            if budget < self.most_ms:
                yield f'<path class="budget" d="M{self.x(budget)} {TOP}V{BOTTOM}"/>'
        for share_ in CUTOFF_BUDGETS:
            if share_ < self.most_rate:
                yield f'<path class="budget" d="M{LEFT} {self.y(share_)}H{RIGHT}"/>'
        for value in ticks(self.most_ms):
            yield label(self.x(value), BOTTOM + 17, f"{value:g}", "middle")
        for value in ticks(self.most_rate * 100):
            yield label(LEFT - 6, self.y(value / 100) + 4, f"{value:g} %", "end")
        yield label((LEFT + RIGHT) / 2, HEIGHT - 6, "mean latency, ms", "middle")


def front_svg(result: TuneResult, chosen: TunePoint) -> str:
    """Return the drawing: all that was tried, the front, the settings in use and the chosen ones."""
    shown = [*result.front, result.in_use, chosen]
    scale = Scale(
        max(point.latency_ms for point in shown) * REACH + 1,
        max(*(point.cutoff_rate for point in shown), 0.05) * REACH,
    )
    near = [p for p in result.points if p.latency_ms <= scale.most_ms and p.cutoff_rate <= scale.most_rate]
    parts = [
        *scale.axes(),
        *(scale.dot(point, "tried", 2) for point in near[:TRIED]),
        scale.steps(result.front),
        *(scale.dot(point, "front", 4.5) for point in result.front),
        scale.diamond(result.in_use, "used", 7),
        "" if chosen is result.in_use else scale.dot(chosen, "chosen", 9),
        *_key(),
    ]
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="false cutoffs over mean latency">'
    return f"{head}{''.join(parts)}</svg>"


def _key() -> Iterator[str]:
    for number, (kind, text) in enumerate(KEY):
        x, y = RIGHT - 112, TOP + 10 + number * 22
        sign = f'<circle class="{kind}" cx="{x}" cy="{y}" r="5"/>'
        if kind == "used":
            sign = f'<polygon class="used" points="{x},{y - 7} {x + 7},{y} {x},{y + 7} {x - 7},{y}"/>'
        yield f"{sign}{label(x + 12, y + 4, text, 'start')}"


def label(x: float, y: float, text: str, anchor: str) -> str:
    """Return a text in the drawing; it is ours."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>'


def ticks(most: float) -> list[float]:
    """Return at most eight round values from 0 to `most`."""
    step = next((step for step in STEPS if most / step <= 7), STEPS[-1])
    return [float(number * step) for number in range(int(most / step) + 1)]
