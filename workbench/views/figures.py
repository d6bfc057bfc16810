"""Figures of a trace by matplotlib: made without pyplot, so nothing is kept that nobody holds, and any thread may draw.

What users and agents said is not drawn: a figure's font has few of the world's letters, and matplotlib takes `$` for a
formula.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from workbench.model.text import plain
from workbench.readers.compare import Comparison
from workbench.readers.latency import Latency, kind_of
from workbench.readers.sound import peaks
from workbench.readers.timeline import CHAIN, Turn
from workbench.views.html import ON_DARK, picture
from workbench.views.palette import AGENT, INK, LIGHT, LINE, PAPER, QUIET, USER, label

if TYPE_CHECKING:
    from workbench.model.events import TrackName
    from workbench.readers.opened import OpenTrace

WIDTH_IN, ROW_IN = 9.5, 1.15
ROW_S = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""How much time a row of a timeline may stand for, s: the least that needs no more than `ROWS`."""
ROWS = 8
COLUMNS = 1200
"""Columns of a row's waveform."""
LEAST_MS = 0.5
"""What is shorter is not drawn."""
DPI = 110
BARS = 60
"""Bars of a waterfall at most: those of the last turns."""
LABELS = 20
"""Turns of a row that are told by words at most."""
CROWD = 100
"""Turns beside which a point becomes a dot."""


class Drawing(Figure):
    """A figure that shows itself in a notebook, also where nobody has chosen a backend, on light and on dark ground."""

    def bundle(self) -> dict[str, object]:
        """What a notebook shows, by MIME type: the picture, and HTML that turns it dark where the page is."""
        png = self.png()
        html = f"{ON_DARK}{picture(png, 'figure')}"
        return {"text/html": html, "image/png": b64encode(png).decode(), "text/plain": repr(self)}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        return self.bundle()

    def png(self) -> bytes:
        """As a picture."""
        file = BytesIO()
        self.savefig(file, format="png", dpi=DPI, facecolor=PAPER)
        return file.getvalue()


def rows(start_ms: float, end_ms: float) -> list[tuple[float, float]]:
    """The stretches of a timeline's rows, ms; where there are several, all of the same length in whole seconds."""
    length_s = (end_ms - start_ms) / 1000
    longest_s = next((row_s for row_s in ROW_S if length_s <= row_s * ROWS), length_s / ROWS)
    count = math.ceil(length_s / longest_s)
    row_ms = length_s * 1000 if count == 1 else math.ceil(length_s / count) * 1000
    return [(start_ms + at * row_ms, start_ms + (at + 1) * row_ms) for at in range(count)]


# --- one figure each -------------------------------------------------------------------------------------------------


def draw_latencies(turns: Sequence[Turn]) -> Drawing:
    """Heard latency over the turns."""
    figure, axes = _drawing(2.6)
    draw_latency(axes, [("", AGENT, turns)])
    return figure


def draw_all_bars(turns: Sequence[Turn]) -> Drawing:
    """A bar for each of the last `BARS` turns that were heard."""
    heard = [turn for turn in turns if turn.heard_latency_ms is not None][-BARS:]
    figure, axes = _drawing(1.1 + 0.26 * max(2, len(heard)))
    draw_bars(axes, [f"turn {turn.turn}" for turn in heard], [turn.parts_ms for turn in heard])
    return figure


def draw_one(turn: Turn) -> Drawing:
    """The lanes of one turn."""
    figure, axes = _drawing(0.9 + 0.27 * (len(lanes_of(turn)) + 1))
    draw_lanes(axes, turn)
    return figure


def draw_summary(turns: Sequence[Turn]) -> Drawing:
    """Heard latency over the turns, and beside it the lanes of the last one that has any."""
    figure = Drawing(figsize=(WIDTH_IN, 2.8), facecolor=PAPER, layout="constrained")
    last = next((turn for turn in reversed(turns) if lanes_of(turn)), None)
    heard = last is None or any(turn.heard_latency_ms is not None for turn in turns)
    panels = iter(figure.subplots(1, heard + (last is not None), squeeze=False)[0])
    if heard:
        draw_latency(styled(next(panels)), [("", AGENT, turns)])
    if last is not None:
        draw_lanes(styled(next(panels)), last, least=6)
    return figure


def draw_timeline(trace: OpenTrace, turn: int | None = None) -> Drawing:
    """Both sides over time, of one turn or of everything."""
    start_ms, end_ms = 0.0, max(1000.0, trace.end_ms)
    if turn is not None:
        moment = trace.moment(turn)
        start_ms, end_ms = moment.start_ms, moment.end_ms
    spans = rows(start_ms, end_ms)
    figure = Drawing(figsize=(WIDTH_IN, 0.75 + ROW_IN * len(spans)), facecolor=PAPER, layout="constrained")
    scale = {track: _loudest(trace, track, start_ms, end_ms) for track in ("user", "agent")}
    for number, (first, last) in enumerate(spans):
        axes = figure.add_subplot(len(spans), 1, number + 1)
        _draw_row(axes, trace, first, last, scale)
    _key(figure, trace.turns)
    return figure


def draw_latency(axes: Axes, sessions: Sequence[tuple[str, str, Sequence[Turn]]]) -> None:
    """A point a turn, of sessions with name and colour; those that do not compare are hollow."""
    for name, colour, turns in sessions:
        latency = Latency()
        points: dict[str, list[tuple[int, float]]] = {colour: [], PAPER: []}
        for turn in turns:
            latency.add(turn)
            if turn.heard_latency_ms is not None:
                filled = colour if kind_of(turn) == "done" else PAPER
                points[filled].append((turn.turn, turn.heard_latency_ms))
        size = 6 if len(turns) <= CROWD else 2
        for filled, found in points.items():
            if found:
                axes.plot(*zip(*found, strict=True), "o", color=colour, markersize=size, mfc=filled)
        for percent, style in ((50, "-"), (95, ":")):
            value = latency.percentile(percent)
            if value is not None:
                shown = f"{name} p{percent} {value:.0f} ms".strip()
                axes.axhline(value, color=colour, linestyle=style, linewidth=1, label=shown)
    if not axes.lines:
        return _empty(axes, "no answer was heard yet")
    heard = [turn for _, _, turns in sessions for turn in turns if turn.heard_latency_ms is not None]
    first, last = min(turn.turn for turn in heard), max(turn.turn for turn in heard)
    axes.set_xlim(first - 0.5, max(last, first + 4) + 0.5)
    values = [turn.heard_latency_ms or 0.0 for turn in heard]
    axes.set_ylim(min(0.0, *values), 1.15 * max(100.0, *values))
    axes.set_xlabel("turn")
    axes.set_ylabel("heard after, ms")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _above(axes, axes.get_legend_handles_labels()[0], 2)


def draw_bars(
    axes: Axes, names: Sequence[str], parts: Sequence[dict[str, float]], *, columns: int = 3
) -> None:
    """A bar each: the parts on the critical path one after the other, their sum at its end; the key in columns."""
    if not any(parts):
        return _empty(axes, "no answer was heard yet")
    for row, found in enumerate(parts):
        at = 0.0
        for part in (*CHAIN, "unexplained"):
            value = found.get(part, 0.0)
            if abs(value) >= LEAST_MS:
                hatch = "////" if part == "unexplained" else None
                axes.barh(row, value, left=at, height=0.7, color=LIGHT[part], hatch=hatch)
                at += value
        axes.text(at, row, f" {sum(found.values()):.0f} ms", va="center", fontsize=8, color=INK)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("ms from the end of the user's speech to the first sound heard")
    used = [part for part in LIGHT if any(abs(found.get(part, 0)) >= LEAST_MS for found in parts)]
    _above(axes, _patches(used), columns)


def lanes_of(turn: Turn) -> dict[str, tuple[float, float]]:
    """The lanes that took time."""
    return {part: lane for part, lane in turn.lanes_ms.items() if lane[1] - lane[0] >= LEAST_MS}


def draw_lanes(axes: Axes, turn: Turn, *, least: int = 1) -> None:
    """A lane a part: pale where it ran hidden beside another one, full where it was waited for. There is room for
    `least` lanes, so that a single one is no wall.
    """
    lanes = lanes_of(turn)
    if not lanes:
        return _empty(axes, "nothing was measured in this turn")
    for row, (part, (start, end)) in enumerate(lanes.items()):
        counted = turn.parts_ms.get(part, 0.0)
        axes.barh(row, end - start, left=start, height=0.66, color=LIGHT[part], alpha=0.28)
        axes.barh(row, counted, left=end - counted, height=0.66, color=LIGHT[part])
        told = f"{counted:.0f} ms" if counted >= LEAST_MS else f"({end - max(0.0, start):.0f} ms hidden)"
        axes.text(end, row, f" {told}", va="center", fontsize=8, color=INK if counted >= LEAST_MS else QUIET)
    names = [label(part) for part in lanes]
    if (total := turn.heard_latency_ms) is not None:
        rest = turn.parts_ms.get("unexplained", 0.0)
        axes.barh(len(names), rest, left=total - rest, height=0.66, color=LIGHT["unexplained"], hatch="////")
        axes.text(total, len(names), f" {rest:.1f} ms", va="center", fontsize=8, color=QUIET)
        names.append("unexplained")
        axes.axvline(total, color=INK, linewidth=1)
        axes.set_title(f"Turn {turn.turn}: heard after {total:.0f} ms", fontsize=10, loc="left", color=INK)
    else:
        axes.set_title(f"Turn {turn.turn}: typed, or nothing was heard", fontsize=10, loc="left", color=INK)
    axes.axvline(0, color=USER, linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), least) - 0.5, -0.5)
    axes.margins(x=0.14)
    axes.set_xlabel(f"ms from {'when it was typed' if total is None else 'the end of the user’s speech'}")


def draw_comparison(comparison: Comparison, names: tuple[str, str]) -> Drawing:
    """Heard latency of both over their turns, and beside it where the time went."""
    figure = Drawing(figsize=(WIDTH_IN, 2.7), facecolor=PAPER, layout="constrained")
    left, right = figure.subplots(1, 2)
    styled(left)
    styled(right)
    shown = [plain_name(name) for name in names]
    draw_latency(left, list(zip(shown, (USER, AGENT), comparison.all, strict=True)))
    medians = [comparison.medians(turns) for turns in (comparison.a, comparison.b)]
    draw_bars(right, shown, medians, columns=2)  # beside long names there is no room for three
    right.set_xlabel("median of each part, ms")
    return figure


def plain_name(name: str) -> str:
    """A name that the font has, and that is no formula."""
    shown = "".join(letter for letter in plain(name, 24, one_line=True) if letter.isascii())
    return shown.replace("$", "") or "–"


# --- a row of a timeline ---------------------------------------------------------------------------------------------


def _draw_row(axes: Axes, trace: OpenTrace, first_ms: float, last_ms: float, scale: dict[str, float]) -> None:
    """The user above, the agent below, and between them what the user waited for."""
    heights: dict[TrackName, tuple[float, str]] = {"user": (1.0, USER), "agent": (-1.0, AGENT)}
    upto_ms = min(last_ms, max(first_ms + 1.0, trace.end_ms))
    columns = max(2, round(COLUMNS * (upto_ms - first_ms) / (last_ms - first_ms)))
    seconds = np.linspace(first_ms, upto_ms, columns) / 1000
    for track, (middle, colour) in heights.items():
        axes.plot([first_ms / 1000, upto_ms / 1000], [middle, middle], color=LINE, linewidth=0.6)
        if track in trace.tracks:
            wave = 0.62 * np.sqrt(
                peaks(trace, trace.moments, track, first_ms, upto_ms, columns) / scale[track]
            )
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
    """Each turn's waterfall at its place, with its number and what was waited, where there is room for words.

    All of a kind are one artist: thousands of turns are drawn in a second.
    """
    places = [(turn, trace.moments.of(turn.turn)) for turn in trace.turns]
    here = [(turn, at.zero_ms) for turn, at in places if at is not None and first_ms <= at.zero_ms < last_ms]
    free_ms = first_ms
    for turn, zero_ms in here:
        if zero_ms < free_ms:
            continue
        free_ms = zero_ms + (last_ms - first_ms) / LABELS
        _label_turn(axes, turn, zero_ms / 1000)
    axes.vlines([zero_ms / 1000 for _, zero_ms in here], -0.22, 1.85, color=QUIET, linewidth=0.7)
    waited = [(zero_ms / 1000, (turn.heard_latency_ms or 0.0) / 1000) for turn, zero_ms in here]
    axes.broken_barh(waited, (-1.7, 3.5), color=LINE, alpha=0.35, linewidth=0)
    bars: dict[str, list[tuple[float, float]]] = {part: [] for part in CHAIN}
    for turn, at_ms in here:
        if turn.heard_latency_ms is None:
            continue
        for part in CHAIN:
            length_ms = turn.parts_ms.get(part, 0.0)
            if length_ms >= LEAST_MS:
                bars[part].append((at_ms / 1000, length_ms / 1000))
                at_ms += length_ms
    for name, found in bars.items():
        if found:
            axes.broken_barh(found, (-0.22, 0.44), color=LIGHT[name], linewidth=0)


def _label_turn(axes: Axes, turn: Turn, zero_s: float) -> None:
    total = turn.heard_latency_ms
    told = f"{turn.turn}" if total is None else f"{turn.turn} · {total:.0f} ms"
    axes.text(zero_s, 1.85, told, fontsize=7.5, va="bottom", color=INK)
    if turn.status != "done":
        colour = LIGHT["unexplained"] if turn.status == "failed" else QUIET
        axes.text(zero_s, -1.9, turn.status, fontsize=7.5, va="bottom", color=colour)


def _loudest(trace: OpenTrace, track: TrackName, start_ms: float, end_ms: float) -> float:
    """What a waveform is drawn in relation to; the loudest 2 % may reach beyond."""
    found = peaks(trace, trace.moments, track, start_ms, end_ms, COLUMNS)
    return max(0.02, float(np.quantile(found, 0.98))) if len(found) else 1.0


# --- what they share -------------------------------------------------------------------------------------------------


def _drawing(height_in: float) -> tuple[Drawing, Axes]:
    figure = Drawing(figsize=(WIDTH_IN * 0.8, height_in), facecolor=PAPER, layout="constrained")
    axes = figure.add_subplot()
    styled(axes)
    return figure, axes


def styled(axes: Axes) -> Axes:
    """Quiet axes on paper."""
    axes.set_facecolor(PAPER)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(colors=QUIET, labelsize=8)
    axes.xaxis.label.set(color=QUIET, fontsize=8)
    axes.yaxis.label.set(color=QUIET, fontsize=8)
    axes.title.set_color(INK)
    return axes


def _empty(axes: Axes, told: str) -> None:
    axes.text(0.5, 0.5, told, transform=axes.transAxes, ha="center", color=QUIET)
    axes.set_axis_off()


def _patches(parts: Sequence[str]) -> list[Patch]:
    return [
        Patch(facecolor=LIGHT[part], label=label(part), hatch="////" if part == "unexplained" else None)
        for part in parts
    ]


def _above(axes: Axes, handles: Sequence[Artist], columns: int) -> None:
    axes.legend(
        handles=handles, frameon=False, fontsize=8, ncols=columns, loc="lower left", bbox_to_anchor=(0, 1.0)
    )


def _key(figure: Figure, turns: Sequence[Turn]) -> None:
    used = [part for part in CHAIN if any(turn.parts_ms.get(part, 0.0) >= LEAST_MS for turn in turns)]
    figure.legend(handles=_patches(used), frameon=False, fontsize=7.5, ncols=9, loc="outside lower left")
