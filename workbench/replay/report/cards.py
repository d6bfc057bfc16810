"""The conversation of a report: a card for each turn, and for what was said outside of turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.model.text import plain
from workbench.readers.folds.calls import MARKS, CallRecord, outcome, pretty, signature
from workbench.readers.folds.conversation import ConversationLine
from workbench.readers.timeline import Turn
from workbench.replay.report.content import ReportContent
from workbench.replay.report.waveform import clock
from workbench.views.decisions import accounts_html
from workbench.views.format import NBSP, count, marks, money, ms
from workbench.views.html import problem_html, safe
from workbench.views.waterfall import WaterfallBar, lay_out

SAID_CHARS = 4_000
"""Characters shown of what was said at once."""
CALL_CHARS, CALL_LINES = 10_000, 200


def cards(content: ReportContent) -> Iterator[str]:
    """Yield the conversation in its order."""
    turns = {turn.turn: turn for turn in content.turns}
    shown: set[int] = set()
    for number, lines in _groups(content.lines):
        turn = turns.get(number) if number is not None else None
        if turn is None:
            yield f"<article>{''.join(map(_said, lines))}</article>"
        elif turn.turn not in shown:
            shown.add(turn.turn)
            yield _card(content, turn, [line for line in content.lines if line.turn == turn.turn])
    for number, turn in turns.items():
        if number not in shown:  # nothing was said in it, or the trace has lost that
            yield _card(content, turn, [])


def _groups(lines: Sequence[ConversationLine]) -> Iterator[tuple[int | None, list[ConversationLine]]]:
    """Yield the turns in the order of their first words, and between them what belongs to none."""
    seen: set[int] = set()
    loose: list[ConversationLine] = []
    for line in lines:
        if line.turn is None:
            loose += [line] if line.who in ("user", "agent") else []
        elif line.turn not in seen:
            if loose:
                yield None, loose
                loose = []
            seen.add(line.turn)
            yield line.turn, []
    if loose:
        yield None, loose


def _card(content: ReportContent, turn: Turn, lines: Sequence[ConversationLine]) -> str:
    spoken = [line for line in lines if line.who in ("user", "agent")]
    said = "".join(map(_said, spoken)) if spoken else _texts(turn)
    error = ""
    if turn.error is not None:
        error = f'<p class="error">{problem_html(turn.error.stage, turn.error.reason, turn.error.hint)}</p>'
    return (
        f'<article id="turn-{turn.turn}">{_head(content, turn)}{said}{error}{_waterfall(turn)}'
        f"{''.join(map(_call, content.calls.get(turn.turn, ())))}{_discarded(content, turn)}"
        f"{accounts_html(content.accounts.get(turn.turn, ()))}</article>"
    )


def _head(content: ReportContent, turn: Turn) -> str:
    words = marks(turn)
    mark = f'<span class="mark {turn.status}">{words}</span>' if words else ""
    late = f"heard after {ms(turn.heard_latency_ms)}" if turn.heard_latency_ms is not None else ""
    cost = money(turn.usage) if turn.usage.get("cost") != 0 and turn.usage else ""
    moment = content.moments.of(turn.turn)
    play = when = ""
    if moment is not None:
        when = clock(moment.start_ms)
        play = (
            f'<button class="play" data-play="{moment.start_ms:.0f},{moment.end_ms:.0f}" '
            f'aria-label="Play turn {turn.turn}">▶ play</button>'
        )
    rest = "".join(f"<small>{text}</small>" for text in (when, late, cost) if text)
    return f"<h3><span>Turn {turn.turn}</span>{mark}{rest}{play}</h3>"


def _said(line: ConversationLine) -> str:
    """Return what somebody said; of the agent what was heard, and struck through what was not."""
    who = "you" if line.who == "user" else "agent"
    unheard = f" <s>{safe(line.unheard, SAID_CHARS)}</s> <small>not heard</small>" if line.unheard else ""
    guess = " <small>(the place of the cut is estimated)</small>" if line.unheard and line.estimated else ""
    text = f"<span>{safe(line.text, SAID_CHARS)}</span>"
    return f'<p class="said {line.who}"><span>{who}</span>{text}{unheard}{guess}</p>'


def _texts(turn: Turn) -> str:
    return "".join(
        f'<p class="said {who}"><span>{name}</span><span>{safe(text, SAID_CHARS)}</span></p>'
        for who, name, text in (("user", "you", turn.user_text), ("agent", "agent", turn.agent_text))
        if text
    )


def _waterfall(turn: Turn) -> str:
    """Return a lane a part: pale where it ran, full where it was waited for."""
    layout = lay_out(turn)
    if not layout.bars:
        return ""
    low, high = layout.span_ms
    lanes = "".join(_lane(bar, low, high) for bar in layout.bars)
    total = ""
    if layout.total_ms is not None:
        total = f'<span><b>heard after</b></span><span></span><span class="ms"><b>{ms(layout.total_ms)}</b></span>'
    return f'<div class="fall">{lanes}{total}</div>'


def _lane(bar: WaterfallBar, low: float, high: float) -> str:
    def place(first: float, last: float) -> str:
        return (
            f"left:{100 * (first - low) / (high - low):.2f}%;width:{100 * (last - first) / (high - low):.2f}%"
        )

    pale = f'<i class="wb-fill-{bar.colour}" style="{place(*bar.lane)}"></i>'
    full = f'<b class="wb-fill-{bar.colour}" style="{place(*bar.solid)}"></b>' if bar.counts else ""
    provider = f" <small>{safe(bar.provider, 60)}</small>" if bar.provider else ""
    figure = f"({ms(bar.figure_ms)})" if bar.hidden else ms(bar.figure_ms)
    pale = "" if bar.part == "unexplained" else pale
    return f'<span>{bar.label}{provider}</span><span class="lane">{pale}{full}</span><span class="ms">{figure}</span>'


def _call(call: CallRecord) -> str:
    """Return a call of a tool, which opens to its arguments and what came of it."""
    mark = f"{MARKS[call.state]} {safe(outcome(call, call.started_ms or 0.0))}"
    mocked = " <small>mocked</small>" if call.mocked else ""
    parts = [("arguments", call.arguments), ("result", call.result), ("error", call.error)]
    inside = "".join(f"<small>{name}</small><pre>{_preformatted(text)}</pre>" for name, text in parts if text)
    return (
        f"<details><summary><code>{safe(signature(call))}</code> {mark}{mocked}</summary>{inside}</details>"
    )


def calls_html(calls: Sequence[CallRecord]) -> str:
    """Return calls of tools that no turn has."""
    return "".join(map(_call, calls))


def _preformatted(text: str) -> str:
    lines = pretty(text, lines=CALL_LINES, chars=CALL_CHARS).split("\n")
    return "\n".join(safe(line.replace(" ", NBSP), CALL_CHARS) for line in lines)


def _discarded(content: ReportContent, turn: Turn) -> str:
    """Return the replies that were thrown away before anybody heard them, and what they cost."""
    replies = content.discarded.get(turn.turn, ())
    if not replies:
        return ""
    items = "".join(
        f"<li>{safe(plain(reply.reason, 200))} <small>{reply.seconds:.1f} s of speech, "
        f"{count(reply.tokens, 'token')}</small></li>"
        for reply in replies
    )
    return f"<details><summary>{count(len(replies), 'reply')} discarded</summary><ul>{items}</ul></details>"
