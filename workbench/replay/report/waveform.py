"""Both sides over time as rows of a page, with a button on each turn that plays it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from workbench.model.events import TrackName
from workbench.readers.timeline import Turn
from workbench.readers.waveform import SIDES, peaks
from workbench.replay.report.content import ReportContent
from workbench.trace.trace import Trace
from workbench.views.format import marks, ms
from workbench.views.palette import part_key
from workbench.views.waterfall import critical_path_bars

COLUMNS = 900
"""Columns of a row: three for each pixel of a phone."""
ROW_S = (10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""How much time a row may stand for, s: the least that needs no more than `ROWS`."""
ROWS = 24
HEIGHT = 40
"""Of a side's wave, in units of the drawing."""
NUMBER_SHARE = 0.02
"""Of a row's width that a digit needs on a phone; a turn that has less has no number, or it would be another one."""
QUIETEST = 0.02
"""A wave is drawn in relation to its loudest, but noise of a silent track is not blown up."""


def waveform_rows(trace: Trace, content: ReportContent, end_ms: float) -> Iterator[str]:
    """Yield a row of HTML after the other, from the beginning to `end_ms`."""
    row_ms = row_length_ms(end_ms)
    scale = {side: _loudest(trace, content, side, end_ms) for side in SIDES}
    start_ms = 0.0
    while start_ms < end_ms:
        yield _row(trace, content, start_ms, row_ms, scale)
        start_ms += row_ms


def row_length_ms(end_ms: float) -> float:
    """Return how much time a row stands for, ms; a short session fills its only row."""
    length_s = end_ms / 1000
    if length_s <= ROW_S[0]:
        return max(1000.0, end_ms)
    return next((row_s for row_s in ROW_S if length_s <= row_s * ROWS), length_s / ROWS) * 1000


def clock(t_ms: float) -> str:
    """Return `1:02:03`, or `2:03`."""
    minutes, seconds = divmod(max(0, int(t_ms / 1000)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _row(
    trace: Trace, content: ReportContent, start_ms: float, row_ms: float, scale: dict[TrackName, float]
) -> str:
    waves = "".join(
        f'<path class="wave-{side}" d="{_path(loudness / scale[side], middle)}"/>'
        for side, middle in zip(SIDES, (HEIGHT, 3 * HEIGHT), strict=True)
        if (loudness := peaks(trace, content.moments, side, start_ms, start_ms + row_ms, COLUMNS)).any()
    )
    drawing = f'<svg viewBox="0 0 {COLUMNS} {4 * HEIGHT}" preserveAspectRatio="none" aria-hidden="true">{waves}</svg>'
    turns = "".join(_turn(content, turn, start_ms, row_ms) for turn in content.turns)
    head = f'<time>{clock(start_ms)}</time><i class="head" hidden></i>'
    return f'<div class="row" data-start="{start_ms:.0f}" data-ms="{row_ms:.0f}">{drawing}{turns}{head}</div>'


def _turn(content: ReportContent, turn: Turn, start_ms: float, row_ms: float) -> str:
    """Return a turn's button, and its waterfall between the sides, as far as they lie in this row."""
    moment = content.moments.of(turn.turn)
    if moment is None or moment.end_ms <= start_ms or moment.start_ms >= start_ms + row_ms:
        return ""
    first, last = max(moment.start_ms, start_ms), min(moment.end_ms, start_ms + row_ms)
    label = f"Turn {turn.turn}: {ms(turn.heard_latency_ms)}" + (f", {marks(turn)}" if marks(turn) else "")
    digits = str(turn.turn)
    number = digits if (last - first) / row_ms >= NUMBER_SHARE * (len(digits) + 0.5) else ""
    button = (
        f'<button class="turn {turn.status}" style="{_place(first, last, start_ms, row_ms)}" title="{label}" '
        f'aria-label="Play {label}" data-play="{moment.start_ms:.0f},{moment.end_ms:.0f}">{number}</button>'
    )
    bars = "".join(
        f'<b class="wb-fill-{part_key(part)}" style="{_place(begin, begin + length, start_ms, row_ms)}"></b>'
        for part, at, length in critical_path_bars(turn.parts_ms)
        if length > 0 and start_ms <= (begin := moment.zero_ms + at) < start_ms + row_ms
    )
    return button + bars


def _place(first_ms: float, last_ms: float, start_ms: float, row_ms: float) -> str:
    left = 100 * (first_ms - start_ms) / row_ms
    return f"left:{left:.3f}%;width:{min(100 - left, 100 * (last_ms - first_ms) / row_ms):.3f}%"


def _path(loudness: NDArray[np.float32], middle: int) -> str:
    """Return a stroke for each column that is not silent."""
    heights = np.rint(np.sqrt(np.minimum(loudness, 1.0)) * (HEIGHT - 2)).astype(int)
    return "".join(
        f"M{column} {middle - height}v{2 * height}" for column, height in enumerate(heights) if height
    )


def _loudest(trace: Trace, content: ReportContent, side: TrackName, end_ms: float) -> float:
    loudness = peaks(trace, content.moments, side, 0.0, end_ms, COLUMNS)
    return max(QUIETEST, float(np.quantile(loudness, 0.98)))
