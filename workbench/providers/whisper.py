"""`whisper/…`: speech to text on board, by CTranslate2 in a worker process.

It transcribes along: partial transcripts while the user speaks, one at each pause that covers all speech so far, and at
the end only the rest. A worker does one span at a time, always the newest sound; others are skipped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from workbench.engine.interfaces import Stt
from workbench.engine.tasks import CancelScope, beside
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE, block_levels, last_audible, noise_floor_db
from workbench.model.conversation import Transcript
from workbench.model.errors import GarbageError
from workbench.plugin.values import ProviderOptions
from workbench.providers.worker import OnboardProvider
from workbench.text.joining import join_texts
from workbench.text.languages import AUTO
from workbench.text.turn_words import tag
from workbench.weights.store import folder

MS = INPUT_RATE // 1000
FIRST_PARTIAL = 600 * MS
"""Sound before the first partial transcript, samples: the utterance begins 300 ms before the onset."""
PARTIAL_EVERY = 400 * MS
PARTIAL_LOAD, LONGEST_GAP = 4, 1200 * MS
"""On a busy machine the next one comes after so many times what the last one took, but so soon at the latest: what may
be the final transcript has to wait for the end of one."""
QUIET = 32 * MS
"""Sound that the VAD holds for silence after which a text for all speech so far is made, samples: where the user stays
silent it is the final one, and has been begun 30 ms before that counts as a pause."""
EDGE = 60 * MS
"""The end of a partial's sound that its text does not cover, samples: a word may be cut there."""
TAIL = 200 * MS
"""Silence after the speech that the model is given, samples; with more it makes words up."""
NOISE_WINDOW, JUST_NOW = 3 * INPUT_RATE, 8
"""Sound from which the noise floor is taken, samples; and blocks of 5 ms whose level stands for what is there now."""
LONGEST = 28 * INPUT_RATE
"""The model's window is 30 s, samples; longer speech is settled span by span."""
ENGLISH_ONLY = ".en"
SHORTEST = 100 * MS
"""Less sound than this is no word, samples."""


@dataclass(frozen=True)
class AudioSpan:
    """Sound to transcribe, as positions on `user`. Its text covers speech up to `upto`; with `settles`, it is final."""

    start: int
    stop: int
    upto: int
    settles: bool = False


class TranscriptionPlan:
    """Decides what to transcribe next of an utterance, and joins the texts."""

    def __init__(self, utterance: Utterance, *, eager: bool) -> None:
        self._utterance = utterance
        self._eager = eager
        self._settled: list[str] = []
        self._start = utterance.start_sample
        """The text of all sound before is settled."""
        self._partial_due = utterance.start_sample + FIRST_PARTIAL
        """End of the sound of the next partial."""
        self._asked = utterance.start_sample
        """Where the sound ended when `next` was asked last."""
        self.latest = Transcript("", utterance.start_sample, confidence=0.0)

    @property
    def _silent(self) -> bool:
        """Whether the user is silent, so that a text for all speech so far is due."""
        utterance = self._utterance
        quiet = utterance.state == "paused" or utterance.end - utterance.speech_end >= QUIET
        return utterance.state == "ended" or (quiet and self._eager)

    def next(self) -> AudioSpan | None:
        """Return what to transcribe now; None if there is nothing before the utterance changes."""
        utterance = self._utterance
        self._asked = utterance.end
        stop = min(utterance.end, utterance.speech_end + TAIL) if self._silent else utterance.end
        if stop - self._start > LONGEST:
            cut = self._quietest(self._start + LONGEST // 2, self._start + LONGEST)
            return AudioSpan(self._start, cut, cut, settles=True)
        if self._silent:
            upto = max(stop, utterance.speech_end)
            return (
                AudioSpan(self._start, stop, upto) if self.latest.upto_sample < utterance.speech_end else None
            )
        if utterance.state == "speaking" and stop >= self._partial_due:
            return AudioSpan(self._start, stop, stop - EDGE)
        return None

    def is_stale(self, span: AudioSpan) -> bool:
        """Return whether that span is of no use any more, as a later one is due."""
        if self._utterance.state == "dismissed":
            return True
        covers = span.settles or span.upto >= self._utterance.speech_end or self._is_whole(span)
        return self._silent and not covers

    def add(
        self, span: AudioSpan, text: str, confidence: float, cpu_wait_ms: float = 0.0, language: str = ""
    ) -> Transcript:
        """Add the text of the span that was asked for last. Return the transcript so far."""
        gap = min(PARTIAL_LOAD * (self._utterance.end - self._asked), LONGEST_GAP)
        self._partial_due = max(self._partial_due, span.stop + max(PARTIAL_EVERY, gap))
        full_text = join_texts((*self._settled, text))
        if span.settles:
            self._start = span.stop
            self._settled.append(text)
        if not text and full_text:  # silence after what was settled
            confidence = self.latest.confidence or 0.0
        upto = span.stop if self._is_whole(span) else span.upto
        self.latest = Transcript(
            full_text, upto, confidence=confidence, cpu_wait_ms=cpu_wait_ms, language=language
        )
        return self.latest

    def _is_whole(self, span: AudioSpan) -> bool:
        """Whether nothing can be heard after a span, so that it is no matter where the VAD sees the end of speech."""
        recent = self._utterance.audio(self._utterance.end - NOISE_WINDOW)
        levels = block_levels(recent, INPUT_RATE)
        noise_db = min(noise_floor_db(levels), noise_floor_db(levels[-JUST_NOW:]))
        after = self._utterance.audio(span.stop)
        return len(after) >= QUIET and last_audible(after, INPUT_RATE, noise_db) is None

    def _quietest(self, start: int, stop: int) -> int:
        """Return the middle of the quietest fifth of a second, the last one of equals."""
        wave = self._utterance.audio(start, stop).astype(np.float32)
        step = 20 * MS
        energy = np.square(wave[: len(wave) // step * step]).reshape(-1, step).sum(axis=1)
        around = np.convolve(energy, np.ones(10), mode="valid")
        quiet = len(around) - 1 - int(np.argmin(around[::-1]))
        return start + (quiet + 5) * step


class Whisper(OnboardProvider, Stt):
    """Speech to text with partial transcripts and a confidence."""

    partials = True
    _detects = False
    _language = "en"

    def __init__(self, options: ProviderOptions) -> None:
        name = f"whisper/{options.model}"
        super().__init__(
            name,
            "workbench.providers.onboard.whisper:open_model",
            lambda: {"folder": str(folder(name, models_path=options.models_path))},
            packages=("ctranslate2", "tokenizers"),
            stage="stt",
        )
        if options.model.endswith(ENGLISH_ONLY) and tag(options.language) != "en":
            options.notice(
                f"{name} hears English only", "take whisper/base: `workbench models pull whisper/base`"
            )
        self._detects = options.language == AUTO
        if not self._detects:
            self._language = tag(options.language)

    def use_language(self, language: str) -> None:
        """Expect that language from now on; with detection, where the sound does not tell."""
        self._language = tag(language)

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
        """See `Stt`. For a dismissed utterance the transcript so far is returned at once."""
        plan = TranscriptionPlan(utterance, eager=eager)
        while utterance.state != "dismissed":
            span = plan.next()
            if span:
                await self._transcribe(utterance, plan, span)
            elif utterance.over:
                break
            else:
                await utterance.changed()
        return replace(plan.latest, final=True)

    async def _transcribe(self, utterance: Utterance, plan: TranscriptionPlan, span: AudioSpan) -> None:
        """Transcribe a span and write the transcript so far, unless the span becomes stale meanwhile."""
        needed = CancelScope()

        async def watch() -> None:
            while not plan.is_stale(span):
                await utterance.changed()
            needed.cut()

        async with beside(watch()):
            with needed.entered():
                transcript = plan.add(span, *await self._recognize(utterance, span))
                if not utterance.over:
                    utterance.write(transcript)

    async def _recognize(self, utterance: Utterance, span: AudioSpan) -> tuple[str, float, float, str]:
        samples = utterance.audio(span.start, span.stop)
        if len(samples) < SHORTEST:
            return "", 0.0, 0.0, ""
        language = {"language": self._language, "detect": self._detects}
        async with self.worker.job("transcribe", language, samples.tobytes()) as results:
            headers = [header async for header, _ in results]  # to the end: a job that is left is cancelled
        if not headers:
            raise GarbageError(f"{self.name} gave no transcript")
        text, confidence = str(headers[0]["text"]), float(headers[0]["confidence"])
        return text, confidence, results.cpu_wait_ms, str(headers[0].get("language", ""))
