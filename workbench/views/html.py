"""Turns as HTML for notebooks. Text from outside is escaped, and nothing here runs: no script, no link, no request.

Styles are those that the sanitizers of notebooks let through; where one takes them away, the figures still stand there
as text.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from html import escape

from workbench.model.text import plain
from workbench.readers.latency import Latency
from workbench.readers.timeline import CHAIN, Turn
from workbench.views.palette import LIGHT, label

BAR_PX = 220
"""Width of the longest bar in a table."""
LEAST_MS = 0.5
"""What is shorter is left out."""
ROWS = 200
"""Turns in a table at most."""
SAID = 300
"""Characters shown of what was said."""
DARK = ("[data-jp-theme-light=false]", ".vscode-dark", "[data-theme=dark]", "html[theme=dark]")
"""What dark pages say of themselves: JupyterLab, Notebook 7 and nbconvert; VS Code; Sphinx; Colab."""
ON_DARK = (
    f"<style>{','.join(f'{page} .wb-figure' for page in DARK)}{{filter:invert(1) hue-rotate(180deg)}}</style>"
)
"""Figures are drawn on light ground. On dark pages light and dark change places, and colours stay what they are; where
a style sheet is taken away, a figure stays light, and readable."""
LOOKED_AT = 20
"""How often as much text as is shown is looked at, to leave out what cannot be shown."""
CELL = 'style="text-align:left;vertical-align:top"'
LONG = re.compile(r"(\S{25,})")
"""What no word is: an address, base64, a text without spaces. It may break anywhere, or it would push all else out of
sight; words may not, or narrow columns would break them."""
BREAKS = '<span style="overflow-wrap:anywhere">'


def safe(text: object, limit: int = SAID) -> str:
    """One line of text that no page takes for anything else: not for tags, nor for formulas between dollar signs."""
    told = str(text)
    if len(told) > limit * LOOKED_AT:  # 10 MB would take 0.8 s
        told = f"{told[: limit * LOOKED_AT]}…"
    pieces = LONG.split(plain(told, limit, one_line=True))  # what is long is every second one
    return "".join(
        f"{BREAKS}{_clean(piece)}</span>" if n % 2 else _clean(piece) for n, piece in enumerate(pieces)
    )


def _clean(text: str) -> str:
    return escape(text).replace("$", "<span>$</span>").replace("\\", "<span>\\</span>")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    top = "".join(f"<th {CELL}>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td {CELL}>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def picture(png: bytes, alt: str, more: str = "") -> str:
    """A figure; the page has `ON_DARK` somewhere. `more`: attributes."""
    data = b64encode(png).decode()
    return (
        f'<img class="wb-figure" alt="{alt}" style="max-width:100%" src="data:image/png;base64,{data}"{more}>'
    )


def ms(value: float | None) -> str:
    """`612 ms`, or a dash."""
    return "–" if value is None else f"{value:.0f} ms"


def summary(turns: Sequence[Turn]) -> str:
    """`5 turns · heard after p50 612 ms, p95 840 ms (n 4)`; plain text."""
    latency = Latency()
    for turn in turns:
        latency.add(turn)
    told = [f"{len(turns)} turn{'' if len(turns) == 1 else 's'}"]
    if latency.values_ms:
        p50, p95 = ms(latency.percentile(50)), ms(latency.percentile(95))
        told.append(f"heard after p50 {p50}, p95 {p95} (n {len(latency.values_ms)})")
    apart = [f"{count} {kind}" for kind, count in sorted(latency.kinds.items()) if kind != "done"]
    return " · ".join([*told, *apart])


def marks(turn: Turn) -> str:
    """What is special about a turn, in words; empty for most."""
    found: list[str] = [turn.status] if turn.status != "done" else []
    found += ["cold"] if turn.cold else []
    found += [f"{turn.discarded_replies} discarded"] if turn.discarded_replies else []
    return " · ".join(found)


def bar(turn: Turn, longest_ms: float) -> str:
    """What lay on the critical path, one after the other, as a bar; each part says what it is when pointed at."""
    pieces = [
        f'<span title="{label(part)} {ms(turn.parts_ms[part])}" style="display:inline-block;height:12px;'
        f'width:{turn.parts_ms[part] / max(1.0, longest_ms) * BAR_PX:.1f}px;background-color:{LIGHT[part]}"></span>'
        for part in CHAIN
        if turn.parts_ms.get(part, 0.0) >= LEAST_MS
    ]
    return f'<span style="white-space:nowrap">{"".join(pieces)}</span>' if pieces else ""


def longest(turns: Iterable[Turn]) -> float:
    """The greatest heard latency, ms."""
    return max((turn.heard_latency_ms or 0.0 for turn in turns), default=0.0)


def turns_html(turns: Sequence[Turn], hear: Callable[[Turn], str] | None = None, *, limit: int = ROWS) -> str:
    """A row a turn, of the last `limit`; `hear` gives what stands in a last column, as HTML."""
    left_out, turns = len(turns[:-limit]), turns[-limit:]
    top = longest(turns)
    head = ["turn", "you", "agent", "heard after", "where the time went"]
    rows = [
        [
            f"{turn.turn}<br><small>{marks(turn)}</small>",
            safe(turn.user_text),
            _answer(turn),
            f'<span style="white-space:nowrap">{ms(turn.heard_latency_ms)}</span>',
            bar(turn, top),
            *([hear(turn)] if hear else []),
        ]
        for turn in turns
    ]
    note = f"<small>the {left_out} turns before are not shown</small>" if left_out else ""
    return note + table([*head, *(["hear it"] if hear else [])], rows)


def key(turns: Iterable[Turn]) -> str:
    """Which colour is which part of their waterfalls."""
    used = {part for turn in turns for part, value in turn.parts_ms.items() if value >= LEAST_MS}
    return " ".join(
        f'<small style="white-space:nowrap"><span style="color:{LIGHT[part]}">■</span> {label(part)}</small>'
        for part in CHAIN
        if part in used
    )


def turn_html(turn: Turn) -> str:
    """One turn: what was said, and its waterfall as figures."""
    title = " · ".join(filter(None, [f"Turn {turn.turn}", marks(turn)]))
    heard = turn.heard_latency_ms
    rows = [
        [label(part), f"{lane[0]:.0f} … {lane[1]:.0f} ms", ms(turn.parts_ms.get(part)) if heard else ""]
        for part, lane in turn.lanes_ms.items()
        if lane[1] - lane[0] >= LEAST_MS
    ]
    head = ["part", "ran from the end of speech", "of it waited for"]
    if heard is not None:
        rows.append(["unexplained", "", ms(turn.parts_ms.get("unexplained"))])
        rows.append(["<b>heard after</b>", bar(turn, heard), f"<b>{ms(heard)}</b>"])
    elif turn.lanes_ms:
        head = ["part", "ran from the decision", ""]
    parts = table(head, rows) if rows else ""
    return f"<b>{title}</b><br>you: {safe(turn.user_text)}<br>agent: {_answer(turn)}{parts}"


def session_html(title: str, closed: bool, turns: str) -> str:
    """A session or its trace: `title` as plain text, `turns` as HTML."""
    return f"<b>{safe(title)}</b> · {'ended' if closed else 'running'}<br>{turns}"


def agent_html(fields: Iterable[tuple[str, object]]) -> str:
    """An agent: what it was told, and what it was given."""
    rows = [[safe(name), _told(value)] for name, value in fields if value not in (None, "", ())]
    return table(["agent", ""], rows)


def _told(value: object) -> str:
    """A text as it is; of a list each tool in a line as it shows itself, and functions by their names."""
    if not isinstance(value, tuple):
        return _long(str(getattr(value, "__name__", value)))
    lines = [one.line_html() for one in value[:ROWS] if hasattr(one, "line_html")]
    names = [_long(str(getattr(one, "__name__", one))) for one in value if not hasattr(one, "line_html")]
    return "<br>".join([*lines, *([", ".join(names)] if names else [])])


def _long(text: str) -> str:
    lines = [safe(line, 1000) for line in plain(text, 4000).splitlines()]
    return "<br>".join(lines)


def _answer(turn: Turn) -> str:
    if turn.error is None:
        return safe(turn.agent_text)
    error = turn.error
    told = f"<b>{safe(error.stage)}</b>: {safe(error.reason)}<br>→ {safe(error.hint)}"
    return f"{safe(turn.agent_text)}<br>{told}" if turn.agent_text else told
