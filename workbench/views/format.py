"""Figures with their units, the marks of a turn and the summary of many, as every front end writes them.

Between a figure and its unit stands a no-break space: a line never ends there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from workbench.readers.latency import PERCENTILES, LatencySummary
from workbench.readers.timeline import Turn

NBSP = "\N{NO-BREAK SPACE}"
DASH = "–"
"""In place of a figure that is not there."""


def ms(value: float | None) -> str:
    """Return `612 ms`, or a dash for None."""
    return DASH if value is None else f"{value:.0f}{NBSP}ms"


def signed_ms(value: float) -> str:
    """Return a difference: `+12 ms`, `-3 ms`."""
    return f"{value:+.0f}{NBSP}ms"


def count(number: int, noun: str) -> str:
    """Return `1 turn`, `2 turns`, `2 replies`."""
    plural = re.sub(r"(?<![aeiou])ys$", "ies", f"{noun}s")
    return f"{number} {noun if number == 1 else plural}"


def money(usage: Mapping[str, float | None]) -> str:
    """Return what something cost: `$0.0042`, `≥ $0.0042` where the price of a part is not known; a dash if of all."""
    cost, least = usage.get("cost"), usage.get("cost_at_least") or 0.0
    if cost is not None:
        return _dollars(cost)
    return f"≥{NBSP}{_dollars(least)}" if least else DASH


def _dollars(usd: float) -> str:
    digits = 2 if usd >= 0.1 else min(8, 1 - math.floor(math.log10(usd))) if usd > 0 else 0
    return f"${usd:.{digits}f}"


def part_label(part: str) -> str:
    """Return a part's name for people: `llm_first_token` is `LLM first token`."""
    words = part.replace("_", " ")
    return words.replace("tts", "TTS").replace("stt", "STT").replace("llm", "LLM").replace("cpu", "CPU")


def marks(turn: Turn) -> str:
    """Return what is special about a turn (`cut · cold · 2 discarded`), empty for most."""
    words: list[str] = [turn.status] if turn.status != "done" else []
    words += ["cold"] if turn.cold else []
    words += ["reopened" if turn.reopened == 1 else f"reopened ×{turn.reopened}"] if turn.reopened else []
    words += [f"{turn.discarded_replies} discarded"] if turn.discarded_replies else []
    words += [f"{ms(turn.overlap_ms)} overlap"] if turn.overlap_ms else []
    return " · ".join(words)


def title(turn: Turn) -> str:
    """Return `Turn 3 · cut · cold`."""
    return " · ".join(filter(None, [f"Turn {turn.turn}", marks(turn)]))


def percentiles(summary: LatencySummary, percents: Iterable[int] = PERCENTILES) -> str:
    """Return `p50 612 ms, p95 840 ms (n 4)`; empty while no turn counts."""
    if not summary.values_ms:
        return ""
    figures = ", ".join(f"p{percent} {ms(summary.percentile(percent))}" for percent in percents)
    return f"{figures} (n {len(summary.values_ms)})"


def summarize(turns: Iterable[Turn] | LatencySummary, percents: Sequence[int] = (50, 95)) -> str:
    """Return `5 turns · heard after p50 612 ms, p95 840 ms (n 4) · 1 cold`; turns named by kind are not in the
    percentiles.
    """
    summary = turns if isinstance(turns, LatencySummary) else LatencySummary(turns)
    figures = percentiles(summary, percents)
    words = [count(summary.kinds.total(), "turn")] + ([f"heard after {figures}"] if figures else [])
    words += [f"{number} {kind}" for kind, number in sorted(summary.kinds.items()) if kind != "done"]
    return " · ".join(words)
