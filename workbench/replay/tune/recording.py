"""What scoring needs of a recorded session: VAD probabilities, words as they came, estimates, when the agent spoke."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine.question import question_in
from workbench.model.audio import INPUT_RATE
from workbench.model.errors import UsageError
from workbench.model.events import (
    EndOfTurnEstimated,
    Entry,
    ReplyEnded,
    ReplyPlaying,
    SpeechPaused,
    SpeechStarted,
    Transcribed,
    UtteranceDismissed,
    VadBatch,
)
from workbench.readers import entries
from workbench.readers.moments import MomentsFold
from workbench.replay.tune.detectors import Detectors
from workbench.text.languages import AUTO
from workbench.trace.cassette import open_cassette
from workbench.trace.store import SessionFolder, open_trace

SHORTEST_S = 1.0
"""Shorter recordings tell nothing, s."""
MOST_RATIO = 1.1
"""A track may be so much longer than what the VAD's events cover, before they count as incomplete."""

ROUNDING = 0.001
"""Events have probabilities with three digits."""


@dataclass(frozen=True, slots=True)
class WordsArrival:
    """A transcript of a recorded utterance: its text, up to where it covers the track, and when it came (`at`, a
    position on `user`)."""

    at: int
    utterance: int
    onset: int
    text: str
    upto: int
    stable: bool
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class AgentSpeech:
    """A reply that was played, from `start` to `stop` on the track `user`, and its text as far as it was heard."""

    start: int
    stop: int
    text: str
    unheard: str = ""


@dataclass(frozen=True, slots=True)
class TuneRecording:
    """A recording as it is scored; positions are samples of the track `user`, 16 kHz."""

    folder: Path
    samples: int
    window: int
    probabilities: NDArray[np.float32]
    """Of speech, one for each window of the track from its start."""
    words: tuple[WordsArrival, ...] = ()
    estimates: tuple[tuple[int, float, float], ...] = ()
    """Where speech had paused, the probability that the turn was over, and how long the model took, ms."""
    agent: tuple[AgentSpeech, ...] = ()
    dismissed: tuple[tuple[int, int], ...] = ()
    """What became no turn: clicks, echo, backchannels."""
    language: str = "en"

    @property
    def seconds(self) -> float:
        """Length of the track, s."""
        return self.samples / INPUT_RATE

    def question(self, at: int) -> str:
        """Return what the agent had asked when the user began to speak there; empty if nothing."""
        said = [reply for reply in self.agent if reply.start <= at]
        if not said:
            return ""
        last = said[-1]
        return question_in(last.text, last.unheard if last.stop > at else "", self.language)


@dataclass
class _RecordingFold:
    """Collects what scoring needs from a trace."""

    moments: MomentsFold
    language: str
    window: int = 0
    starts: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    clock: list[tuple[float, int]] = field(default_factory=list)
    """Session time, ms, and how far the track was by then."""
    arrivals: list[tuple[float, Transcribed, int, int]] = field(default_factory=list)
    estimates: list[tuple[int, float, float]] = field(default_factory=list)
    replies: list[tuple[float, float, str, str]] = field(default_factory=list)
    dismissed: list[tuple[int, int]] = field(default_factory=list)
    _onsets: dict[int, int] = field(default_factory=dict)
    _ends: dict[int, int] = field(default_factory=dict)
    _playing: dict[int, float] = field(default_factory=dict)

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        self.moments.feed(entry)
        match entry.event:
            case VadBatch() as batch if batch.window > 0 and batch.probabilities:
                self._take(batch, entry.t_ms)
            case SpeechStarted(utterance=utterance, at_sample=sample):
                self._onsets[utterance] = sample
            case SpeechPaused(utterance=utterance, end_sample=sample):
                self._ends[utterance] = sample
            case Transcribed() as event:
                onset = self._onsets.get(event.utterance)
                if onset is not None:  # what was typed has none
                    end = self._ends.get(event.utterance, onset)
                    self.arrivals.append((entry.t_ms, event, onset, end))
            case EndOfTurnEstimated() as event:
                self.estimates.append((event.upto_sample, event.probability, event.took_ms))
            case UtteranceDismissed(utterance=utterance) if utterance in self._onsets:
                start = self._onsets[utterance]
                self.dismissed.append((start, max(start, self._ends.get(utterance, start))))
            case ReplyPlaying(reply=reply):
                self._playing[reply] = entry.t_ms
            case ReplyEnded(reply=reply) as event if reply in self._playing:
                last = event.end_sample
                end_ms = entry.t_ms if last is None else self.moments.time_ms("agent", last)
                self.replies.append((self._playing.pop(reply), end_ms, event.heard, event.unheard))

    def _take(self, batch: VadBatch, t_ms: float) -> None:
        self.window = self.window or batch.window
        if batch.window == self.window:
            self.starts += [batch.start_sample + k * self.window for k in range(len(batch.probabilities))]
            self.values += batch.probabilities
            self.clock.append((t_ms, batch.start_sample + self.window * len(batch.probabilities)))

    def position(self, t_ms: float) -> int:
        """Return how far the track was at that time of the session."""
        if not self.clock:
            return self.moments.sample("user", t_ms)
        times, positions = zip(*self.clock, strict=True)
        if t_ms >= times[-1]:
            return int(positions[-1] + (t_ms - times[-1]) * INPUT_RATE / 1000)
        return int(np.interp(t_ms, times, positions))

    def probabilities(self, samples: int) -> NDArray[np.float32] | None:
        """Return those of consecutive windows from the start, silence where sound was lost; None if many are absent."""
        if not self.starts or samples > MOST_RATIO * (self.starts[-1] + self.window) + INPUT_RATE:
            return None
        filled = np.zeros(samples // self.window, dtype=np.float32)
        places = np.round(np.array(self.starts) / self.window).astype(int)
        inside = (places >= 0) & (places < len(filled))
        filled[places[inside]] = np.array(self.values, dtype=np.float32)[inside]
        return filled


def read_recording(folder: Path, detectors: Detectors) -> TuneRecording:
    """Read a session folder; nothing in it is changed. Probabilities of the VAD that were recorded are taken where that
    is the VAD in use and they are whole, else they are computed, 100 µs a window.

    Raises UsageError without a track `user`, or where that is too short; MissingError where the VAD lacks something.
    """
    trace, about = open_trace(folder), SessionFolder.open(folder).about
    track = trace.tracks.get("user")
    if track is None:
        raise UsageError(f"{folder} has no user.wav that can be read", "record a session with --record")
    if track.end < SHORTEST_S * INPUT_RATE or track.rate != INPUT_RATE:
        length = f"{track.end / max(1, track.rate):.1f} s at {track.rate} Hz"
        hint = f"record a conversation of some turns; scoring needs {INPUT_RATE} Hz"
        raise UsageError(f"{folder} cannot be scored: its user.wav has {length}", hint)
    fold = _RecordingFold(
        MomentsFold({"user": INPUT_RATE}), detectors.language or recorded_language(about.settings)
    )
    for entry in entries(trace):
        fold.feed(entry)
    same_vad = recorded_provider(about.settings, "vad") == detectors.vad
    if same_vad:
        fold.values = _exact(folder, fold.values)
    probabilities = fold.probabilities(track.end) if same_vad else None
    if probabilities is None:
        fold.window, probabilities = detectors.probabilities(track)
    if not detectors.judges_as(recorded_provider(about.settings, "turn")):
        fold.estimates.clear()
    return _recording(folder, track.end, fold, probabilities)


def _exact(folder: Path, rounded: list[float]) -> list[float]:
    """Return the probabilities as the cassette has them, where it has those of the events, which are rounded."""
    try:
        exact: list[float] = open_cassette(folder).probabilities.tolist()
    except UsageError:  # an older recording
        return rounded
    exact = exact[: len(rounded)]  # the last ones come in no event
    same = len(exact) == len(rounded) and np.allclose(exact, rounded, rtol=0.0, atol=ROUNDING)
    return exact if same else rounded


def recorded_provider(settings: Mapping[str, Any], stage: str) -> str:
    """Return the first provider of a stage that a recording was made with; empty where it does not say."""
    table = settings.get(stage)
    provider = table.get("provider") if isinstance(table, Mapping) else None
    return str(provider[0] if isinstance(provider, list) and provider else provider or "")


def recorded_language(settings: Mapping[str, Any]) -> str:
    """Return the language that a recording was made in, English where it does not say."""
    language = settings.get("language")
    return language if isinstance(language, str) and language not in ("", AUTO) else "en"


def _recording(
    folder: Path, samples: int, fold: _RecordingFold, probabilities: NDArray[np.float32]
) -> TuneRecording:
    arrivals = (_arrival(fold.position(t_ms), event, onset, end) for t_ms, event, onset, end in fold.arrivals)
    replies = (
        AgentSpeech(fold.position(start), fold.position(stop), text, unheard)
        for start, stop, text, unheard in fold.replies
    )
    return TuneRecording(
        folder,
        samples,
        fold.window,
        probabilities,
        tuple(arrivals),
        tuple(fold.estimates),
        tuple(replies),
        tuple(fold.dismissed),
        fold.language,
    )


def _arrival(at: int, event: Transcribed, onset: int, end: int) -> WordsArrival:
    """Return when those words came. A final transcript covers the utterance as long as it was then."""
    upto = max(event.upto_sample, end) if event.final else event.upto_sample
    stable = event.stable or event.final
    return WordsArrival(at, event.utterance, onset, event.text, upto, stable, event.confidence)
