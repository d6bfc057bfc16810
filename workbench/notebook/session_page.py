"""`show(trace)` and `compare(a, b)`: a page about a session, whole without a kernel and readable without scripts.

What is shown is HTML with a picture of the timeline, an `<audio>` for each turn, what was decided about each utterance,
and the events; the last two open where they are clicked. It stays in a saved notebook, in what nbconvert makes of it,
and where nothing may run. Where scripts may, the picture can be clicked to hear that moment, and a line moves over it.
Beside the HTML there is the same picture as `image/png` for viewers without HTML.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import zip_longest
from math import inf

from workbench.model.audio import OUTPUT_RATE, Samples, first_audible
from workbench.model.errors import UsageError
from workbench.model.events import Entry
from workbench.model.text import plain
from workbench.readers import notable
from workbench.readers.folds.decisions import Account, DecisionsFold
from workbench.readers.timeline import Turn
from workbench.session import Session
from workbench.trace.wav import wav_header
from workbench.views.comparison import Comparison
from workbench.views.decisions import accounts_html
from workbench.views.events import events_html
from workbench.views.figures import Drawing, draw_comparison
from workbench.views.format import count, marks, ms, signed_ms, summarize
from workbench.views.html import (
    ROWS,
    bar,
    key,
    longest,
    picture,
    safe,
    styled,
    table,
    turn_html,
    turns_html,
)
from workbench.views.trace import OpenTrace

MOST_EVENTS, MOST_EVENTS_OF_ONE = 300, 1_000
"""Events in a page, of everything and of one turn: 0.5 and 1.5 MB."""
PAGE_RATE = 16_000
"""Hz of the sound in a page: two thirds of the size, and still clear."""
MOST_SOUND_S = 120.0
"""Sound in a page at most, s: 5 MB."""
NARROW = (
    "<style>.wb-page{container-type:inline-size}@container (max-width:480px){.wb-page audio{width:100px!important}"
    ".wb-page td span:has(>[class^=wb-fill]){zoom:.45}}</style>"
)
"""Where there is little room, players and bars leave some to the words."""
MOST_CHARACTERS = 40
"""Of a session's name in a comparison."""


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Output of a cell: `html` is complete; `png` is for those who can't show that; `text` for a terminal."""

    html: str
    png: bytes
    text: str
    trace: OpenTrace | None = None
    """What it is about, for the next cell."""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        return {"text/html": self.html, "image/png": b64encode(self.png).decode(), "text/plain": self.text}

    def __repr__(self) -> str:
        return self.text


def show(session: OpenTrace | Session, *, turn: int | None = None) -> SessionPage:
    """Return a page about a session or its trace: waveforms of both sides with each turn's waterfall, and players.

    `turn` shows that one only. Of a running session it shows what is there now: run the cell again for more. Sound is
    put in for up to 120 s of turns; the others say how to hear them. Raises UsageError for what is neither, and for a
    turn that is not there.
    """
    trace = trace_of(session)
    figure = trace.plot.timeline(turn)
    png = figure.png()
    title = f"<b>{safe(trace.title())}</b>"
    turns: Sequence[Turn] = trace.turns
    if turn is None:
        title += f"<br>{summarize(turns)}"
        body = turns_html(turns, _player(trace, MOST_SOUND_S)) + key(turns)
        body += _inspector(trace, None, MOST_EVENTS)
    else:
        turns = [each for each in turns if each.turn == turn]
        body = "".join(f"{_player(trace, inf)(each)}<br>{turn_html(each)}" for each in turns)
        body += _inspector(trace, turn, MOST_EVENTS_OF_ONE)
    html = _page(f"{title}{_clickable(png, figure)}{body}")
    return SessionPage(html, png, f"{trace.title()}: {summarize(turns)}", trace)


def compare(
    a: OpenTrace | Session, b: OpenTrace | Session, *, names: tuple[str, str] = ("a", "b")
) -> SessionPage:
    """Return a page about two sessions, turn by turn in their order, with the median of each part and what changed.

    Raises UsageError for what is neither a session nor a trace, and for names that are not two.
    """
    if not isinstance(names, tuple | list) or [*map(type, names)] != [str, str]:
        raise UsageError(f"{names!r:.60} are not two names", 'write names=("before", "after")')
    traces = trace_of(a), trace_of(b)
    comparison = Comparison(traces[0].turns, traces[1].turns)
    png = draw_comparison(comparison, names).png()
    heads = [safe(name, MOST_CHARACTERS) for name in names]
    medians = table(
        ["median, ms", *heads, "change"],
        [[part, *map(_rounded, row[:2]), _change(*row[:2])] for part, row in comparison.rows()],
    )
    timelines = "".join(
        f"<b>{head}</b><br>{_image(trace.plot.timeline().png())}<br>"
        for head, trace in zip(heads, traces, strict=True)
    )
    turns = [turn for trace in traces for turn in trace.turns]
    html = _page(f"{_image(png)}<br>{timelines}{_pairs(traces, heads)}{key(turns)}<br>{medians}")
    lines = [f"{name}: {summarize(trace.turns)}" for name, trace in zip(names, traces, strict=True)]
    return SessionPage(html, png, plain("\n".join(lines)))


def trace_of(session: object) -> OpenTrace:
    """Return the trace of a session or of a widget on one, or the trace itself. Raises UsageError for others."""
    session = getattr(session, "session", session)
    trace = session.trace if isinstance(session, Session) else session
    if isinstance(trace, OpenTrace):
        return trace
    reason = f"{type(session).__name__} is neither a trace nor a session"
    raise UsageError(reason, "give session, session.trace or open_trace(folder)")


def _pairs(traces: Sequence[OpenTrace], heads: Sequence[str]) -> str:
    """Return the turns of both beside each other."""
    top = longest(turn for trace in traces for turn in trace.turns)
    players = [_player(trace, MOST_SOUND_S / 2) for trace in traces]
    rows = []
    pairs = [*zip_longest(*(trace.turns for trace in traces))]
    for turns in pairs[-ROWS:]:
        questions = {turn.user_text for turn in turns if turn}
        cells = [
            f"{bar(turn, top)} {ms(turn.heard_latency_ms)} <small>{marks(turn)}</small><br>"
            f"{safe(turn.agent_text)}<br>{player(turn)}"
            if turn
            else "–"
            for turn, player in zip(turns, players, strict=True)
        ]
        change = _change(*(turn.heard_latency_ms if turn else None for turn in turns))
        rows.append(["<br>".join(map(safe, sorted(questions))), *cells, change])
    note = (
        f"<small>the {count(len(pairs) - ROWS, 'turn')} before are not shown</small>"
        if len(pairs) > ROWS
        else ""
    )
    return note + table(["you", *heads, "change"], rows)


def _rounded(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _change(a: float | None, b: float | None) -> str:
    return "" if a is None or b is None else signed_ms(b - a)


# --- what a page is made of ------------------------------------------------------------------------------------------


def _page(body: str) -> str:
    """Return a body that scripts find again; ids are random, so that the same cell twice is two pages."""
    name = f"workbench-{secrets.token_hex(8)}"
    script = files("workbench.notebook").joinpath("static/session_page.js").read_text("utf-8").strip()
    page = styled(f'{NARROW}<div id="{name}" class="wb-page mathjax_ignore tex2jax_ignore">{body}</div>')
    return f'{page}<script>({script})("{name}")</script>'


def _image(png: bytes, attributes: str = "") -> str:
    return picture(png, "both sides over time", attributes)


def _clickable(png: bytes, figure: Drawing) -> str:
    """Return the timeline, with where its rows are, so that a place in it is a time."""
    rows = [
        ",".join(
            f"{value:.6f}" for value in (*axes.get_position().extents, *(s * 1000 for s in axes.get_xlim()))
        )
        for axes in figure.axes
    ]
    image = _image(png, f' data-rows="{";".join(rows)}"')
    return f'<div style="position:relative;display:inline-block;max-width:100%">{image}</div>'


def _player(trace: OpenTrace, budget_s: float) -> Callable[[Turn], str]:
    """Return what gives each turn its player, as long as the budget of sound lasts."""
    left_s = budget_s

    def player(turn: Turn) -> str:
        nonlocal left_s
        moment = trace.moment(turn.turn)
        if moment.end_ms - moment.start_ms > left_s * 1000:
            return f"<code>show(…, turn={turn.turn})</code>"
        sound = trace.audio(turn=turn.turn)
        if first_audible(sound, OUTPUT_RATE) is None:
            return ""
        left_s -= len(sound) / OUTPUT_RATE
        return (
            f'<audio controls preload="metadata" style="height:28px;width:200px" data-start="{moment.start_ms:.1f}" '
            f'src="data:audio/wav;base64,{b64encode(_wav(sound)).decode()}"></audio>'
        )

    return player


def _inspector(trace: OpenTrace, turn: int | None, most: int) -> str:
    """Return why the agent did or did not speak, and the last `most` events, of one turn or of everything."""
    fold = DecisionsFold(ROWS)
    for entry in notable(trace):
        fold.feed(entry)
    account = None if turn is None else fold.of(turn)
    of_turn = (entry for entry in notable(trace) if turn is None or _belongs(entry, turn, account))
    entries = deque(of_turn, maxlen=most)
    note = f" <small>the last {most}</small>" if len(entries) == most else ""
    accounts = fold.accounts if account is None else [account]
    return (
        f"<details open><summary>Why the agent spoke, or did not</summary>{accounts_html(accounts)}</details>"
        f"<details><summary>Events{note}</summary>{events_html(entries)}</details>"
    )


def _belongs(entry: Entry, turn: int, account: Account | None) -> bool:
    """Decide whether an event is of a turn: it names the turn, or its utterance."""
    named, utterance = (getattr(entry.event, name, None) for name in ("turn", "utterance"))
    return named == turn or (account is not None and utterance is not None and utterance == account.utterance)


def _wav(sound: Samples) -> bytes:
    import soxr  # 10 ms

    samples: Samples = soxr.resample(sound, OUTPUT_RATE, PAGE_RATE)
    return wav_header(PAGE_RATE, len(samples)) + samples.astype("<i2").tobytes()
