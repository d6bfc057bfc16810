"""An utterance: its sound, state and transcript, from speech onset to end of turn; each can be awaited as it grows.

It stays open until its turn is committed: speech before that goes on with it, as a new segment for the STT.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from workbench.engine.buffer import ReplyAudio
from workbench.model.audio import INPUT_RATE, Frame, Samples, silence
from workbench.model.conversation import Transcript
from workbench.model.errors import GarbageError
from workbench.model.events import EndOfTurnEstimated, Notice, Span, Transcribed
from workbench.model.text import plain
from workbench.text.joining import join_texts
from workbench.text.made_up import is_made_up
from workbench.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Estimate:
    """The probability (0…1) that the turn is over, by all sound up to the end of speech at `speech_end`."""

    probability: float
    speech_end: int


VAD_TAIL = INPUT_RATE // 4
"""A stable text that covers all but this much has the last word: the VAD goes on a little after it, samples."""

UtteranceState = Literal["speaking", "paused", "ended", "dismissed"]


class Utterance:
    """An open stream of frames of the track `user` (16 kHz), and what the STT made of it so far.

    `Listening` writes frames and the state, the STT writes transcripts, everybody waits with `changed`. Transcripts
    are emitted to `trace`, where there is one. What the STT is given is a segment of it, an utterance by itself: the
    first one, and after each time that the turn was reopened another one.
    """

    def __init__(self, id: int, start_sample: int, trace: Trace | None = None) -> None:
        self.id = id
        self._trace = trace
        self.turn: int | None = None
        """The turn that it became, None before that is decided."""
        self.start_sample = start_sample
        """First sample on `user`, a little before the onset so that the first sound is not lost."""
        self.onset = start_sample
        """Where speech began by the VAD."""
        self.speech_end = start_sample
        """Position on `user` after the last speech so far."""
        self.resumed_at = start_sample
        """Where the speech that goes on now, or was the last, began."""
        self.voiced_ms = 0.0
        """How long the VAD has heard a voice in it; 0 where none listens."""
        self.voice_probability = 0.0
        """The VAD's mean probability there."""
        self.state: UtteranceState = "speaking"
        self.transcript: Transcript | None = None
        self.typed: str | None = None
        """The text of an utterance that was typed, before anything was spoken."""
        self.language = "en"
        """The language that is spoken with the agent, a tag like `de` or `pt-BR`."""
        self.question = ""
        """What the agent had just asked, or was about to have asked, when it began; empty if it asked nothing."""
        self._estimate: Estimate | None = None
        self.segments: list[Segment] = []
        """What was spoken and typed, in order."""
        self.abandoned = False
        """Its answer was cut: nothing goes on with it."""
        self.committed = False
        """Nothing reopens its turn: the reply is audible, a tool with side effects runs, or the turn is over."""
        self.reply_audio: ReplyAudio | None = None
        """The sound of the reply that has the floor, once that may become audible at any time."""
        self._frames: list[Samples] = []
        self._kept_from = start_sample
        """Where the sound begins that is kept."""
        self._end = start_sample
        self.stt = ""
        """The provider that transcribes it."""
        self.awaited_since_ms: float | None = None
        """Since when, on the session's clock, a transcript of all speech so far is waited for."""
        self._growing: set[asyncio.Event] = set()
        self._marking: set[asyncio.Event] = set()

    @property
    def end(self) -> int:
        """Position on `user` after the last frame."""
        return self._end

    @property
    def over(self) -> bool:
        """Whether no more sound will come."""
        return self.state in ("ended", "dismissed")

    @property
    def transcribed(self) -> bool:
        """Whether the final transcript is there."""
        return self.transcript is not None and self.transcript.final

    @property
    def covered(self) -> bool:
        """Whether the transcript takes all speech so far into account."""
        transcript = self.transcript
        if transcript is None or transcript.final:
            return transcript is not None
        return transcript.upto_sample >= self.speech_end - (VAD_TAIL if transcript.stable else 0)

    @property
    def content(self) -> str:
        """The text so far, without space around it."""
        return self.transcript.text.strip() if self.transcript else ""

    def append(self, frame: Frame) -> None:
        """Append the next frame of the track."""
        self._frames.append(frame.samples)
        self._end = frame.end
        if (segment := self._open_segment) is not None:
            segment.append(frame)
        _wake(self._growing)

    def become(self, state: UtteranceState, speech_end: int | None = None) -> None:
        """Enter a state; `speech_end` when the end of speech is known better."""
        if (segment := self._open_segment) is not None:
            segment.become(state, self.speech_end if speech_end is None else speech_end)
        self.state = state
        if speech_end is not None:
            self.speech_end = speech_end
        self.mark()

    def voice(self, end: int, ms: float = 0.0, probability: float = 0.0) -> None:
        """The user speaks: so far until `end`, in the last `ms` by that probability."""
        self.speech_end = end
        self.voiced_ms += ms
        self.voice_probability += (probability - self.voice_probability) * ms / max(self.voiced_ms, ms, 1e-9)
        if (segment := self._open_segment) is not None:
            segment.voice(end, ms, probability)

    # --- segments ----------------------------------------------------------------------------------------------------

    @property
    def _open_segment(self) -> Segment | None:
        """The one that is being spoken."""
        return next((segment for segment in reversed(self.segments) if not segment.over), None)

    @property
    def open_seconds(self) -> float:
        """How long the segment that is being spoken is, s; 0 where there is none."""
        return segment.seconds if (segment := self._open_segment) is not None else 0.0

    @property
    def open_voiced_ms(self) -> float:
        """How much voice the segment that is being spoken has, with those that it goes on with, ms."""
        return segment.voiced_ms if (segment := self._open_segment) is not None else 0.0

    def begin_segment(self, sound: Frame, onset: int, longest_s: float = math.inf) -> None:
        """Go on in a new segment with that sound; the STT reads it from there. Where it has not finished the one
        before, it reads both anew as one, unless that is so long: nothing waits for a call that is late."""
        last = self.segments[-1] if self.segments else None
        if last is not None and not last.transcribed and last.seconds < longest_s:
            self.segments.pop().become("dismissed")
            sound = Frame(self.audio(last.start_sample), sound.rate, last.start_sample)
        segment = Segment(self, sound.position)
        if last is not None and last.state == "dismissed":
            segment.voiced_ms, segment.voice_probability = last.voiced_ms, last.voice_probability
        segment.onset = onset
        segment.append(sound)
        self.segments.append(segment)
        if self.transcript is not None:
            self.transcript = replace(self.transcript, final=False, stable=False)

    def divide(self, start: int, onset: int) -> None:
        """End the segment that is being spoken, as it is long enough for one call of the STT, and go on in a new one
        from position `start`. Of the sound no more is kept than these two."""
        if (segment := self._open_segment) is not None:
            segment.become("ended")
            self.begin_segment(Frame(self.audio(start), INPUT_RATE, start), onset, longest_s=0.0)
            self._forget(segment.start_sample)
            for earlier in self.segments[:-2]:
                if earlier.transcribed:
                    earlier._forget(earlier.end)

    def _forget(self, before: int) -> None:
        """Keep no sound before that position."""
        self._frames, self._kept_from = [self.audio(before)], before

    def drop_segment(self) -> None:
        """Drop the segment that is being spoken, as it was a click: what was said before stands."""
        if (segment := self._open_segment) is not None:
            segment.become("dismissed")
            self.segments.remove(segment)
            self.join()

    def add_text(self, text: str) -> None:
        """Append what the user types."""
        segment = Segment(self, self._end)
        segment.typed = text
        segment.become("ended")
        self.segments.append(segment)
        segment.write(Transcript(text, self._end, final=True))

    def take_back(self) -> bool:
        """Keep the reply back so that the turn can go on; False where it is committed."""
        if self.state != "ended" or self.committed or self.abandoned:
            return False
        return self.reply_audio is None or self.reply_audio.hold()

    def join(self) -> None:
        """Set the transcript from those of the segments."""
        known = [segment.transcript for segment in self.segments if segment.transcript is not None]
        if len(known) == len(self.segments) == 1:
            self.write(known[0])
        elif known:
            confidences = [each.confidence for each in known if each.confidence is not None]
            self.write(
                Transcript(
                    join_texts(each.text for each in known),
                    known[-1].upto_sample,
                    final=all(segment.transcribed for segment in self.segments),
                    stable=len(known) == len(self.segments) and (known[-1].stable or known[-1].final),
                    confidence=max(confidences, default=None),
                    language=next((each.language for each in reversed(known) if each.language), ""),
                )
            )

    def write(self, transcript: Transcript) -> None:
        """Set the STT's text so far (partial), or for good (final). GarbageError for what is no transcript."""
        if not (isinstance(transcript, Transcript) and isinstance(transcript.text, str)):
            raise GarbageError(f"a transcript is expected, not {plain(repr(transcript), limit=80)}")
        self.transcript = transcript
        if self._trace is not None:
            self._emit(transcript, self._trace)
        self.mark()

    def _emit(self, transcript: Transcript, trace: Trace) -> None:
        """Emit the transcript, and the time that it was waited for: the part `stt` of the waterfall."""
        trace.emit(
            Transcribed(
                self.id,
                transcript.text,
                transcript.final,
                transcript.upto_sample,
                transcript.stable,
                transcript.confidence,
                self.stt,
            )
        )
        if self.awaited_since_ms is not None and self.covered:
            start, end = round(self.awaited_since_ms, 3), round(trace.now(), 3)
            span = Span("stt", start, end, utterance=self.id, provider=self.stt)
            for each in span.with_cpu_wait(transcript.cpu_wait_ms):
                trace.emit(each)
            self.awaited_since_ms = None

    def note_made_up(self, text: str, confidence: float | None, voiced_ms: float, probability: float) -> None:
        """Say in the trace why words of the STT are none."""
        if self._trace is not None:
            sure = "" if confidence is None else f", the model is sure by {confidence:.2f}"
            reason = (
                f"{plain(text, 80)!r} was heard in {voiced_ms:.0f} ms of voice (by {probability:.2f}){sure}"
            )
            self._trace.emit(Notice("info", "stt", f"{reason}: made up, as of silence"))

    @property
    def end_probability(self) -> float | None:
        """The probability (0…1) that the turn is over, by a model; None where none has judged this very pause."""
        estimate = self._estimate
        return estimate.probability if estimate and estimate.speech_end == self.speech_end else None

    def estimate(self, estimate: Estimate, took_ms: float = 0.0) -> None:
        """Set what a turn detector's model made of a pause. GarbageError for what is no probability."""
        if not 0.0 <= estimate.probability <= 1.0:
            raise GarbageError(f"a probability is expected, not {estimate.probability}")
        self._estimate = estimate
        if self._trace is not None:
            self._trace.emit(
                EndOfTurnEstimated(
                    self.id, estimate.speech_end, round(estimate.probability, 4), round(took_ms, 1)
                )
            )

    def audio(self, start: int | None = None, stop: int | None = None) -> Samples:
        """Return the samples from position `start` up to `stop`, by default all so far, of speech for minutes the last
        part; shape (n,), 16 kHz."""
        if len(self._frames) > 1:
            self._frames = [np.concatenate(self._frames)]
        samples = self._frames[0] if self._frames else silence(0)
        first = 0 if start is None else max(0, start - self._kept_from)
        last = len(samples) if stop is None else max(0, stop - self._kept_from)
        return samples[first:last]

    async def chunks(self) -> AsyncIterator[Samples]:
        """Yield the sound from the start, as it comes, until the utterance is over."""
        read = self.start_sample
        while True:
            if read < self._end:
                fresh = self.audio(read)
                read = self._end
                yield fresh
            elif self.over:
                return
            else:
                await self.changed()

    async def changed(self) -> None:
        """Wait until sound, state or transcript changes."""
        await _wait(self._growing)

    async def marked(self) -> None:
        """Wait until state or transcript changes."""
        await _wait(self._marking)

    def mark(self) -> None:
        """Wake whoever waits for a change."""
        _wake(self._growing)
        _wake(self._marking)

    @property
    def seconds(self) -> float:
        """Length so far, seconds."""
        return (self._end - self.start_sample) / INPUT_RATE


class Segment(Utterance):
    """What one call of the STT reads: from an onset to an end of the turn, for good, though that may be reopened."""

    def __init__(self, whole: Utterance, start_sample: int) -> None:
        super().__init__(whole.id, start_sample)
        self._whole = whole

    def write(self, transcript: Transcript) -> None:
        """Set the text of the segment, and with it that of the utterance; none for words that were made up."""
        evidence = transcript.confidence, self.voiced_ms, self.voice_probability
        if self.typed is None and is_made_up(transcript.text, *evidence):
            if transcript.final:
                self._whole.note_made_up(transcript.text, *evidence)
            transcript = replace(transcript, text="")
        super().write(transcript)
        if self.state != "dismissed":
            self._whole.stt = self.stt
            self._whole.join()


async def _wait(waiting: set[asyncio.Event]) -> None:
    event = asyncio.Event()
    waiting.add(event)
    try:
        await event.wait()
    finally:
        waiting.discard(event)


def _wake(waiting: set[asyncio.Event]) -> None:
    for event in waiting:
        event.set()
