"""What the turn detector's model says of each pause: as it was recorded, or asked once, whatever settings are tried."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE, Frame
from workbench.model.errors import foreign
from workbench.replay.tune.detectors import Detectors
from workbench.replay.tune.silences import Silence
from workbench.trace.track import Track

NEAR = INPUT_RATE // 16
"""Pauses that begin so close to each other are the same one, samples: 62 ms."""
TOOK_MS = 100.0
"""How long the model is taken to need, ms: what it takes on a busy core. So a loaded machine changes no figure."""


class Estimates:
    """Probabilities that a turn is over, by where the pause begins."""

    def __init__(self, recorded: Iterable[tuple[int, float, float]]) -> None:
        """`recorded` are position, probability and how long the model took, ms."""
        self._known: dict[int, tuple[float, float] | None] = {
            position: (probability, took_ms) for position, probability, took_ms in recorded
        }

    def of(self, silence: Silence) -> tuple[float, float] | None:
        """Return the probability for a silence and how long it took, ms; None where there is none."""
        position = _nearest(silence.speech_end, sorted(self._known))
        return None if position is None else self._known[position]

    def add(self, speech_end: int, probability: float | None) -> None:
        """Set what the model says of the pause that begins there; None for no opinion."""
        self._known[speech_end] = None if probability is None else (probability, TOOK_MS)

    def unknown(self, silences: Iterable[Silence]) -> list[tuple[int, int, int]]:
        """Return those of which nothing is known, each once: where the utterance began, the speech ended, and the pause
        was noticed."""
        known, asked = sorted(self._known), list[tuple[int, int, int]]()
        for silence in sorted(silences, key=lambda silence: silence.speech_end):
            last = asked[-1][1] if asked else -NEAR - 1
            if silence.speech_end - last > NEAR and _nearest(silence.speech_end, known) is None:
                asked.append((silence.start, silence.speech_end, silence.noticed))
        return asked


def _nearest(position: int, known: Sequence[int]) -> int | None:
    """Return the nearest of ascending positions, None where none is near."""
    at = bisect_left(known, position)
    near = min(known[max(0, at - 1) : at + 1], key=lambda each: abs(each - position), default=None)
    return near if near is not None and abs(near - position) <= NEAR else None


async def estimate_ends(
    detectors: Detectors, track: Track, pauses: Sequence[tuple[int, int, int]], language: str
) -> list[float | None]:
    """Return the probability, by the turn detector's model, that a turn is over in each pause: of an utterance that
    began at one position, had its last speech at the second, and was silent up to the third."""
    estimates: list[float | None] = []
    async with detectors.make_turn() as detector:
        if not detector.assesses:
            return [None] * len(pauses)
        await detector.warm()
        for start, speech_end, noticed in pauses:
            utterance = Utterance(0, start)
            utterance.language = language
            utterance.append(Frame(track.read(start, noticed), INPUT_RATE, start))
            utterance.become("paused", speech_end)
            with foreign("the turn detector", "turn"):
                estimates.append(await detector.assess(utterance))
    return estimates
