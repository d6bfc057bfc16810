"""HTML for notebooks. Text from outside is escaped, and nothing here runs: no script, no link, no request.

Styles in attributes are those that the sanitizers of notebooks let through; the style sheet (`styled`) adds what is
different on dark pages. Where a page takes both away, the figures still stand there as text.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from html import escape

from workbench.model.text import plain
from workbench.readers.timeline import Turn
from workbench.views.format import count, marks, ms, part_label, title
from workbench.views.palette import css, part_colour, part_key
from workbench.views.waterfall import ORDER, critical_path_bars, lay_out

BAR_PX = 220
"""Width of the longest bar in a table."""
ROWS = 200
"""Turns in a table at most."""
TEXT_CHARS = 300
"""Characters shown of what was said."""
SCAN_FACTOR = 20
"""How often as much text as is shown is looked at, to leave out what cannot be shown."""
CELL = 'style="text-align:left;vertical-align:top"'
LONG = re.compile(r"(\S{25,})")
"""What no word is: an address, base64, a text without spaces. It may break anywhere, or it would push all else out of
sight; words may not, or narrow columns would break them."""
BREAKS = '<span style="overflow-wrap:anywhere">'

# --- what pages are made of ------------------------------------------------------------------------------------------


def styled(body: str) -> str:
    """Return a body of HTML below the style sheet with the palette's colours."""
    return f"<style>{css()}</style>{body}"


def safe(text: object, limit: int = TEXT_CHARS) -> str:
    """Return one line of text that no page takes for anything else: not for tags, nor for formulas between dollar
    signs.
    """
    line = str(text)
    if len(line) > limit * SCAN_FACTOR:  # 10 MB would take 0.8 s
        line = f"{line[: limit * SCAN_FACTOR]}…"
    pieces = LONG.split(plain(line, limit, one_line=True))  # what is long is every second one
    return "".join(
        f"{BREAKS}{_clean(piece)}</span>" if n % 2 else _clean(piece) for n, piece in enumerate(pieces)
    )


def safe_lines(text: str) -> str:
    """Return a text of up to 4,000 characters over several lines, escaped as by `safe`."""
    return "<br>".join(safe(line, 1000) for line in plain(text, 4000).splitlines())


def _clean(text: str) -> str:
    return escape(text).replace("$", "<span>$</span>").replace("\\", "<span>\\</span>")


def problem_html(source: str, reason: str, hint: str) -> str:
    """Return what went wrong, where (it may be empty), and what to do."""
    where = f"<b>{safe(source)}</b>: {safe(reason)}" if source else f"<b>{safe(reason)}</b>"
    return f"{where}<br>→ {safe(hint)}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already."""
    top = "".join(f"<th {CELL}>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td {CELL}>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def picture(png: bytes, alt: str, more: str = "") -> str:
    """Return a figure as an image; `more`: attributes."""
    data = b64encode(png).decode()
    return f'<img alt="{alt}" style="max-width:100%" src="data:image/png;base64,{data}"{more}>'


# --- turns -----------------------------------------------------------------------------------------------------------


def bar(turn: Turn, longest_ms: float) -> str:
    """Return what lay on the critical path as a bar; each part says what it is when pointed at."""
    px = BAR_PX / max(1.0, longest_ms)
    pieces = [
        f'<span title="{part_label(part)} {ms(length_ms)}" {_fill(part)};display:inline-block;height:12px;'
        f'width:{length_ms * px:.1f}px"></span>'
        for part, _, length_ms in critical_path_bars(turn.parts_ms)
        if length_ms > 0
    ]
    return f'<span style="white-space:nowrap">{"".join(pieces)}</span>' if pieces else ""


def key(turns: Iterable[Turn]) -> str:
    """Return which colour is which part of their waterfalls."""
    used = {part for turn in turns for part, _, _ in critical_path_bars(turn.parts_ms)}
    return " ".join(
        f'<small style="white-space:nowrap"><span {_fill(part)};display:inline-block;width:9px;height:9px"></span> '
        f"{part_label(part)}</small>"
        for part in ORDER
        if part in used
    )


def _fill(part: str) -> str:
    """Return attributes for the colour of a part, with the style left open."""
    return f'class="wb-fill-{part_key(part)}" style="background-color:{part_colour(part).light}'


def longest(turns: Iterable[Turn]) -> float:
    """Return the greatest heard latency, ms."""
    return max((turn.heard_latency_ms or 0.0 for turn in turns), default=0.0)


def turns_html(
    turns: Sequence[Turn], player: Callable[[Turn], str] | None = None, *, limit: int = ROWS
) -> str:
    """Return a row a turn, of the last `limit`; `player` gives what plays its sound, as HTML.

    There are three columns only, so that words have room on a page of 640 px, too.
    """
    omitted, turns = len(turns[:-limit]), turns[-limit:]
    top = longest(turns)
    rows = [
        [
            f"{turn.turn}<br><small>{marks(turn)}</small>",
            f"{_speaker('you')}{safe(turn.user_text)}<br>{_speaker('agent')}{_answer(turn)}",
            "<br>".join(
                filter(None, [ms(turn.heard_latency_ms), bar(turn, top), player(turn) if player else ""])
            ),
        ]
        for turn in turns
    ]
    note = f"<small>the {count(omitted, 'turn')} before are not shown</small>" if omitted else ""
    return note + table(["turn", "what was said", "heard after"], rows)


def turn_html(turn: Turn) -> str:
    """Return one turn: what was said, and its waterfall as figures."""
    layout = lay_out(turn)
    rows = [
        [
            f"{bar_.label} <small>{safe(bar_.provider)}</small>" if bar_.provider else bar_.label,
            "" if bar_.part == "unexplained" else f"{bar_.lane[0]:.0f} … {ms(bar_.lane[1])}",
            ms(bar_.counted_ms) if layout.total_ms else "",
        ]
        for bar_ in layout.bars
    ]
    head = ["part", "ran from the end of speech", "of it waited for"]
    if layout.total_ms is not None:
        rows.append(["<b>heard after</b>", bar(turn, layout.total_ms), f"<b>{ms(layout.total_ms)}</b>"])
    else:
        head = ["part", "ran from the decision", ""]
    parts = table(head, rows) if rows else ""
    return f"<b>{title(turn)}</b><br>you: {safe(turn.user_text)}<br>agent: {_answer(turn)}{parts}"


def _speaker(name: str) -> str:
    return f"<small>{name}:</small> "


def _answer(turn: Turn) -> str:
    if turn.error is None:
        return safe(turn.agent_text)
    error = problem_html(turn.error.stage, turn.error.reason, turn.error.hint)
    return f"{safe(turn.agent_text)}<br>{error}" if turn.agent_text else error


Turn.html = lambda turn: styled(turn_html(turn))

# --- sessions and agents ---------------------------------------------------------------------------------------------


def session_html(name: str, closed: bool, turns: str) -> str:
    """Return a session or its trace: `name` as plain text, `turns` as HTML."""
    return f"<b>{safe(name)}</b> · {'ended' if closed else 'running'}<br>{turns}"


def agent_html(fields: Iterable[tuple[str, object]]) -> str:
    """Return an agent: its instructions, its tools, and what else it has."""
    rows = [[safe(name), _field(value)] for name, value in fields if value not in (None, "", ())]
    return table(["agent", ""], rows)


def _field(value: object) -> str:
    """Return a text as it is; of a list each tool in a line as it shows itself, and functions by their names."""
    if not isinstance(value, tuple):
        return safe_lines(str(getattr(value, "__name__", value)))
    lines = [tool.line_html() for tool in value[:ROWS] if hasattr(tool, "line_html")]
    names = [safe_lines(str(getattr(it, "__name__", it))) for it in value if not hasattr(it, "line_html")]
    return "<br>".join([*lines, *([", ".join(names)] if names else [])])
