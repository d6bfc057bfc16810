"""The page of a report. It holds everything itself and may fetch nothing: its policy forbids it, and any other script.

Every text in it that is from outside went through `safe`.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from itertools import islice
from typing import Any

from workbench.model.text import plain, redacted
from workbench.readers.exports.sound import sound_end_ms
from workbench.readers.latency import PERCENTILES, kind_of, percentile
from workbench.replay.report.cards import calls_html, cards
from workbench.replay.report.content import ReportContent, read_content
from workbench.replay.report.sound import Progress, embedded_sound
from workbench.replay.report.waveform import clock, waveform_rows
from workbench.trace.store import About
from workbench.trace.trace import Trace
from workbench.views.decisions import accounts_html
from workbench.views.format import count, money, ms, part_label
from workbench.views.html import key, safe, table
from workbench.views.palette import css, dark_css
from workbench.views.waterfall import ORDER

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{script}'; media-src data:; "
    "base-uri 'none'; form-action 'none'"
)
MOST_CARDS = 2_000
"""Turns with a card of their own: a page of 20 MB, some ten hours of talk."""
LAYOUT_MS = 0.5
"""A part that is shorter in every turn has no line in the table."""


def report_html(trace: Trace, about: About, progress: Progress = lambda share: None) -> str:
    """Return the page of a recording. `progress` is told how much of its sound is done, 0…1."""
    content = read_content(trace)
    address, sound_ms = embedded_sound(trace, content.moments, progress)
    title = plain(" · ".join(filter(None, (about.agent, about.date, about.session))), 120, one_line=True)
    script = _static("report.js")
    policy = POLICY.format(script=b64encode(sha256(script.encode()).digest()).decode())
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>{css()}{dark_css()}{_static('report.css')}</style></head>"
    )
    body = "\n".join(_sections(trace, content, about, bool(address), sound_ms))
    player = _player(address) if address else ""
    return f"{head}<body>{body}{player}<script>{script}</script></body></html>\n"


def _static(name: str) -> str:
    return files("workbench.replay.report").joinpath("static", name).read_text("utf-8")


def _sections(
    trace: Trace, content: ReportContent, about: About, sound: bool, sound_ms: float
) -> Iterator[str]:
    end_ms = sound_end_ms(trace) if sound else 0.0
    yield f"<header><h1>{safe(about.agent or 'session')}</h1>{_subtitle(content, about)}</header>"
    yield _tiles(content, trace)
    if end_ms > 0:
        rows = "".join(waveform_rows(trace, content, end_ms))
        under = f'<div class="key">{key(content.turns)}</div>{_hint(sound_ms, end_ms)}'
        yield _section("The conversation", f'<div class="rows">{rows}</div>{under}')
    yield _section("Where the time went", _percentiles(content))
    if content.notes:
        yield _section("Notices and errors", f'<div class="wide">{_notes(content)}</div>')
    yield _section("What was said", f"{''.join(islice(cards(content), MOST_CARDS))}{_omitted(content)}")
    if calls := content.calls.get(None):
        yield _section("Calls of tools outside of turns", f"<article>{calls_html(calls)}</article>")
    if accounts := content.accounts.get(None):
        yield _section("Speech that became no turn", f"<article>{accounts_html(accounts)}</article>")
    yield _section("Cost", _usage(content.spent))
    yield _section("Settings", _settings(about))


def _section(title: str, html: str) -> str:
    return f"<section><h2>{title}</h2>{html}</section>"


def _omitted(content: ReportContent) -> str:
    more = len(content.turns) - MOST_CARDS
    return f'<p class="quiet">{count(more, "more turn")}: `workbench sessions show`</p>' if more > 0 else ""


def _subtitle(content: ReportContent, about: About) -> str:
    providers = content.started.providers if content.started else {}
    names = " · ".join(f"{plain(stage, 20)} {plain(name, 60)}" for stage, name in providers.items())
    words = [
        about.date,
        f"session {about.session}",
        f"profile {about.profile}" if about.profile else "",
        names,
    ]
    return f'<div class="quiet">{" · ".join(safe(word, 500) for word in words if word)}</div>'


def _tiles(content: ReportContent, trace: Trace) -> str:
    latency = content.latency
    summary = latency.to_json()["summary"]
    turns = ", ".join(f"{summary[state]} {state}" for state in ("done", "cut", "failed") if summary[state])
    tiles = [
        (clock(trace.now()) if trace.now() == trace.now() else "–", "long"),
        (str(summary["turns"]), f"turns: {turns}" if turns else "turns"),
        *((ms(latency.percentile(percent)), f"heard after, p{percent}") for percent in PERCENTILES),
        (str(summary["n"]), "turns in the percentiles"),
        (money(content.spent), "cost"),
    ]
    return "".join(
        [
            '<div class="tiles">',
            *(f'<div class="tile"><b>{value}</b><small>{label}</small></div>' for value, label in tiles),
            "</div>",
        ]
    )


def _hint(sound_ms: float, end_ms: float) -> str:
    words = (
        "You above, the agent below; between them what you waited for. A click on a turn plays it, one beside it plays "
        "on from there."
    )
    if sound_ms < end_ms - 1000:
        words += f" The sound in this page ends at {clock(sound_ms)}."
    return f'<p class="quiet">{words}</p>'


def _percentiles(content: ReportContent) -> str:
    """Return a table of each part's percentiles over the turns that compare; the sums are not those of a turn."""
    turns = [turn for turn in content.turns if kind_of(turn) == "done"]
    if not turns:
        words = "No turn compares: an answer has to be heard, whole and not the first of its provider."
        return f'<p class="quiet">{words}</p>'
    rows = [
        [
            f"<b>{name}</b>" if name == "heard after" else name,
            *(ms(percentile(values, percent)) for percent in PERCENTILES),
        ]
        for name, values in (
            ("heard after", [turn.heard_latency_ms or 0.0 for turn in turns]),
            *((part_label(part), [turn.parts_ms.get(part, 0.0) for turn in turns]) for part in ORDER),
        )
        if any(abs(value) >= LAYOUT_MS for value in values)
    ]
    others = {kind: number for kind, number in sorted(content.latency.kinds.items()) if kind != "done"}
    left_out = ", ".join(f"{number} {kind}" for kind, number in others.items())
    note = f"n = {len(turns)}" + (f"; not among them: {left_out}" if left_out else "")
    head = ["waited for", *(f"p{percent}" for percent in PERCENTILES)]
    return f'<div class="wide">{table(head, rows)}</div><p class="quiet">{note}</p>'


def _notes(content: ReportContent) -> str:
    rows = [
        [
            clock(note.t_ms),
            f'<span class="{"error" if note.state in ("error", "failed") else "quiet"}">{note.state}</span>',
            safe(note.text, 1000) + (f"<br>→ {safe(note.hint, 500)}" if note.hint else ""),
        ]
        for note in content.notes
    ]
    more = f'<p class="quiet">and {content.notes_omitted} more</p>' if content.notes_omitted else ""
    return table(["at", "", ""], rows) + more


def _usage(spent: Mapping[str, float | None]) -> str:
    if not spent:
        return '<p class="quiet">Nobody counted.</p>'
    rows = [
        [safe(name.replace("_", " "), 60), "–" if value is None else f"{value:,.6g}"]
        for name, value in islice(spent.items(), 50)
        if not name.startswith("cost")
    ]
    return table(["", ""], [["<b>cost</b>", f"<b>{money(spent)}</b>"], *rows])


def _settings(about: About) -> str:
    """Return what the session was made with, as it was recorded: without secrets, and looked over once more."""

    def block(name: str, value: Any) -> str:
        text = redacted(json.dumps(value, indent=2, ensure_ascii=False, default=str))[:200_000]
        lines = "\n".join(escape(plain(line, 1000)) for line in text.split("\n"))
        return f"<details><summary>{name}</summary><pre>{lines}</pre></details>"

    return block("settings", dict(about.settings)) + block("versions", dict(about.versions))


def _player(address: str) -> str:
    sides = "".join(
        f'<label><input type="radio" name="side" value="{side}"{" checked" * (side == "both")}> {label}</label>'
        for side, label in (("both", "both"), ("user", "you"), ("agent", "agent"))
    )
    return f'<div class="player"><audio controls preload="metadata" src="{address}"></audio><div>{sides}</div></div>'
