"""Listening: frames of the user in, utterances and what happens to them out. It runs inline and never waits."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from workbench.engine.endpointing import judge_words
from workbench.engine.fallback import TurnDetectorWithFallback, VadWithFallback
from workbench.engine.interfaces import TurnDetector, Vad
from workbench.engine.settings import EngineSettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import (
    INPUT_RATE,
    Frame,
    Samples,
    block_levels,
    last_audible,
    noise_floor_db,
    silence,
)
from workbench.model.events import (
    EndCause,
    EndOfTurnJudged,
    SpeechIgnored,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    TurnReopened,
    UtteranceDismissed,
    VadBatch,
    WordsSay,
)
from workbench.text.completeness import Completeness
from workbench.trace.trace import Trace
from workbench.trace.track import LevelMeter, LiveTrack

PER_MS = INPUT_RATE // 1000
BATCH = 10
"""VAD windows in one event."""
LOOK_BACK = INPUT_RATE * 3 // 4
"""Sound before the VAD's end of speech in which the audible end is searched, samples."""
LOOK_AHEAD = INPUT_RATE // 4
"""Sound after it that may still belong to the speech, samples."""
NOISE_WINDOW = INPUT_RATE * 3
"""Sound from which the noise floor is taken, samples."""
JUST_NOW = 8
"""Blocks of 5 ms whose level stands for what is there now."""
CERTAINTY_WINDOWS = 30
"""The last windows with speech that tell how sure the VAD is: about one second."""
VOICED_KEPT = 1_500
"""Windows with speech that are kept for the overlap with a reply: 48 s of it, within one reply."""
DIVIDED_FROM = 0.75
"""Share of `turn.max_utterance_s` from which on a pause divides what the STT reads."""
TEACHES_MS = 1_500
"""After a longer silence, for which a slow model gave the time, the user has not paused but thought of more."""
IGNORED_APART = INPUT_RATE // 2
"""Silence after which speech that is not listened to is said to begin again, samples."""
WORDS_SAY: dict[Completeness, WordsSay] = {
    Completeness.UNFINISHED: "unfinished",
    Completeness.DOUBTFUL: "doubtful",
    Completeness.UNKNOWN: "unknown",
    Completeness.LIKELY: "likely",
    Completeness.COMPLETE: "complete",
}
"""What the trace calls it."""


@dataclass(frozen=True, slots=True)
class Onset:
    """Speech begins: the utterance is open from here."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Pause:
    """The user has fallen silent, perhaps for a moment only."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Resumption:
    """The user goes on within the same utterance."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Reopening:
    """The user goes on after the end of the utterance, before anything of the reply is heard: it is open again."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class EndOfUtterance:
    """The user has finished: the utterance grows no more, unless it is reopened."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Dismissal:
    """It was a click or a noise, not speech."""

    utterance: Utterance


ListeningEvent = Onset | Pause | Resumption | Reopening | EndOfUtterance | Dismissal


class Listening:
    """Cuts the track `user` into utterances, with a VAD and a turn detector."""

    def __init__(
        self, vad: Vad, turn: TurnDetector, settings: EngineSettings, trace: Trace, track: LiveTrack
    ) -> None:
        self.vad = VadWithFallback(vad, trace)
        self.turn = TurnDetectorWithFallback(turn, trace)
        self.utterance: Utterance | None = None
        """The open one."""
        self.last: Utterance | None = None
        """The last one that ended, spoken or typed: speech goes on with it as long as its turn is not committed."""
        self.deaf = False
        """Nothing counts as an onset."""
        self._events: list[ListeningEvent] = []
        self._settings = settings
        self._trace = trace
        self._track = track
        self._count = 0
        self._rest: Samples = silence(0)
        self._seen = 0
        self._voiced_end = 0
        self._voiced_windows = 0
        self.voiced: deque[tuple[int, int]] = deque(maxlen=VOICED_KEPT)
        """Windows of `user` with speech, from start to end."""
        self._probabilities: deque[float] = deque(maxlen=CERTAINTY_WINDOWS)
        self._raised_until = -1
        self._ended_at = 0
        """Where the speech of the last utterance that was not dismissed ended: the next one begins after it."""
        self._batch: list[float] = []
        self._meter = LevelMeter(track)

    @property
    def position(self) -> int:
        """Samples of `user` so far."""
        return self._track.end

    @property
    def quiet_ms(self) -> float:
        """Time since the last speech on `user`, ms; 0 while an utterance is open."""
        return 0.0 if self.utterance else (self.position - self._voiced_end) / PER_MS

    @property
    def silent_ms(self) -> float:
        """Time since the VAD last found speech, whether it was listened to or not, ms."""
        return (self._seen - self._voiced_end) / PER_MS

    def voiced_ms(self) -> float:
        """Return how much of the open utterance was above the threshold, ms."""
        return self._voiced_windows * self.vad.window / PER_MS

    def certainty(self) -> float:
        """Return how sure the VAD is of the speech in the open utterance: its mean probability where it found some."""
        return sum(self._probabilities) / max(1, len(self._probabilities))

    def forget_voice(self, since: int) -> None:
        """What was taken for the user's voice from there on was none."""
        while self.voiced and self.voiced[-1][1] > since:
            self.voiced.pop()

    def raise_threshold(self) -> None:
        """Ask for surer speech for a while, after a false pause."""
        self._raised_until = self.position + int(self._settings.bargein.raise_ms * PER_MS)

    def feed(self, frame: Frame) -> list[ListeningEvent]:
        """Take the next frame of `user`, and return what happens in it, in order."""
        utterance = self.utterance
        if (gap := frame.position - self._track.end) > 0:
            self._fill_gap(gap)
        elif gap < 0:  # samples that came before
            frame = Frame(frame.samples[-gap:], frame.rate, self._track.end)
        self._track.append(frame.samples)
        if (levels := self._meter.measure(frame.samples)) is not None:
            self._trace.emit(levels)
        if utterance is not None:
            utterance.append(frame)
        self._run_vad(frame)
        if utterance is not None and utterance is self.utterance:
            self._endpoint(utterance)
        events, self._events = self._events, []
        return events

    def add_text(self, text: str) -> Utterance | None:
        """Put what the user types to what they say, or have said, in a turn that is open; return that
        utterance. None where there is none, nothing but sound so far, or what was typed: each text is sent whole."""
        utterance = self.utterance if self.utterance is not None else self.last
        if utterance is None or not utterance.content or utterance.typed is not None:
            return None
        if self.utterance is None:
            if not utterance.take_back():
                return None
            if utterance.turn is not None:
                self._trace.emit(TurnReopened(utterance.turn, utterance.id))
        utterance.add_text(text)
        return utterance

    def dismiss(self, utterance: Utterance, reason: str) -> None:
        """Close an utterance that becomes no turn."""
        if utterance is self.utterance:
            self.utterance = None
        if utterance.state != "dismissed":
            self._trace.emit(UtteranceDismissed(utterance.id, reason, round(utterance.voiced_ms, 1)))
            utterance.become("dismissed")

    def number(self) -> int:
        """Return the number of the next utterance (typed ones too)."""
        self._count += 1
        return self._count

    def _fill_gap(self, count: int) -> None:
        """Put silence in the place of lost samples, so that positions stay true; the VAD starts anew after it."""
        missing = Frame(silence(count), INPUT_RATE, self._track.end)
        self._track.append(missing.samples)
        if self.utterance is not None:
            self.utterance.append(missing)
        if self._batch:
            self._emit_batch()
        self._seen, self._rest = missing.end, silence(0)
        self.vad.reset()

    def _run_vad(self, frame: Frame) -> None:
        sound = np.concatenate((self._rest, frame.samples)) if len(self._rest) else frame.samples
        size = self.vad.window
        complete = len(sound) // size * size
        for at in range(0, complete, size):
            probability = self.vad(sound[at : at + size])
            self._seen += size
            self._batch.append(round(probability, 3))
            self._take(probability, self._seen)
        self._rest = sound[complete:]
        if len(self._batch) >= BATCH:
            self._emit_batch()

    def _emit_batch(self) -> None:
        size = self.vad.window
        self._trace.emit(VadBatch(self._seen - size * len(self._batch), size, tuple(self._batch)))
        self._batch.clear()

    def _take(self, probability: float, end: int) -> None:
        """Take the probability of the VAD window that ends at `end`: speech begins, goes on, or resumes."""
        settings = self._settings.vad
        threshold = settings.threshold
        if end < self._raised_until:
            threshold = min(0.99, threshold + self._settings.bargein.raise_threshold)
        speaking = self.utterance is not None and self.utterance.state == "speaking"
        if probability < (threshold - settings.release if speaking else threshold):
            return
        if self.utterance is None:
            if not self.deaf:
                self._open(end, probability, threshold)
            elif end - self._voiced_end >= IGNORED_APART:
                onset = end - self.vad.window
                self._trace.emit(SpeechIgnored(onset, round(probability, 3), round(threshold, 3)))
        else:
            self._voiced_windows += 1
            if self.utterance.state == "paused":
                self._resume(self.utterance, end)
        self._voiced_end = end
        self.voiced.append((end - self.vad.window, end))
        self._probabilities.append(probability)
        if self.utterance is not None:
            self.utterance.voice(end, self.vad.window / PER_MS, probability)

    def _open(self, end: int, probability: float, threshold: float) -> None:
        """Speech begins at the window that ends there, by its probability: a new utterance, or more of the last one."""
        onset, last = end - self.vad.window, self.last
        start = max(onset - int(self._settings.vad.preroll_ms * PER_MS), self._track.start, self._ended_at)
        sound = Frame(self._track.read(start, self._track.end), INPUT_RATE, start)
        self._voiced_windows = 1
        self._probabilities.clear()
        if last is not None and last.take_back():
            self._reopen(last, sound, onset)
            return
        self.utterance = utterance = Utterance(self.number(), start, self._trace)
        utterance.onset = utterance.resumed_at = onset
        utterance.append(sound)
        utterance.begin_segment(sound, onset)
        self._trace.emit(SpeechStarted(utterance.id, onset, round(probability, 3), round(threshold, 3)))
        self._events.append(Onset(utterance))

    def _reopen(self, utterance: Utterance, sound: Frame, onset: int) -> None:
        self.utterance, missing = utterance, utterance.end
        utterance.append(Frame(self._track.read(missing, self._track.end), INPUT_RATE, missing))
        utterance.begin_segment(sound, onset, self._settings.turn.max_utterance_s * DIVIDED_FROM)
        gap_ms = self._go_on(utterance, onset)
        if utterance.turn is not None:
            self._trace.emit(TurnReopened(utterance.turn, utterance.id, onset, gap_ms))
        self._events.append(Reopening(utterance))

    def _resume(self, utterance: Utterance, end: int) -> None:
        onset = end - self.vad.window
        if utterance.open_seconds >= self._settings.turn.max_utterance_s * DIVIDED_FROM:
            preroll = int(self._settings.vad.preroll_ms * PER_MS)
            utterance.divide(max(onset - preroll, utterance.speech_end), onset)
        self._go_on(utterance, onset)
        self._events.append(Resumption(utterance))

    def _go_on(self, utterance: Utterance, onset: int) -> float:
        """The user goes on with an utterance; return how long the pause was, ms, and learn from it."""
        pause_ms = (onset - utterance.speech_end) / PER_MS
        if utterance.typed is None and pause_ms < TEACHES_MS:
            self.turn.paused(pause_ms, went_on=True)
        utterance.resumed_at = onset
        utterance.become("speaking", onset + self.vad.window)
        self._trace.emit(SpeechResumed(utterance.id, onset, round(pause_ms, 1)))
        return round(pause_ms, 1)

    def _endpoint(self, utterance: Utterance) -> None:
        """Decide whether the user has paused, finished, or spoken for as long as the STT reads in one go."""
        settings = self._settings
        longest_s = settings.turn.max_utterance_s
        if utterance.state == "speaking" and utterance.open_seconds >= longest_s:
            self._go_on_without_pause(utterance)
        elif utterance.state == "speaking":
            if (utterance.end - self._voiced_end) / PER_MS < settings.vad.pause_ms / 2:
                return
            end = self._audible_end()
            if (utterance.end - end) / PER_MS < settings.vad.pause_ms:
                return
            if self.voiced_ms() < settings.vad.min_speech_ms:
                self._drop_click(utterance)
                return
            utterance.become("paused", end)
            self._trace.emit(SpeechPaused(utterance.id, end))
            self._events.append(Pause(utterance))
        else:
            wait_ms = self.turn.wait_ms(utterance, settings.turn)
            silence_ms = (utterance.end - utterance.speech_end) / PER_MS
            if silence_ms >= wait_ms:
                self._end(utterance, "silence", wait_ms)
            elif silence_ms >= longest_s * 1000:
                self._end(utterance, "too long")

    def _go_on_without_pause(self, utterance: Utterance) -> None:
        """Nobody speaks so long without a breath, but a noise does, and has no words."""
        if utterance.transcript is not None and not utterance.content:
            self.dismiss(utterance, "no words")
            self._events.append(Dismissal(utterance))
        else:
            utterance.divide(utterance.end, utterance.end)

    def _drop_click(self, utterance: Utterance) -> None:
        """What was taken for speech is none: what was said before it ends where it ended."""
        if (
            utterance.open_voiced_ms >= self._settings.vad.min_speech_ms
        ):  # words that the STT had not finished, too
            self._end(utterance, "click")
        elif len(utterance.segments) > 1:
            utterance.drop_segment()
            self._end(utterance, "click")
        else:
            self.dismiss(utterance, "too short")
            self._events.append(Dismissal(utterance))

    def _end(self, utterance: Utterance, cause: EndCause, wait_ms: float | None = None) -> None:
        silence_ms = (utterance.end - utterance.speech_end) / PER_MS
        wait_ms = None if wait_ms is None else round(wait_ms, 1)
        estimate = utterance.end_probability
        probability = None if estimate is None else round(estimate, 4)
        words = WORDS_SAY[judge_words(utterance)]
        self._trace.emit(
            EndOfTurnJudged(utterance.id, cause, round(silence_ms, 1), wait_ms, words, probability)
        )
        self._ended_at = utterance.speech_end
        self.utterance, self.last = None, utterance
        utterance.become("ended")
        self._events.append(EndOfUtterance(utterance))

    def _audible_end(self) -> int:
        """Return where the speech before the VAD's end of it was last audible, or that end itself."""
        vad_end = self._voiced_end
        levels = block_levels(
            self._track.read(max(self._track.start, vad_end - NOISE_WINDOW), self._track.end), INPUT_RATE
        )
        # speech without a pause leaves no noise to measure before it; then what is there now is the better guess
        noise_db = min(noise_floor_db(levels), noise_floor_db(levels[-JUST_NOW:]))
        start = max(self._track.start, vad_end - LOOK_BACK)
        near = self._track.read(start, min(self._track.end, vad_end + LOOK_AHEAD))
        offset = last_audible(near, INPUT_RATE, noise_db)
        return vad_end if offset is None else start + offset
