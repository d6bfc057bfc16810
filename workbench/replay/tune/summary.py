"""What tuning came to, in words: figures, points, silences and changes, as every front end writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from workbench.model.audio import INPUT_RATE
from workbench.replay.tune.figures import TunePoint, operating_points
from workbench.replay.tune.truth import TrueSilence
from workbench.replay.tune.tuning import ChangedSilence, TuneResult
from workbench.views.format import DASH, NBSP, count, ms

FEW = 20
"""With fewer pauses or ends than these, a figure is a matter of chance."""


def overview(result: TuneResult) -> str:
    """Return what was scored."""
    ends = result.count("end")
    counts = f"{count(result.count('pause'), 'pause')} within turns, {count(ends, 'end')} of turns"
    tried = count(len(result.points), "combination")
    return f"{count(len(result.recordings), 'recording')}: {counts}; {tried} of settings tried"


def caution(result: TuneResult) -> str:
    """Return a warning where there is too little to go by, else nothing."""
    fewest = min(result.count("pause"), result.count("end"))
    return (
        ""
        if fewest >= FEW
        else f"these are few: one more changes a figure by {100 / max(1, fewest):.0f}{NBSP}%"
    )


def budgets(result: TuneResult) -> list[tuple[str, str]]:
    """Return eot-bench's operating points, by name, of all that was tried."""
    figures = operating_points(result.points)
    return [
        (
            _budget_name(name),
            DASH if value is None else f"{value:g}{NBSP}{'%' if 'percent' in name[-7:] else 'ms'}",
        )
        for name, value in figures.items()
    ]


def _budget_name(name: str) -> str:
    words = name.removesuffix("_percent") if name.startswith("false") else name.removesuffix("_ms")
    return words.replace("_ms", f"{NBSP}ms").replace("_percent", f"{NBSP}%").replace("_", " ")


def share(point: TunePoint) -> str:
    """Return a point's false cutoffs: `6 of 17 (35 %)`."""
    return f"{point.cutoffs} of {point.pauses} ({point.cutoff_rate * 100:.0f}{NBSP}%)"


def settings_text(settings: Mapping[str, Any]) -> str:
    """Return settings as they are typed: `turn.silence_ms=200 turn.adapt=false`."""
    return " ".join(f"{name}={_value(value)}" for name, value in settings.items()) or "as they are in use"


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def clock(sample: int) -> str:
    """Return a position on `user` as `1:02.50`."""
    minutes, seconds = divmod(sample / INPUT_RATE, 60)
    return f"{int(minutes)}:{seconds:05.2f}"


def span(silence: TrueSilence) -> str:
    """Return from when to when a silence is."""
    return f"{clock(silence.start)}–{clock(silence.stop)}"


def became(change: ChangedSilence) -> str:
    """Return what is different in a silence: `cut after 430 ms → not cut`, `answered after 430 ms → 330 ms`."""
    before, after = change.before_ms, change.after_ms
    if change.silence.label == "pause":
        return _arrow(_cut(before), _cut(after))
    return f"answered after {_arrow(_answered(before), _answered(after))}"


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def _cut(after_ms: float | None) -> str:
    return "not cut" if after_ms is None else f"cut after {ms(after_ms)}"


def _answered(after_ms: float | None) -> str:
    return "never" if after_ms is None else ms(after_ms)


def to_json(result: TuneResult, chosen: TunePoint) -> dict[str, Any]:
    """Return the summary of `--json`."""
    return {
        "recordings": [str(each.folder) for each in result.recordings],
        "pauses": result.count("pause"),
        "ends": result.count("end"),
        "unclear": result.count("unclear"),
        "points": len(result.points),
        **operating_points(result.points),
        "in_use": result.in_use.to_json(),
        "chosen": chosen.to_json(),
        "front": [point.to_json() for point in result.front],
        "changes": [_change_json(change) for change in result.changes(chosen)],
    }


def _change_json(change: ChangedSilence) -> dict[str, Any]:
    return {
        "recording": str(change.folder),
        **silence_json(change.number, change.silence),
        "before_ms": change.before_ms,
        "after_ms": change.after_ms,
    }


def silence_json(number: int, silence: TrueSilence) -> dict[str, Any]:
    """Return a silence as `--json` shows it."""
    return {
        "silence": number,
        "start_s": round(silence.start / INPUT_RATE, 3),
        "end_s": round(silence.stop / INPUT_RATE, 3),
        "label": silence.label,
        "by_hand": silence.corrected,
        "text": silence.text,
    }
