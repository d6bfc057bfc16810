"""What a two-channel capture says of who spoke when: left the user, right the agent. Prints JSON.

    python -m bench._capture CAPTURE.wav [--spans]        # --spans: each side's sounds as they are, for `polite`

Shares no code with what it checks: a window of 5 ms every millisecond is heard when it is above −50 dBFS; half a second
without one ends a stretch of speech.
"""

from __future__ import annotations

import json
import sys
import wave
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAUSE_S = 0.5


def stretches(channel: NDArray[np.int16], rate: int, pause_s: float = PAUSE_S) -> list[tuple[float, float]]:
    """Begin and end of each stretch of sound, s."""
    step, window = rate // 1000, rate // 200
    power = np.concatenate(([0.0], np.cumsum(channel.astype(np.float64) ** 2)))
    starts = np.arange(0, len(channel) - window, step)
    heard = starts[(power[starts + window] - power[starts]) / window >= (32768 * 10 ** (-50 / 20)) ** 2]
    if not len(heard):
        return []
    breaks = np.flatnonzero(np.diff(heard) > pause_s * rate)
    begins = (
        heard[np.concatenate(([0], breaks + 1))] + window - step
    )  # the first sample that made it loud enough
    ends = heard[np.concatenate((breaks, [len(heard) - 1]))] + step
    return [(float(begin / rate), float(end / rate)) for begin, end in zip(begins, ends, strict=True)]


def replies(left: list[tuple[float, float]], right: list[tuple[float, float]]) -> list[dict[str, float]]:
    """For each answer: when the user's speech before it ended, when it began, s."""
    found: list[dict[str, float]] = []
    for begin, _ in right:
        before = [end for _, end in left if end < begin]
        if before and (not found or before[-1] > found[-1]["user_end_s"]):
            found.append({"user_end_s": before[-1], "agent_start_s": begin})
    return found


def main(path: str, *, spans: bool) -> list[dict[str, Any]] | dict[str, list[tuple[float, float]]]:
    """The answers in a capture, or the sounds of both sides."""
    with wave.open(path, "rb") as file:
        samples = np.frombuffer(file.readframes(1 << 30), np.int16).reshape(-1, 2)
        rate = file.getframerate()
    if spans:
        return {
            side: stretches(samples[:, column], rate, 0.02) for column, side in enumerate(("left", "right"))
        }
    return replies(stretches(samples[:, 0], rate), stretches(samples[:, 1], rate))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], spans="--spans" in sys.argv)))
