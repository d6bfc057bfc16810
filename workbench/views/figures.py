"""Figures of a trace by matplotlib: made without pyplot, so nothing is kept that nobody holds, and any thread may draw.

Their ground is transparent and their tones lie between light and dark, so that one picture is readable on any page.
What users and agents said is not drawn: a figure's font has few of the world's letters, and matplotlib takes `$` for a
formula.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from workbench.model.text import plain
from workbench.readers.latency import LatencySummary, kind_of
from workbench.readers.timeline import Turn
from workbench.readers.waveform import peaks
from workbench.views.comparison import Comparison
from workbench.views.format import marks, ms, part_label
from workbench.views.html import picture
from workbench.views.palette import PALETTE, part_colour
from workbench.views.waterfall import ORDER, WaterfallLayout, critical_path_bars, lay_out

if TYPE_CHECKING:
    from workbench.model.events import TrackName
    from workbench.views.trace import OpenTrace

WIDTH_IN, ROW_IN = 9.5, 1.15
ROW_S = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""How much time a row of a timeline may stand for, s: the least that needs no more than `ROWS`."""
ROWS = 8
COLUMNS = 1200
"""Columns of a row's waveform."""
DPI = 110
BARS = 60
"""Bars of a waterfall at most: those of the last turns."""
LABELS = 20
"""Turns of a row that have a label at most."""
CROWD = 100
"""Turns beside which a point becomes a dot."""
INK, QUIET, LINE, USER, AGENT, FAILED = (
    PALETTE[name].middle for name in ("ink", "quiet", "lane", "user", "agent", "error")
)
NO_LATENCY = "no answer was heard yet"


class Drawing(Figure):
    """A figure that shows itself in a notebook, also where nobody has chosen a backend."""

    def bundle(self) -> dict[str, object]:
        """Return what a notebook shows, by MIME type."""
        png = self.png()
        image = b64encode(png).decode()
        return {"text/html": picture(png, "figure"), "image/png": image, "text/plain": repr(self)}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        return self.bundle()

    def png(self) -> bytes:
        """Return it as a picture."""
        file = BytesIO()
        self.savefig(file, format="png", dpi=DPI, transparent=True)
        return file.getvalue()


def rows(start_ms: float, end_ms: float) -> list[tuple[float, float]]:
    """Return the stretches of a timeline's rows, ms; where there are several, all of the same whole seconds."""
    length_s = (end_ms - start_ms) / 1000
    longest_s = next((row_s for row_s in ROW_S if length_s <= row_s * ROWS), length_s / ROWS)
    count = math.ceil(length_s / longest_s)
    row_ms = length_s * 1000 if count == 1 else math.ceil(length_s / count) * 1000
    return [(start_ms + at * row_ms, start_ms + (at + 1) * row_ms) for at in range(count)]


# --- one figure each -------------------------------------------------------------------------------------------------


def draw_latencies(turns: Sequence[Turn]) -> Drawing:
    """Draw heard latency over the turns."""
    figure = _drawing(2.6)
    draw_latency(_axes(figure), [("", AGENT, turns)])
    return figure


def draw_all_bars(turns: Sequence[Turn]) -> Drawing:
    """Draw a bar for each of the last `BARS` turns that have a latency."""
    last = [turn for turn in turns if turn.heard_latency_ms is not None][-BARS:]
    figure = _drawing(1.1 + 0.26 * max(2, len(last)))
    draw_bars(_axes(figure), [f"turn {turn.turn}" for turn in last], [turn.parts_ms for turn in last])
    return figure


def draw_one(turn: Turn) -> Drawing:
    """Draw the lanes of one turn."""
    layout = lay_out(turn)
    figure = _drawing(0.9 + 0.27 * max(1, len(layout.bars)))
    draw_lanes(_axes(figure), layout)
    return figure


def draw_summary(turns: Sequence[Turn]) -> Drawing:
    """Draw heard latency over the turns, and beside it the lanes of the last one that has any."""
    figure = Drawing(figsize=(WIDTH_IN, 2.8), layout="constrained")
    last = next((layout for turn in reversed(turns) if (layout := lay_out(turn)).bars), None)
    latency = last is None or any(turn.heard_latency_ms is not None for turn in turns)
    panels = iter(figure.subplots(1, latency + (last is not None), squeeze=False)[0])
    if latency:
        draw_latency(styled(next(panels)), [("", AGENT, turns)])
    if last is not None:
        draw_lanes(styled(next(panels)), last, least=6)
    return figure


def draw_timeline(trace: OpenTrace, turn: int | None = None) -> Drawing:
    """Draw both sides over time, of one turn or of everything."""
    start_ms, end_ms = 0.0, max(1000.0, trace.end_ms)
    if turn is not None:
        moment = trace.moment(turn)
        start_ms, end_ms = moment.start_ms, moment.end_ms
    spans = rows(start_ms, end_ms)
    figure = Drawing(figsize=(WIDTH_IN, 0.75 + ROW_IN * len(spans)), layout="constrained")
    scale = {track: _loudest(trace, track, start_ms, end_ms) for track in ("user", "agent")}
    for number, (first, last) in enumerate(spans):
        axes = figure.add_subplot(len(spans), 1, number + 1)
        _draw_row(axes, trace, first, last, scale)
    legend = _patches([turn.parts_ms for turn in trace.turns])
    figure.legend(
        handles=legend, frameon=False, fontsize=7.5, ncols=9, loc="outside lower left", labelcolor=INK
    )
    return figure


def draw_comparison(comparison: Comparison, names: tuple[str, str]) -> Drawing:
    """Draw heard latency of both over their turns, and beside it where the time went."""
    figure = Drawing(figsize=(WIDTH_IN, 2.7), layout="constrained")
    left, right = map(styled, figure.subplots(1, 2))
    labels = [plain_name(name) for name in names]
    draw_latency(left, list(zip(labels, (USER, AGENT), comparison.all, strict=True)))
    medians = [comparison.medians(turns) for turns in (comparison.a, comparison.b)]
    draw_bars(right, labels, medians, columns=2)  # beside long names there is no room for three
    right.set_xlabel("median of each part, ms")
    return figure


def plain_name(name: str) -> str:
    """Return a name in letters that the font has, and that is no formula."""
    letters = "".join(letter for letter in plain(name, 24, one_line=True) if letter.isascii())
    return letters.replace("$", "") or "–"


# --- what they draw with ---------------------------------------------------------------------------------------------


def draw_latency(axes: Axes, sessions: Sequence[tuple[str, str, Sequence[Turn]]]) -> None:
    """Draw a point a turn, of sessions with name and colour; those that do not compare are hollow."""
    turns = [turn for _, _, own in sessions for turn in own if turn.heard_latency_ms is not None]
    if not turns:
        return _empty(axes, NO_LATENCY)
    for name, colour, own in sessions:
        for counts, fill in ((True, colour), (False, "none")):
            points = [turn for turn in own if (kind_of(turn) == "done") == counts]
            x, y = [turn.turn for turn in points], [turn.heard_latency_ms or math.nan for turn in points]
            axes.plot(x, y, "o", color=colour, markersize=6 if len(own) <= CROWD else 2, mfc=fill)
        summary = LatencySummary(own)
        for percent, style in ((50, "-"), (95, ":")):
            if (value := summary.percentile(percent)) is not None:
                text = f"{name} p{percent} {ms(value)}".strip()
                axes.axhline(value, color=colour, linestyle=style, linewidth=1, label=text)
    numbers, values = [turn.turn for turn in turns], [turn.heard_latency_ms or 0.0 for turn in turns]
    axes.set_xlim(min(numbers) - 0.5, max(*numbers, min(numbers) + 4) + 0.5)
    axes.set_ylim(min(0.0, *values), 1.15 * max(100.0, *values))
    axes.set_xlabel("turn")
    axes.set_ylabel("heard after, ms")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    apart = sorted({kind_of(turn) for turn in turns} - {"done"})
    hollow = Line2D(
        [],
        [],
        marker="o",
        linestyle="",
        color=QUIET,
        mfc="none",
        label=f"{', '.join(apart)}: not in p50 and p95",
    )
    handles = axes.get_legend_handles_labels()[0]
    _above(axes, [*handles, *([hollow] if apart else [])], 3)


def draw_bars(
    axes: Axes, names: Sequence[str], parts: Sequence[dict[str, float]], *, columns: int = 3
) -> None:
    """Draw a bar each: the parts on the critical path one after the other, their sum at its end; the key in columns."""
    if not any(parts):
        return _empty(axes, NO_LATENCY)
    for row, parts_ms in enumerate(parts):
        for part, start_ms, length_ms in critical_path_bars(parts_ms):
            axes.barh(row, length_ms, left=start_ms, height=0.7, **_fill(part))
        total = sum(parts_ms.values())
        axes.text(total, row, f" {ms(total)}", va="center", fontsize=8, color=INK)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("ms from the end of the user's speech to the first sound heard")
    _above(axes, _patches(parts), columns)


def draw_lanes(axes: Axes, layout: WaterfallLayout, *, least: int = 1) -> None:
    """Draw a lane a part: pale where it ran hidden beside another one, full where it was waited for. There is room for
    `least` lanes, so that a single one is no wall.
    """
    if not layout.bars:
        return _empty(axes, "nothing was measured in this turn")
    for row, bar in enumerate(layout.bars):
        fill = _fill(bar.part)
        if bar.part != "unexplained":
            axes.barh(row, bar.lane[1] - bar.lane[0], left=bar.lane[0], height=0.66, alpha=0.28, **fill)
        if bar.counts:
            axes.barh(row, bar.solid[1] - bar.solid[0], left=bar.solid[0], height=0.66, **fill)
        text = f"({ms(bar.figure_ms)} hidden)" if bar.hidden else ms(bar.figure_ms)
        axes.text(bar.lane[1], row, f" {text}", va="center", fontsize=8, color=QUIET if bar.hidden else INK)
    total = layout.total_ms
    if total is not None:
        axes.axvline(total, color=INK, linewidth=1)
    end = "typed, or nothing was heard" if total is None else f"heard after {ms(total)}"
    axes.set_title(f"{layout.title}: {end}", fontsize=10, loc="left", color=INK)
    axes.axvline(0, color=USER, linewidth=1)
    axes.set_yticks(range(len(layout.bars)), [bar.label for bar in layout.bars])
    axes.set_ylim(max(len(layout.bars), least) - 0.5, -0.5)
    axes.margins(x=0.14)
    axes.set_xlabel(f"ms from {'when it was typed' if total is None else 'the end of the user’s speech'}")


def styled(axes: Axes) -> Axes:
    """Return the axes with quiet lines and no ground of their own."""
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(colors=QUIET, labelsize=8)
    for text in (axes.xaxis.label, axes.yaxis.label):
        text.set(color=QUIET, fontsize=8)
    return axes


def _drawing(height_in: float) -> Drawing:
    return Drawing(figsize=(WIDTH_IN * 0.8, height_in), layout="constrained")


def _axes(figure: Drawing) -> Axes:
    return styled(figure.add_subplot())


def _empty(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color=QUIET)
    axes.set_axis_off()


def _fill(part: str) -> dict[str, Any]:
    return {"color": part_colour(part).middle, "hatch": "////" if part == "unexplained" else None}


def _patches(all_parts: Sequence[dict[str, float]]) -> list[Patch]:
    """Return the key: a patch for each part that is drawn for any of these turns."""
    used = {part for parts_ms in all_parts for part, _, _ in critical_path_bars(parts_ms)}
    return [Patch(label=part_label(part), **_fill(part)) for part in ORDER if part in used]


def _above(axes: Axes, handles: Sequence[Artist], columns: int) -> None:
    axes.legend(
        handles=handles, frameon=False, fontsize=8, ncols=columns, loc="lower left", bbox_to_anchor=(0, 1.0),
        labelcolor=INK,
    )  # fmt: skip


# --- a row of a timeline ---------------------------------------------------------------------------------------------


def _draw_row(axes: Axes, trace: OpenTrace, first_ms: float, last_ms: float, scale: dict[str, float]) -> None:
    """Draw the user above, the agent below, and between them what the user waited for."""
    heights: dict[TrackName, tuple[float, str]] = {"user": (1.0, USER), "agent": (-1.0, AGENT)}
    upto_ms = min(last_ms, max(first_ms + 1.0, trace.end_ms))
    columns = max(2, round(COLUMNS * (upto_ms - first_ms) / (last_ms - first_ms)))
    seconds = np.linspace(first_ms, upto_ms, columns) / 1000
    for track, (middle, colour) in heights.items():
        axes.plot([first_ms / 1000, upto_ms / 1000], [middle, middle], color=LINE, linewidth=0.6)
        if track in trace.tracks:
            loudness = peaks(trace, trace.moments, track, first_ms, upto_ms, columns) / scale[track]
            wave = 0.62 * np.sqrt(loudness)
            axes.fill_between(seconds, middle - wave, middle + wave, color=colour, linewidth=0)
    _draw_turns(axes, trace, first_ms, last_ms)
    styled(axes)
    axes.set_xlim(first_ms / 1000, last_ms / 1000)
    axes.set_ylim(-2.0, 2.6)
    axes.set_yticks([1.0, -1.0], ["you", "agent"])
    axes.tick_params(left=False)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} s")


def _draw_turns(axes: Axes, trace: OpenTrace, first_ms: float, last_ms: float) -> None:
    """Draw each turn's waterfall at its place, with its number and what was waited, where there is room for words.

    All of a kind are one artist: thousands of turns are drawn in a second.
    """
    places = [(turn, trace.moments.of(turn.turn)) for turn in trace.turns]
    here = [(turn, at.zero_ms) for turn, at in places if at is not None and first_ms <= at.zero_ms < last_ms]
    free_ms = first_ms
    for turn, zero_ms in here:
        if zero_ms >= free_ms:
            free_ms = zero_ms + (last_ms - first_ms) / LABELS
            _label_turn(axes, turn, zero_ms / 1000)
    axes.vlines([zero_ms / 1000 for _, zero_ms in here], -0.22, 1.85, color=QUIET, linewidth=0.7)
    waited = [(zero_ms / 1000, (turn.heard_latency_ms or 0.0) / 1000) for turn, zero_ms in here]
    axes.broken_barh(waited, (-1.7, 3.5), color=LINE, alpha=0.25, linewidth=0)
    bars: dict[str, list[tuple[float, float]]] = {}
    for turn, zero_ms in here:
        for part, start_ms, length_ms in critical_path_bars(turn.parts_ms):
            bars.setdefault(part, []).append(((zero_ms + start_ms) / 1000, length_ms / 1000))
    for part, places_s in bars.items():
        axes.broken_barh(places_s, (-0.22, 0.44), color=part_colour(part).middle, linewidth=0)


def _label_turn(axes: Axes, turn: Turn, zero_s: float) -> None:
    total = turn.heard_latency_ms
    text = f"{turn.turn}" if total is None else f"{turn.turn} · {ms(total)}"
    axes.text(zero_s, 1.85, text, fontsize=7.5, va="bottom", color=INK)
    if turn.status != "done":
        colour = FAILED if turn.status == "failed" else QUIET
        axes.text(zero_s, -1.9, marks(turn), fontsize=7.5, va="bottom", color=colour)


def _loudest(trace: OpenTrace, track: TrackName, start_ms: float, end_ms: float) -> float:
    """Return what a waveform is drawn in relation to; the loudest 2 % may reach beyond."""
    loudness = peaks(trace, trace.moments, track, start_ms, end_ms, COLUMNS)
    return max(0.02, float(np.quantile(loudness, 0.98))) if len(loudness) else 1.0
