"""The track `user` heard again: `Listening` with other settings of the VAD, on probabilities that are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.engine.interfaces import TurnDetector
from workbench.engine.listening import (
    Dismissal,
    EndOfUtterance,
    Listening,
    ListeningEvent,
    Onset,
    Pause,
    Reopening,
    Resumption,
)
from workbench.engine.settings import EngineSettings, TurnSettings, VadSettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE, Frame, Samples
from workbench.trace.trace import Trace
from workbench.trace.track import LiveTrack, Track

FRAME = INPUT_RATE // 50
"""Samples of a frame."""
READ_S = 60
"""Sound read at a time, s."""
KEPT_S = 8.0
"""Sound that the VAD's end of speech is searched in, s."""
LONGEST_S = 600.0
"""An utterance that is heard again may be so long, s: where it was cut for its length is not the question here."""


@dataclass(frozen=True, slots=True)
class Silence:
    """The user is silent: a pause within an utterance, or the end of one. Positions are samples of `user`."""

    utterance: int
    start: int
    """The first sample of the utterance."""
    onset: int
    """Where its speech began."""
    resumed: int
    """Where the speech before the silence began."""
    speech_end: int
    noticed: int
    """Where the pause was noticed."""
    stop: int
    """Where the user speaks again, or the track ends."""


class KnownVad:
    """Gives probabilities that were computed before."""

    def __init__(self, window: int, probabilities: NDArray[np.float32]) -> None:
        self.window = window
        self._probabilities = iter(probabilities.tolist())

    def __call__(self, samples: Samples) -> float:
        """Return the next one; 0 after the last."""
        return float(next(self._probabilities, 0.0))

    def reset(self) -> None:
        """There is no state."""


class KnownEnd(TurnDetector):
    """Ends an utterance in those silences that are known to be ends: `wait` tells after how many ms."""

    def __init__(self, wait: Callable[[int], float]) -> None:
        self._wait = wait

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """Return the silence after which it is over, ms."""
        return self._wait(utterance.speech_end)

    def paused(self, ms: float, *, went_on: bool) -> None:
        """Learn nothing."""


def find_silences(
    track: Track,
    window: int,
    probabilities: NDArray[np.float32],
    settings: VadSettings,
    wait: Callable[[int], float],
) -> list[Silence]:
    """Return the silences of a track in order, with those settings of the VAD. An utterance ends after `wait(end of its
    speech)` ms of silence. About 1 s for ten minutes."""
    engine = EngineSettings(vad=settings, turn=TurnSettings(max_utterance_s=LONGEST_S))
    trace = Trace(lambda: 0.0, keep=10)
    listening = Listening(
        KnownVad(window, probabilities), KnownEnd(wait), engine, trace, LiveTrack("user", INPUT_RATE, KEPT_S)
    )
    collected = _Collected()
    for frame in _frames(track):
        for event in listening.feed(frame):
            collected.take(event)
    collected.close(track.end)
    return collected.silences


def _frames(track: Track) -> Iterator[Frame]:
    size = READ_S * INPUT_RATE
    for start in range(0, track.end, size):
        piece = track.read(start, min(track.end, start + size))
        for at in range(0, len(piece), FRAME):
            yield Frame(piece[at : at + FRAME], INPUT_RATE, start + at)


class _Collected:
    """Makes silences of what `Listening` says."""

    def __init__(self) -> None:
        self.silences: list[Silence] = []
        self._open: tuple[int, int, int, int, int, int] | None = None

    def take(self, event: ListeningEvent) -> None:
        """Take the next event."""
        utterance = event.utterance
        match event:
            case Onset() | Resumption() | Reopening():
                self.close(utterance.resumed_at)
            case Pause():
                self._open = (
                    utterance.id,
                    utterance.start_sample,
                    utterance.onset,
                    utterance.resumed_at,
                    utterance.speech_end,
                    utterance.end,
                )
            case EndOfUtterance():
                utterance.committed = True  # what comes next is another one
            case Dismissal():
                pass

    def close(self, stop: int) -> None:
        """The silence ends there."""
        if self._open is not None:
            self.silences.append(Silence(*self._open, max(stop, self._open[-1])))
            self._open = None
