"""What it costs the kernel to draw again what a notebook shows: a live figure, and what stays of a live widget.

It is drawn when a turn has ended, in a thread beside the conversation. Each drawing is measured after 10, 100 and 1,000
turns, then a loop that wakes every 20 ms, like the engine's, says how late it wakes while one drawing follows another.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

from bench._figures import Promise, percentile, run, spread, tell
from workbench.model.events import Heard, Span, TurnDecided, TurnEnded
from workbench.readers.timeline import Turn
from workbench.views.figures import Drawing, draw_all_bars, draw_latencies, draw_summary
from workbench.views.live_output import SHARE
from workbench.views.trace import OpenTrace

TURNS = (10, 100, 1000)
ROUNDS = 10
DRAWINGS: dict[str, Callable[[Sequence[Turn]], Drawing]] = {
    "latency": draw_latencies,
    "waterfall": draw_all_bars,
    "saved": draw_summary,
}
LOOP_S = 0.02


def trace(turns: int) -> OpenTrace:
    """A session of so many turns."""
    made = OpenTrace(lambda: turns * 1e4)
    for turn in range(1, turns + 1):
        at = turn * 1e4
        made.emit(TurnDecided(turn, turn))
        made.emit(Span("stt", at, at + 300, utterance=turn))
        made.emit(Heard(turn, 0, at, 0, at + 600 + turn % 90))
        made.emit(TurnEnded(turn, "done", "What is it?", "It is a fine day."))
    return made


def timed_ms(draw: Callable[[], object]) -> float:
    began = time.perf_counter()
    draw()
    return (time.perf_counter() - began) * 1000


async def lateness_ms(draw: Callable[[], object] | None) -> list[float]:
    """How late a loop wakes, beside a thread that draws without a pause."""
    enough = threading.Event()

    def drawing() -> None:
        while draw is not None and not enough.is_set():
            draw()

    thread = threading.Thread(target=drawing)
    thread.start()
    late = []
    for _ in range(200):
        due = time.perf_counter() + LOOP_S
        await asyncio.sleep(LOOP_S)
        late.append((time.perf_counter() - due) * 1000)
    enough.set()
    await asyncio.to_thread(thread.join)
    return late


def drawn(draw: Callable[[Sequence[Turn]], Drawing], turns: Sequence[Turn]) -> list[float]:
    """ms of each drawing; the first one, which loads fonts, aside."""
    draw(turns).bundle()
    return [timed_ms(lambda: draw(turns).bundle()) for _ in range(ROUNDS)]


def main() -> None:
    figures: dict[str, object] = {}
    saved_ms: float | None = None
    for count in TURNS:
        turns = trace(count).turns
        for name, draw in DRAWINGS.items():
            times = drawn(draw, turns)
            figures[f"{name}, {count} turns, ms"] = spread(times)
            if (name, count) == ("saved", 100):
                saved_ms = percentile(times, 50)
    turns = trace(100).turns
    alone = asyncio.run(lateness_ms(None))
    beside = asyncio.run(lateness_ms(lambda: draw_summary(turns).bundle()))
    figures["a loop wakes late, alone, p95 ms"] = percentile(alone, 95)
    tell(
        "redraw",
        [
            Promise("what stays of a live widget, drawn after 100 turns, p50", saved_ms, 250, "ms"),
            Promise(
                "a 20 ms loop beside one drawing after another, late p95", percentile(beside, 95), 40, "ms"
            ),
        ],
        {"rounds": ROUNDS, "of the time, drawing takes at most": f"{SHARE:.0%}"},
        figures,
    )


if __name__ == "__main__":
    run(main)
