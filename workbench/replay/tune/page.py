"""`-o tune.html`: one self-contained page with the front, the settings on it, and what would change, to be heard."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from html import escape
from io import BytesIO

from workbench.model.audio import OUTPUT_RATE
from workbench.replay.tune.figures import TunePoint
from workbench.replay.tune.playback import sound_around
from workbench.replay.tune.scoring import ScoredRecording
from workbench.replay.tune.summary import became, budgets, caution, overview, settings_text, share, span
from workbench.replay.tune.svg import front_svg
from workbench.replay.tune.truth import TrueSilence
from workbench.replay.tune.tuning import ChangedSilence, TuneResult
from workbench.views.format import ms
from workbench.views.html import safe, table
from workbench.views.palette import css, dark_css
from workbench.views.trace import OpenTrace, open_trace

PLAYABLE = 60
"""Changes with sound, at most: 100 kB each."""
STYLE = """
:root{color-scheme:light dark}
body{margin:0 auto;max-width:880px;padding:1rem;font:15px/1.5 system-ui,sans-serif;background:var(--wb-paper);
color:var(--wb-ink)}
h1{font-size:1.3rem}h2{font-size:1.05rem;margin-top:2rem}
small,.quiet{color:var(--wb-quiet)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%}
th,td{padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--wb-track)}
code{font-size:.85em}
audio{height:32px;width:220px;max-width:100%}
svg{width:100%;height:auto}
svg text{fill:var(--wb-quiet);font-size:12px}
@media (max-width:560px){svg text{font-size:21px}}
.tried{fill:var(--wb-lane);opacity:.5}.front{fill:var(--wb-agent)}.used{fill:var(--wb-error)}
.chosen{fill:none;stroke:var(--wb-ink);stroke-width:2.5}
.line{fill:none;stroke:var(--wb-agent);stroke-width:1.5}
.axis{stroke:var(--wb-lane)}.budget{stroke:var(--wb-quiet);stroke-dasharray:2 4}
"""


def page(result: TuneResult, chosen: TunePoint) -> str:
    """Return the page: HTML without a script, and nothing is fetched."""
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>Endpointing, tuned</title>'
        f"<style>{css()}{dark_css()}{STYLE}</style></head>"
    )
    return f"{head}<body>{''.join(_parts(result, chosen))}</body></html>\n"


def _parts(result: TuneResult, chosen: TunePoint) -> Iterator[str]:
    yield f"<h1>When the user has finished</h1><p>{safe(overview(result))}</p>"
    if warning := caution(result):
        yield f"<p><b>{safe(warning)}</b></p>"
    yield f'<div class="wide">{front_svg(result, chosen)}</div>'
    yield (
        '<p class="quiet">Lower left is better. A false cutoff is a pause in which a reply could be heard though the '
        "user went on; latency is from the end of a turn to when the reply may be heard, mean. Point at a dot for its "
        "settings.</p>"
    )
    yield table(["of all that was tried", ""], [[safe(name), safe(value)] for name, value in budgets(result)])
    yield f"<h2>The front</h2>{_front(result, chosen)}"
    yield from _changes(result, chosen)
    for recording in result.recordings:
        yield _silences(recording)


def _front(result: TuneResult, chosen: TunePoint) -> str:
    off = [] if result.in_use in result.front else [(0, result.in_use)]
    rows = []
    for number, point in [*enumerate(result.front, 1), *off]:
        notes = ["in use"] if point is result.in_use else []
        notes += ["chosen"] if point is chosen else []
        figures = f"{ms(point.latency_ms)}<br>{share(point)}<br><b>{', '.join(notes)}</b>"
        rows.append([str(number or ""), figures, f"<code>{escape(settings_text(point.settings))}</code>"])
    return table(["", "latency, false cutoffs", "settings"], rows)


# --- what would change, and all silences -----------------------------------------------------------------------------


def _changes(result: TuneResult, chosen: TunePoint) -> Iterator[str]:
    if chosen is result.in_use:
        yield "<h2>What would change</h2><p>Nothing: the settings in use are chosen.</p>"
        return
    changes = result.changes(chosen)
    yield f"<h2>What would change</h2><p>with <code>{safe(settings_text(chosen.settings))}</code></p>"
    traces = {each.folder: open_trace(each.folder) for each in result.recordings}
    rows = [
        [
            f"{safe(change.folder.name, 40)} #{change.number}<br><small>{span(change.silence)}</small>",
            f"{_words(change.silence)}<br><b>{safe(became(change))}</b><br>"
            f"{_player(traces[change.folder], change) if row < PLAYABLE else ''}",
        ]
        for row, change in enumerate(changes)
    ]
    yield (
        table(["silence", "after the words, and what becomes of it"], rows)
        if rows
        else ("<p>No silence is decided otherwise; only by less than 100 ms.</p>")
    )


def _words(silence: TrueSilence) -> str:
    return f"{safe(silence.text[-160:]) or '(no words)'}<br><small>{safe(_what(silence))}</small>"


def _what(silence: TrueSilence) -> str:
    by = ", by hand" if silence.corrected else ""
    return {"pause": "a pause within the turn", "end": "the end of the turn"}.get(
        silence.label, "unclear"
    ) + by


def _player(trace: OpenTrace, change: ChangedSilence) -> str:
    """Return an element that plays both sides around the silence."""
    import soundfile  # 20 ms

    file = BytesIO()
    soundfile.write(file, sound_around(trace, change.silence), OUTPUT_RATE, format="FLAC")
    data = b64encode(file.getvalue()).decode()
    return f'<audio controls preload="none" src="data:audio/flac;base64,{data}"></audio>'


def _silences(recording: ScoredRecording) -> str:
    rows = [
        [
            f"#{number}",
            f"{span(silence)}<br><small>{ms(silence.ms)}</small>",
            _words(silence),
        ]
        for number, silence in enumerate(recording.silences, 1)
    ]
    head = f"every silence of {safe(recording.folder.name, 60)}"
    return f"<details><summary>{head}</summary>{table(['', 'when', 'after the words'], rows)}</details>"
