"""Recordings scored step by step, each step in tasks that any process can do: read, listen, estimate, decide."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from workbench.engine.interfaces import TurnDetector
from workbench.engine.settings import TurnSettings, VadSettings
from workbench.model.audio import INPUT_RATE
from workbench.model.errors import UsageError
from workbench.replay.tune.decisions import Judged, decide
from workbench.replay.tune.detectors import Detectors
from workbench.replay.tune.estimates import NEAR, Estimates, estimate_ends
from workbench.replay.tune.figures import SilenceOutcome, outcome
from workbench.replay.tune.grid import Combination
from workbench.replay.tune.labels import FILE, read_labels
from workbench.replay.tune.recording import TuneRecording, read_recording
from workbench.replay.tune.silences import Silence, find_silences
from workbench.replay.tune.truth import KnownTurns, TrueSilence, correct, true_silences
from workbench.replay.tune.workers import Workers
from workbench.trace.store import open_trace
from workbench.trace.track import Track

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
CHUNK = 100
"""Settings that a task tries."""
ESTIMATES = 20
"""Pauses that a task has judged."""
READ_S, LISTEN_S, ESTIMATE_S, DECIDE_S = 0.01, 0.003, 0.12, 2e-5
"""What it costs to read a second of sound, to listen to one, to judge a pause, to decide a silence with settings, s."""


class ScoringProgress(Protocol):
    """Is told what is to be done and what has been, in seconds of work."""

    def expect(self, seconds: float) -> None:
        """So much work is to be done in addition."""

    def advance(self, seconds: float) -> None:
        """So much of it has been done."""


@dataclass(frozen=True, slots=True)
class ScoredRecording:
    """A recording, its silences that count, and what became of them with each of the settings."""

    folder: Path
    silences: tuple[TrueSilence, ...]
    outcome: SilenceOutcome


# --- tasks: values that can be sent to another process, and what is done with each -----------------------------------


@dataclass(frozen=True, slots=True)
class ReadTask:
    """Read a recording, and find its silences."""

    folder: Path
    detectors: Detectors
    seconds: float

    def do(self) -> LabelledRecording:
        """Return the recording with the silences that count. Raises UsageError."""
        return read_labelled(self.folder, self.detectors)


@dataclass(frozen=True, slots=True)
class LabelledRecording:
    """A recording, and its silences that count."""

    recording: TuneRecording
    silences: tuple[TrueSilence, ...]


@dataclass(frozen=True, slots=True)
class ListenTask:
    """Hear a recording again with other settings of the VAD."""

    read: LabelledRecording
    vad: VadSettings

    @property
    def seconds(self) -> float:
        """What it costs, s."""
        return LISTEN_S * self.read.recording.seconds

    def do(self) -> list[Silence]:
        """Return the silences as they are heard then."""
        recording, turns = self.read.recording, KnownTurns(self.read.silences)
        track = track_of(recording.folder)
        return find_silences(track, recording.window, recording.probabilities, self.vad, turns.wait_ms)


@dataclass(frozen=True, slots=True)
class EstimateTask:
    """Have the turn detector's model judge pauses of a recording."""

    recording: TuneRecording
    detectors: Detectors
    pauses: tuple[tuple[int, int, int], ...]

    @property
    def seconds(self) -> float:
        """What it costs, s."""
        return ESTIMATE_S * len(self.pauses)

    def do(self) -> list[float | None]:
        """Return the probability that a turn is over in each of them; None for no opinion. Raises StageError."""
        track = track_of(self.recording.folder)
        return asyncio.run(estimate_ends(self.detectors, track, self.pauses, self.recording.language))


@dataclass(frozen=True, slots=True)
class DecideTask:
    """Put the silences of a recording to the turn detector with some settings, the columns of the result."""

    number: int
    """Of the recording."""
    read: LabelledRecording
    detectors: Detectors
    silences: tuple[Judged, ...]
    settings: tuple[TurnSettings, ...]
    columns: tuple[int, ...]

    @property
    def seconds(self) -> float:
        """What it costs, s."""
        return DECIDE_S * len(self.silences) * len(self.settings)

    def do(self) -> SilenceOutcome:
        """Return what became of the silences that count."""
        recording = self.read.recording
        positions = decide(
            recording, track_of(recording.folder), self.detectors, self.silences, self.settings
        )
        return outcome(self.read.silences, positions)


def track_of(folder: Path) -> Track:
    """Return the track `user` of a recording."""
    return open_trace(folder).tracks["user"]


def read_labelled(folder: Path, detectors: Detectors) -> LabelledRecording:
    """Return a recording and the silences that count, with labels by hand. Raises UsageError."""
    labels = read_labels(folder)
    recording = read_recording(folder, detectors)
    silences = true_silences(recording, track_of(folder))
    try:
        return LabelledRecording(recording, tuple(correct(silences, labels, NEAR)))
    except KeyError as error:
        (position,) = error.args
        reason = (
            f"{folder / FILE}: there is no silence at {position / INPUT_RATE:.2f} s (at_sample {position})"
        )
        raise UsageError(reason, "take that label out of the file") from None


class Task(Protocol[R_co]):
    """Work for any process."""

    @property
    def seconds(self) -> float:
        """What it costs, s."""

    def do(self) -> R_co:
        """Do it, and return what came of it."""


def _do(task: Task[R]) -> R:
    return task.do()


def _chunks(items: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    for at in range(0, len(items), size):
        yield tuple(items[at : at + size])


def _check(read: Sequence[LabelledRecording]) -> None:
    """Raise UsageError where no silence tells anything."""
    labels = {silence.label for each in read for silence in each.silences}
    reasons = {"end": "no turn ends in its sound", "pause": "no turn has a pause of 200 ms in it"}
    for label, reason in reasons.items():
        if label not in labels:
            names = str(read[0].recording.folder) if len(read) == 1 else f"the {len(read)} recordings"
            silences = sum(len(each.silences) for each in read)
            hint = (
                f"record more, with someone who hesitates; or correct one of {silences} silences by --label"
            )
            raise UsageError(f"{names} cannot be tuned by: {reason}", hint)


def _judged(read: LabelledRecording, silences: Sequence[Silence], estimates: Estimates) -> tuple[Judged, ...]:
    """Return the silences with their estimates, and whether the user goes on in the same turn."""
    turns = KnownTurns(read.silences)
    return tuple(
        Judged(
            silence,
            estimates.of(silence),
            (known := turns.at(silence.speech_end)) is None or known.label == "pause",
        )
        for silence in silences
    )


def _read_s(folder: Path) -> float:
    """Return what it costs to read a recording, s."""
    with suppress(OSError):
        return READ_S * (folder / "user.wav").stat().st_size / (2 * INPUT_RATE)
    return 0.0


# --- all of them -----------------------------------------------------------------------------------------------------


class Scoring:
    """Scores combinations of settings on recordings, by workers."""

    def __init__(
        self,
        workers: Workers,
        detectors: Detectors,
        combinations: Sequence[Combination],
        progress: ScoringProgress,
    ) -> None:
        self._workers = workers
        self._detectors = detectors
        self._combinations = combinations
        self._progress = progress
        by_vad: dict[str, list[int]] = {}
        for number, each in enumerate(combinations):
            by_vad.setdefault(each.vad.model_dump_json(), []).append(number)
        self._columns = [*by_vad.values()]
        """The combinations with the same settings of the VAD."""

    def _do(self, tasks: Sequence[Task[R]]) -> list[R]:
        self._progress.expect(sum(task.seconds for task in tasks))
        return self._workers.map(_do, tasks, lambda task: self._progress.advance(task.seconds))

    def score(self, folders: Sequence[Path]) -> list[ScoredRecording]:
        """Return the recordings with what became of their silences. Raises UsageError where none can be scored."""
        read = self._do([ReadTask(folder, self._detectors, _read_s(folder)) for folder in folders])
        _check(read)
        vads = [self._combinations[columns[0]].vad for columns in self._columns]
        heard = self._do([ListenTask(each, vad) for each in read for vad in vads])
        listened = [heard[at : at + len(vads)] for at in range(0, len(heard), len(vads))]
        estimates = self._estimates(read, listened)
        tasks = [
            task
            for number, each in enumerate(read)
            for silences, columns in zip(listened[number], self._columns, strict=True)
            for task in self._decisions(number, each, _judged(each, silences, estimates[number]), columns)
        ]
        outcomes = self._do(tasks)
        return [
            self._together(each, [(t, o) for t, o in zip(tasks, outcomes, strict=True) if t.number == number])
            for number, each in enumerate(read)
        ]

    def _estimates(
        self, read: Sequence[LabelledRecording], listened: Sequence[Sequence[Sequence[Silence]]]
    ) -> list[Estimates]:
        """Return the estimates of each recording's pauses: recorded ones, and the model's own of the others."""
        known = [Estimates(each.recording.estimates) for each in read]
        if type(self._detectors.make_turn()).assess is TurnDetector.assess:
            return known  # it has no model
        tasks = [
            (number, EstimateTask(each.recording, self._detectors, pauses))
            for number, (each, heard) in enumerate(zip(read, listened, strict=True))
            for pauses in _chunks(known[number].unknown(chain.from_iterable(heard)), ESTIMATES)
        ]
        results = self._do([task for _, task in tasks])
        for (number, task), probabilities in zip(tasks, results, strict=True):
            for (_, speech_end, _), probability in zip(task.pauses, probabilities, strict=True):
                known[number].add(speech_end, probability)
        return known

    def _decisions(
        self, number: int, read: LabelledRecording, silences: tuple[Judged, ...], columns: Sequence[int]
    ) -> Iterator[DecideTask]:
        for some in _chunks(columns, CHUNK):
            settings = tuple(self._combinations[column].turn for column in some)
            yield DecideTask(number, read, self._detectors, silences, settings, some)

    def _together(
        self, read: LabelledRecording, results: Sequence[tuple[DecideTask, SilenceOutcome]]
    ) -> ScoredRecording:
        count = len(self._combinations)
        replies = np.full((len(read.silences), count), np.inf, dtype=np.float32)
        stray = np.zeros(count, dtype=np.int64)
        for task, result in results:
            replies[:, task.columns] = result.replies_ms
            stray[[*task.columns]] = result.stray
        return ScoredRecording(read.recording.folder, read.silences, SilenceOutcome(replies, stray))


def work_s(folders: Sequence[Path], settings: int) -> float:
    """Return about what it costs to score so many settings on recordings, s of one core."""
    sound_s = sum(_read_s(folder) for folder in folders) / READ_S
    return sound_s * (READ_S + 3 * LISTEN_S + DECIDE_S * settings / 4)
