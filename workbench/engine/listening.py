"""The listening half: frames in, utterances out. It runs inline for each frame and never waits."""

from __future__ import annotations

import numpy as np

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
    level_db,
    noise_floor_db,
    peak_db,
    silence,
)
from workbench.model.events import (
    Levels,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    UtteranceDismissed,
    VadBatch,
)
from workbench.trace.trace import Trace
from workbench.trace.track import LiveTrack

PER_MS = INPUT_RATE // 1000
LEVEL_SAMPLES = INPUT_RATE // 10
"""Samples between two `Levels` events: 10 Hz."""
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
GOES_ON_MS = 1_500
"""Speech that sets in so soon after the end of a turn shows that the turn was ended too early."""


class Listening:
    """Cuts the track `user` into utterances, with a VAD and a turn detector."""

    def __init__(
        self, vad: Vad, turn: TurnDetector, settings: EngineSettings, trace: Trace, track: LiveTrack
    ) -> None:
        self.vad = VadWithFallback(vad, trace)
        self.turn = TurnDetectorWithFallback(turn, trace)
        self.utterance: Utterance | None = None
        """The open one."""
        self.deaf = False
        """Half duplex and the agent is speaking: nothing is an onset."""
        self._settings = settings
        self._trace = trace
        self._track = track
        self._count = 0
        self._rest: Samples = silence(0)
        self._seen = 0
        self._voiced_end = 0
        self._voiced_windows = 0
        self._raised_until = -1
        self._ended_at = 0
        """Where the speech of the last utterance that was not dismissed ended: the next one begins after it."""
        self._turn_end = -INPUT_RATE * 60
        """Where the speech of the last one that became a turn ended."""
        self._batch: list[float] = []
        self._loudness: list[Samples] = []

    @property
    def position(self) -> int:
        """Samples of `user` heard so far."""
        return self._track.end

    @property
    def quiet_ms(self) -> float:
        """Time since anybody was last heard on `user`, ms."""
        return 0.0 if self.utterance else (self.position - self._voiced_end) / PER_MS

    def voiced_ms(self) -> float:
        """How much of the open utterance was above the threshold, ms."""
        return self._voiced_windows * self.vad.window / PER_MS

    def raise_threshold(self) -> None:
        """After a false pause speech must be surer for a while."""
        self._raised_until = self.position + int(self._settings.bargein.raise_ms * PER_MS)

    def feed(self, frame: Frame) -> Utterance | None:
        """The next frame of `user`; the utterance that begins in it, if one does."""
        was = self.utterance
        if (gap := frame.position - self._track.end) > 0:
            self._lost(gap)
        elif gap < 0:  # said twice: what is new of it
            frame = Frame(frame.samples[-gap:], frame.rate, self._track.end)
        self._track.append(frame.samples)
        self._levels(frame)
        if was is not None:
            was.append(frame)
        self._windows(frame)
        if was is not None and was is self.utterance:
            self._endpoint(was)
        return self.utterance if was is None else None

    def finish(self, utterance: Utterance) -> None:
        """End an utterance now: its turn is over."""
        self._ended_at = utterance.speech_end
        self._close()
        utterance.become("ended")

    def learn(self, utterance: Utterance) -> None:
        """An utterance became a turn: one that set in soon after the last one's end shows that it had not ended."""
        gap_ms = (utterance.onset - self._turn_end) / PER_MS
        if self._settings.vad.pause_ms <= gap_ms < GOES_ON_MS:
            self.turn.paused(gap_ms, went_on=True)
        self._turn_end = utterance.speech_end

    def dismiss(self, utterance: Utterance, reason: str) -> None:
        """What was heard becomes no turn."""
        if utterance is self.utterance:
            self._close()
        if utterance.state != "dismissed":
            self._trace.emit(UtteranceDismissed(utterance.id, reason))
            utterance.become("dismissed")

    def number(self) -> int:
        """The number of the next utterance (typed ones too)."""
        self._count += 1
        return self._count

    def _close(self) -> None:
        self.utterance = None

    def _levels(self, frame: Frame) -> None:
        self._loudness.append(frame.samples)
        if frame.end // LEVEL_SAMPLES > frame.position // LEVEL_SAMPLES:
            recent = np.concatenate(self._loudness)
            self._loudness.clear()
            self._trace.emit(Levels("user", frame.end, round(level_db(recent), 1), round(peak_db(recent), 1)))

    def _lost(self, count: int) -> None:
        """Sound that never came: silence in its place, so that positions stay true; the VAD starts anew after it."""
        missing = Frame(silence(count), INPUT_RATE, self._track.end)
        self._track.append(missing.samples)
        if self.utterance is not None:
            self.utterance.append(missing)
        if self._batch:
            self._tell_batch()
        self._seen, self._rest = missing.end, silence(0)
        self.vad.reset()

    def _windows(self, frame: Frame) -> None:
        sound = np.concatenate((self._rest, frame.samples)) if len(self._rest) else frame.samples
        size = self.vad.window
        whole = len(sound) // size * size
        for at in range(0, whole, size):
            probability = self.vad(sound[at : at + size])
            self._seen += size
            self._batch.append(round(probability, 3))
            self._judge(probability, self._seen)
        self._rest = sound[whole:]
        if len(self._batch) >= BATCH:
            self._tell_batch()

    def _tell_batch(self) -> None:
        size = self.vad.window
        self._trace.emit(VadBatch(self._seen - size * len(self._batch), size, tuple(self._batch)))
        self._batch.clear()

    def _judge(self, probability: float, end: int) -> None:
        settings = self._settings.vad
        threshold = settings.threshold
        if end < self._raised_until:
            threshold = min(0.99, threshold + self._settings.bargein.raise_threshold)
        speaking = self.utterance is not None and self.utterance.state == "speaking"
        if probability < (threshold - settings.release if speaking else threshold):
            return
        if self.utterance is None:
            if not self.deaf:
                self._open(end)
        else:
            self._voiced_windows += 1
            if self.utterance.state == "paused":
                self._resume(self.utterance, end)
        self._voiced_end = end
        if self.utterance is not None:
            self.utterance.speech_end = end

    def _open(self, end: int) -> None:
        onset = end - self.vad.window
        start = max(onset - int(self._settings.vad.preroll_ms * PER_MS), self._track.start, self._ended_at)
        utterance = Utterance(self.number(), start)
        utterance.onset = onset
        utterance.append(Frame(self._track.read(start, self._track.end), INPUT_RATE, start))
        self.utterance, self._voiced_windows = utterance, 1
        self._trace.emit(SpeechStarted(utterance.id, onset))

    def _resume(self, utterance: Utterance, end: int) -> None:
        pause_ms = (end - self.vad.window - utterance.speech_end) / PER_MS
        self.turn.paused(pause_ms, went_on=True)
        utterance.become("speaking", end)
        self._trace.emit(SpeechResumed(utterance.id, end - self.vad.window, round(pause_ms, 1)))

    def _endpoint(self, utterance: Utterance) -> None:
        """Has the user paused, finished, or spoken for too long?"""
        settings = self._settings
        if utterance.seconds >= settings.turn.max_utterance_s:
            self.finish(utterance)
        elif utterance.state == "speaking":
            if (utterance.end - self._voiced_end) / PER_MS < settings.vad.pause_ms / 2:
                return
            end = self._audible_end()
            if (utterance.end - end) / PER_MS < settings.vad.pause_ms:
                return
            if self.voiced_ms() < settings.vad.min_speech_ms:
                self.dismiss(utterance, "too short")
                return
            utterance.become("paused", end)
            self._trace.emit(SpeechPaused(utterance.id, end))
        elif (utterance.end - utterance.speech_end) / PER_MS >= self.turn.wait_ms(utterance, settings.turn):
            self.finish(utterance)

    def _audible_end(self) -> int:
        """Where the speech before the VAD's end of it was last heard, or that end itself."""
        vad_end = self._voiced_end
        known = block_levels(
            self._track.read(max(self._track.start, vad_end - NOISE_WINDOW), self._track.end), INPUT_RATE
        )
        # somebody who spoke all the time left no noise before; then what is there now is the better guess
        noise_db = min(noise_floor_db(known), noise_floor_db(known[-JUST_NOW:]))
        start = max(self._track.start, vad_end - LOOK_BACK)
        near = self._track.read(start, min(self._track.end, vad_end + LOOK_AHEAD))
        found = last_audible(near, INPUT_RATE, noise_db)
        return vad_end if found is None else start + found
