"""`show(trace)` and `compare(a, b)`: a page about a session, whole without a kernel and readable without scripts.

What is shown is HTML with a picture of the timeline and an `<audio>` for each turn: it stays in a saved notebook, in
what nbconvert makes of it, and where nothing may run. Where scripts may, the picture can be clicked to hear that
moment, and a line moves over it. Beside the HTML there is the same picture as `image/png` for viewers without HTML.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import zip_longest
from math import inf

from workbench.model.audio import OUTPUT_RATE, Samples, first_audible
from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.readers.compare import Comparison
from workbench.readers.opened import OpenTrace
from workbench.readers.timeline import Turn
from workbench.session import Session
from workbench.trace.wav import wav_header
from workbench.views.figures import Drawing, draw_comparison
from workbench.views.html import (
    ON_DARK,
    ROWS,
    bar,
    key,
    longest,
    marks,
    ms,
    picture,
    safe,
    summary,
    table,
    turn_html,
    turns_html,
)

HEARD_RATE = 16_000
"""Hz of the sound in a page: two thirds of the size, and still clear."""
HEARD_S = 120.0
"""Sound in a page at most, s: 5 MB."""
ROW_NUMBERS = 6
"""Decimals of a place in the picture."""


@dataclass(frozen=True, slots=True)
class SessionPage:
    """What a cell shows. `html` is complete; `png` is for those who can't show that; `text` for a terminal."""

    html: str
    png: bytes
    text: str
    trace: OpenTrace | None = None
    """What it is about, for the next cell."""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        return {"text/html": self.html, "image/png": b64encode(self.png).decode(), "text/plain": self.text}

    def __repr__(self) -> str:
        return self.text


def show(what: OpenTrace | Session, *, turn: int | None = None) -> SessionPage:
    """A session or its trace: both sides as waveforms with each turn's waterfall on them, and every turn to hear.

    `turn` shows that one only. Of a running session it shows what is there now: run the cell again for more. Sound is
    put in for up to 120 s of turns; the others say how to hear them. Raises UsageError for what is neither, and for a
    turn that is not there.
    """
    trace = trace_of(what)
    figure = trace.plot.timeline(turn)
    png = figure.png()
    if turn is None:
        turns: Sequence[Turn] = trace.turns
        title = f"<b>{safe(trace.title())}</b><br>{summary(turns)}"
        body = turns_html(turns, _hearing(trace, HEARD_S)) + key(turns)
    else:
        turns = [each for each in trace.turns if each.turn == turn]
        title = f"<b>{safe(trace.title())}</b>"
        body = "".join(f"{_hearing(trace, inf)(each)}<br>{turn_html(each)}" for each in turns)
    html = _page(f"{title}{_picture(png, figure)}{body}")
    return SessionPage(html, png, f"{trace.title()}: {summary(turns)}", trace)


def compare(
    a: OpenTrace | Session, b: OpenTrace | Session, *, names: tuple[str, str] = ("a", "b")
) -> SessionPage:
    """Two sessions side by side, turn by turn in their order, with the median of each part and what changed.

    Raises UsageError for what is neither a session nor a trace, and for names that are not two.
    """
    if not isinstance(names, tuple | list) or [*map(type, names)] != [str, str]:
        raise UsageError(f"{names!r:.60} are not two names", 'write names=("before", "after")')
    one, other = trace_of(a), trace_of(b)
    comparison = Comparison(one.turns, other.turns)
    png = draw_comparison(comparison, names).png()
    shown = (safe(names[0], 40), safe(names[1], 40))
    parts = table(
        ["median, ms", *shown, "change"],
        [[name, *map(_figure, row[:2]), _change(*row)] for name, row in comparison.rows()],
    )
    text = "\n".join(
        f"{name}: {summary(trace.turns)}" for name, trace in zip(names, (one, other), strict=True)
    )
    timelines = "".join(
        f"<b>{name}</b><br>{_image(trace.plot.timeline().png())}<br>"
        for name, trace in zip(shown, (one, other), strict=True)
    )
    html = _page(
        f"{_image(png)}<br>{timelines}{_pairs(one, other, shown)}{key([*one.turns, *other.turns])}<br>{parts}"
    )
    return SessionPage(html, png, plain(text))


def trace_of(what: object) -> OpenTrace:
    """The trace of a session, of a widget on one, or what is one. Raises UsageError for anything else."""
    what = getattr(what, "session", what)
    trace = what.trace if isinstance(what, Session) else what
    if isinstance(trace, OpenTrace):
        return trace
    raise UsageError(
        f"{type(what).__name__} is neither a trace nor a session",
        "give session, session.trace or open_trace(folder)",
    )


def _pairs(one: OpenTrace, other: OpenTrace, names: tuple[str, str]) -> str:
    """The turns of both beside each other."""
    top = longest([*one.turns, *other.turns])
    hear = [_hearing(trace, HEARD_S / 2) for trace in (one, other)]
    rows = []
    pairs = [*zip_longest(one.turns, other.turns)]
    for turns in pairs[-ROWS:]:
        said = {turn.user_text for turn in turns if turn}
        cells = [
            f"{bar(turn, top)} {ms(turn.heard_latency_ms)} <small>{marks(turn)}</small><br>"
            f"{safe(turn.agent_text)}<br>{sound(turn)}"
            if turn
            else "–"
            for turn, sound in zip(turns, hear, strict=True)
        ]
        latencies = [turn.heard_latency_ms if turn else None for turn in turns]
        rows.append(["<br>".join(map(safe, sorted(said))), *cells, _change(*latencies, *latencies)])
    note = f"<small>the {len(pairs) - ROWS} turns before are not shown</small>" if len(pairs) > ROWS else ""
    return note + table(["you", *names, "change"], rows)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _change(a: float | None, b: float | None, *_: object) -> str:
    return "" if a is None or b is None else f"{b - a:+.0f} ms"


# --- what a page is made of ------------------------------------------------------------------------------------------


def _page(body: str) -> str:
    """A body that scripts find again; ids are random, so that the same cell twice is two pages."""
    name = f"workbench-{secrets.token_hex(8)}"
    found = f'{ON_DARK}<div id="{name}" class="mathjax_ignore tex2jax_ignore">{body}</div>'
    return f'{found}<script>({_script()})("{name}")</script>'


@cache
def _script() -> str:
    return files("workbench.notebook").joinpath("static/session_page.js").read_text("utf-8").strip()


def _image(png: bytes, more: str = "") -> str:
    return picture(png, "both sides over time", more)


def _picture(png: bytes, figure: Drawing) -> str:
    """The timeline, with where its rows are, so that a place in it is a time."""
    places = [
        ",".join(f"{value:.{ROW_NUMBERS}f}" for value in (*box.extents, *(s * 1000 for s in axes.get_xlim())))
        for axes in figure.axes
        for box in (axes.get_position(),)
    ]
    return (
        '<div style="position:relative;display:inline-block;max-width:100%">'
        f"{_image(png, f' data-rows={chr(34)}{chr(59).join(places)}{chr(34)}')}</div>"
    )


def _hearing(trace: OpenTrace, room_s: float) -> Callable[[Turn], str]:
    """Gives each turn its sound, as long as there is room."""
    left = room_s

    def hear(turn: Turn) -> str:
        nonlocal left
        moment = trace.moment(turn.turn)
        sound = trace.audio(turn=turn.turn) if moment.end_ms - moment.start_ms <= left * 1000 else None
        if sound is None:
            return f"<code>show(…, turn={turn.turn})</code>"
        if first_audible(sound, OUTPUT_RATE) is None:
            return ""
        left -= len(sound) / OUTPUT_RATE
        return (
            f'<audio controls preload="metadata" style="height:28px;width:200px" data-start="{moment.start_ms:.1f}" '
            f'src="data:audio/wav;base64,{b64encode(_wav(sound)).decode()}"></audio>'
        )

    return hear


def _wav(sound: Samples) -> bytes:
    import soxr  # 10 ms

    samples: Samples = soxr.resample(sound, OUTPUT_RATE, HEARD_RATE)
    return wav_header(HEARD_RATE, len(samples)) + samples.astype("<i2").tobytes()
