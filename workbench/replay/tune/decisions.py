"""What the turn detector decides in each silence, with many settings at once.

It is the detector of a session that is asked (`wait_ms`, `hold_ms`, `paused`), on utterances as they were: their
sound, words and the model's estimate come when they came. A turn runs to its end whatever is decided, so that each
silence is a decision of its own, as in livekit/eot-bench. A decision counts from when a reply may be heard: the silence
has lasted for what endpointing waits, and for as long as replies are held back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from workbench.engine.endpointing import SilenceTurn
from workbench.engine.interfaces import TurnDetector
from workbench.engine.listening import TEACHES_MS
from workbench.engine.settings import TurnSettings
from workbench.engine.utterance import Estimate, Utterance
from workbench.model.audio import INPUT_RATE, Frame
from workbench.model.conversation import Transcript
from workbench.model.errors import foreign
from workbench.replay.tune.detectors import Detectors
from workbench.replay.tune.recording import TuneRecording, WordsArrival
from workbench.replay.tune.silences import FRAME, Silence
from workbench.trace.track import Track

NEVER = np.iinfo(np.int64).max
"""The position of what is not decided."""
PER_MS = INPUT_RATE // 1000
OWNER = "the turn detector", "turn"
LONGEST_FRAMES = 1e9
"""Frames that nobody waits for."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A silence with the turn detector's estimate of it, and how long that took, ms; None where there is none. Whether
    the user went on in the same turn (`goes_on`) is what the detector may learn from."""

    silence: Silence
    estimate: tuple[float, float] | None
    goes_on: bool


def decide(
    recording: TuneRecording,
    track: Track,
    detectors: Detectors,
    silences: Sequence[Judged],
    grid: Sequence[TurnSettings],
) -> NDArray[np.int64]:
    """Return the position from which on a reply may be heard in each silence with each of the settings, NEVER where
    the user speaks again before; shape (silences, settings). Each of the settings has a detector of its own, which
    learns from the pauses."""
    made = [detectors.make_turn() for _ in grid]
    steady = all(isinstance(detector, SilenceTurn) for detector in made)
    positions = np.full((len(silences), len(grid)), NEVER, dtype=np.int64)
    utterance: Utterance | None = None
    for row, judged in enumerate(silences):
        silence = judged.silence
        if utterance is None or utterance.id != silence.utterance:
            utterance = _begin(recording, silence)
        _hear(utterance, track, silence.noticed)
        utterance.become("paused", silence.speech_end)
        decision = _SilenceDecision(len(grid), silence)
        for at, until in _moments(recording, utterance, judged, every_frame=not steady):
            _hear(utterance, track, at)
            decision.take(at, until, utterance, made, grid)
        positions[row] = decision.audible
        _hear(utterance, track, silence.stop)
        utterance.become("speaking")
        _teach(made, judged)
    return positions


def _begin(recording: TuneRecording, silence: Silence) -> Utterance:
    utterance = Utterance(silence.utterance, silence.start)
    utterance.onset = silence.onset
    utterance.language = recording.language
    utterance.question = recording.question(silence.onset)
    return utterance


def _hear(utterance: Utterance, track: Track, until: int) -> None:
    """Give the utterance its sound up to there."""
    if until > utterance.end:
        utterance.append(Frame(track.read(utterance.end, until), INPUT_RATE, utterance.end))


def _teach(detectors: Sequence[TurnDetector], judged: Judged) -> None:
    ms = (judged.silence.stop - judged.silence.speech_end) / PER_MS
    if judged.goes_on and ms < TEACHES_MS:
        with foreign(*OWNER):
            for detector in detectors:
                detector.paused(ms, went_on=True)


def _moments(
    recording: TuneRecording, utterance: Utterance, judged: Judged, *, every_frame: bool
) -> Iterator[tuple[int, int]]:
    """Yield the stretches of a silence in which nothing new becomes known; in each the utterance knows what is."""
    silence = judged.silence
    arrivals = [each for each in recording.words if each.at < silence.stop and _belongs(each, silence)]
    changes = {silence.noticed, *(each.at for each in arrivals if each.at > silence.noticed)}
    estimated = NEVER
    if judged.estimate is not None:
        estimated = silence.noticed + round(judged.estimate[1] * PER_MS)
        changes.add(estimated)
    if every_frame:
        changes.update(range(silence.noticed, silence.stop, FRAME))
    moments = sorted(change for change in changes if change < silence.stop)
    for at, until in pairwise([*moments, silence.stop]):
        utterance.transcript = transcript_of([each for each in arrivals if each.at <= at])
        if judged.estimate is not None and at >= estimated:
            utterance.estimate(Estimate(judged.estimate[0], silence.speech_end))
        yield at, until


def _belongs(words: WordsArrival, silence: Silence) -> bool:
    """Whether the recorded utterance of these words lies within the one that is heard again."""
    return silence.start - INPUT_RATE <= words.onset < silence.stop


def transcript_of(arrivals: Sequence[WordsArrival]) -> Transcript | None:
    """Return what was transcribed of an utterance, perhaps recorded as several; None before anything was. It is never
    final: the user may go on."""
    texts: dict[int, WordsArrival] = {}
    for words in arrivals:
        texts[words.utterance] = words
    if not texts:
        return None
    last = texts[max(texts)]
    text = " ".join(filter(None, (texts[key].text.strip() for key in sorted(texts))))
    return Transcript(text, last.upto, stable=last.stable, confidence=last.confidence)


class _SilenceDecision:
    """When the turn is over in a silence with each of the settings, and a reply may be heard."""

    def __init__(self, count: int, silence: Silence) -> None:
        self._silence = silence
        self._ended = np.full(count, NEVER, dtype=np.int64)
        self.audible = np.full(count, NEVER, dtype=np.int64)

    def take(
        self,
        at: int,
        until: int,
        utterance: Utterance,
        detectors: Sequence[TurnDetector],
        grid: Sequence[TurnSettings],
    ) -> None:
        """From `at` to `until` nothing new becomes known."""
        open_ = np.flatnonzero(self._ended == NEVER)
        with foreign(*OWNER):
            waits = [float(detectors[n].wait_ms(utterance, grid[n])) for n in open_.tolist()]
        due = self._due(at, waits)
        self._ended[open_[due < until]] = due[due < until]
        silent = np.flatnonzero((self._ended != NEVER) & (self.audible == NEVER))
        with foreign(*OWNER):
            holds = [float(detectors[n].hold_ms(utterance, grid[n])) for n in silent.tolist()]
        audible = np.maximum(self._due(at, holds), self._ended[silent])
        self.audible[silent[audible < until]] = audible[audible < until]

    def _due(self, at: int, waits_ms: Sequence[float]) -> NDArray[np.int64]:
        """Return the frame at whose end a silence has lasted so long, not before `at`; NEVER for infinity."""
        silence = self._silence
        waits = np.array(waits_ms, dtype=np.float64)
        frames = np.ceil((silence.speech_end + waits * PER_MS - silence.noticed) / FRAME)
        frames = np.maximum(frames, math.ceil((at - silence.noticed) / FRAME))
        due = np.full(len(waits), NEVER, dtype=np.int64)
        within = frames < LONGEST_FRAMES
        due[within] = silence.noticed + frames[within].astype(np.int64) * FRAME
        return due
