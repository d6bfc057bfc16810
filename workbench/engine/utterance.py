"""An utterance: its sound, state and transcript, from speech onset to end of turn; each can be awaited as it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.model.audio import INPUT_RATE, Frame, Samples, silence
from workbench.model.conversation import Transcript
from workbench.model.errors import GarbageError
from workbench.model.events import EndOfTurnEstimated, Span, Transcribed
from workbench.model.text import plain
from workbench.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Estimate:
    """The probability (0…1) that the turn is over, by all sound up to the end of speech at `speech_end`."""

    probability: float
    speech_end: int


UtteranceState = Literal["speaking", "paused", "ended", "dismissed"]


class Utterance:
    """An open stream of frames of the track `user` (16 kHz), and what the STT made of it so far.

    `Listening` writes frames and the state, the STT writes transcripts, everybody waits with `changed`. Transcripts
    are emitted to `trace`, where there is one.
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
        self.state: UtteranceState = "speaking"
        self.transcript: Transcript | None = None
        self.typed: str | None = None
        """The text of an utterance that was typed instead of spoken."""
        self.language = "en"
        """The language that is spoken with the agent, a tag like `de` or `pt-BR`."""
        self.question = ""
        """What the agent had just asked, or was about to have asked, when it began; empty if it asked nothing."""
        self._estimate: Estimate | None = None
        self._frames: list[Samples] = []
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
        return self.transcript is not None and (
            self.transcript.final or self.transcript.stable or self.transcript.upto_sample >= self.speech_end
        )

    def append(self, frame: Frame) -> None:
        """Append the next frame of the track."""
        self._frames.append(frame.samples)
        self._end = frame.end
        _wake(self._growing)

    def become(self, state: UtteranceState, speech_end: int | None = None) -> None:
        """Enter a state; `speech_end` when the end of speech is known better."""
        self.state = state
        if speech_end is not None:
            self.speech_end = speech_end
        self._mark()

    def write(self, transcript: Transcript) -> None:
        """Set the STT's text so far (partial), or for good (final). GarbageError for what is no transcript."""
        if not (isinstance(transcript, Transcript) and isinstance(transcript.text, str)):
            raise GarbageError(f"a transcript is expected, not {plain(repr(transcript), limit=80)}")
        self.transcript = transcript
        if self._trace is not None:
            self._emit(transcript, self._trace)
        self._mark()

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
            )
        )
        if self.awaited_since_ms is not None and self.covered:
            start, end = round(self.awaited_since_ms, 3), round(trace.now(), 3)
            trace.emit(Span("stt", start, end, utterance=self.id, provider=self.stt))
            self.awaited_since_ms = None

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
        """Return the samples from position `start` up to `stop`, by default all so far; shape (n,), 16 kHz."""
        if len(self._frames) > 1:
            self._frames = [np.concatenate(self._frames)]
        samples = self._frames[0] if self._frames else silence(0)
        first = 0 if start is None else max(0, start - self.start_sample)
        last = len(samples) if stop is None else max(0, stop - self.start_sample)
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

    def _mark(self) -> None:
        _wake(self._growing)
        _wake(self._marking)

    @property
    def seconds(self) -> float:
        """Length so far, seconds."""
        return (self._end - self.start_sample) / INPUT_RATE


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
