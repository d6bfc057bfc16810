"""The front as a drawing in a page: false cutoffs over latency, each point with its settings as a title."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from workbench.replay.tune.figures import CUTOFF_BUDGETS, LATENCY_BUDGETS_MS, TunePoint
from workbench.replay.tune.summary import settings_text, share
from workbench.replay.tune.tuning import TuneResult
from workbench.views.format import ms

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 52, WIDTH - 8, 12, HEIGHT - 44
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
        text = escape(f"{ms(point.latency_ms)}, {share(point)}: {settings_text(point.settings)}")
        place = f'cx="{self.x(point.latency_ms)}" cy="{self.y(point.cutoff_rate)}" r="{radius:g}"'
        return f'<circle class="{kind}" {place}><title>{text}</title></circle>'

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
    line = " ".join(f"{scale.x(point.latency_ms)},{scale.y(point.cutoff_rate)}" for point in result.front)
    parts = [
        *scale.axes(),
        *(scale.dot(point, "tried", 2) for point in near[:TRIED]),
        f'<polyline class="line" points="{line}"/>',
        *(scale.dot(point, "front", 4.5) for point in result.front),
        scale.dot(result.in_use, "used", 5.5),
        "" if chosen is result.in_use else scale.dot(chosen, "chosen", 9),
        *_key(),
    ]
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="false cutoffs over mean latency">'
    return f"{head}{''.join(parts)}</svg>"


def _key() -> Iterator[str]:
    for number, (kind, text) in enumerate(KEY):
        y = TOP + 10 + number * 18
        yield f'<circle class="{kind}" cx="{RIGHT - 82}" cy="{y}" r="5"/>{label(RIGHT - 70, y + 4, text, "start")}'


def label(x: float, y: float, text: str, anchor: str) -> str:
    """Return a text in the drawing; it is ours."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>'


def ticks(most: float) -> list[float]:
    """Return at most eight round values from 0 to `most`."""
    step = next((step for step in STEPS if most / step <= 7), STEPS[-1])
    return [float(number * step) for number in range(int(most / step) + 1)]
