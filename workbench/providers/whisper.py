"""`whisper/…`: speech to text on board, by CTranslate2 in a worker process.

It hears along: partial transcripts while the user speaks, one at each pause that takes in everything said so far, and
at the end only what is not known yet. A worker does one piece at a time, always the newest sound; what comes too fast
is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from workbench.engine.interfaces import Stt
from workbench.engine.tasks import CancelScope, beside
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE
from workbench.model.conversation import Transcript
from workbench.model.errors import GarbageError
from workbench.plugin.values import ProviderOptions
from workbench.providers.worker import OnBoard
from workbench.weights.store import folder

MS = INPUT_RATE // 1000
FIRST_PARTIAL = 600 * MS
"""Sound before the first partial transcript, samples: the utterance begins 300 ms before the onset."""
PARTIAL_EVERY = 400 * MS
EDGE = 60 * MS
"""The last sound of a partial does not count as taken into account, samples: a word may be cut by it."""
TAIL = 200 * MS
"""Silence after the speech that the model is given, samples; with more it makes words up."""
LONGEST = 28 * INPUT_RATE
"""The model's window is 30 s; longer speech is settled piece by piece."""
SHORTEST = 100 * MS
"""Less sound than this is no word."""


def make_stt(options: ProviderOptions) -> Whisper:
    """The STT for `whisper/<model>`."""
    return Whisper(options.model, options.models_path)


@dataclass(frozen=True)
class Stretch:
    """Sound to transcribe, as positions on `user`. `upto`: what its text takes into account; `settles`: it stays."""

    start: int
    stop: int
    upto: int
    settles: bool = False


class Hearing:
    """What has been made of one utterance so far, and what to do next."""

    def __init__(self, utterance: Utterance, *, eager: bool) -> None:
        self._utterance = utterance
        self._eager = eager
        self._settled: list[str] = []
        self._start = utterance.start_sample
        """Everything before is settled."""
        self._taken = utterance.start_sample + FIRST_PARTIAL - PARTIAL_EVERY
        """End of the sound of the last partial."""
        self.latest = Transcript("", utterance.start_sample, confidence=0.0)

    @property
    def _silent(self) -> bool:
        """The user says nothing: what was said so far is wanted at once."""
        state = self._utterance.state
        return state == "ended" or (state == "paused" and self._eager)

    def next(self) -> Stretch | None:
        """What to transcribe now; None if nothing is to be done before something changes."""
        utterance = self._utterance
        stop = min(utterance.end, utterance.speech_end + TAIL) if self._silent else utterance.end
        if stop - self._start > LONGEST:
            cut = self._quietest(self._start + LONGEST // 2, self._start + LONGEST)
            return Stretch(self._start, cut, cut, settles=True)
        if self._silent:
            upto = max(stop, utterance.speech_end)
            return (
                Stretch(self._start, stop, upto) if self.latest.upto_sample < utterance.speech_end else None
            )
        if utterance.state == "speaking" and stop - self._taken >= PARTIAL_EVERY:
            return Stretch(self._start, stop, stop - EDGE)
        return None

    def useless(self, stretch: Stretch) -> bool:
        """Nobody needs that stretch any more: a later one is wanted at once."""
        if self._utterance.state == "dismissed":
            return True
        return self._silent and not stretch.settles and stretch.upto < self._utterance.speech_end

    def take(self, stretch: Stretch, text: str, confidence: float) -> Transcript:
        """The transcript so far, with the text of a stretch."""
        self._taken = max(self._taken, stretch.stop)
        whole = " ".join(filter(None, [*self._settled, text]))
        if stretch.settles:
            self._start = stretch.stop
            self._settled.append(text)
        if not text and whole:  # silence after what was settled
            confidence = self.latest.confidence or 0.0
        self.latest = Transcript(whole, stretch.upto, confidence=confidence)
        return self.latest

    def _quietest(self, start: int, stop: int) -> int:
        """The middle of the quietest fifth of a second, the last one of equals."""
        wave = self._utterance.audio(start, stop).astype(np.float32)
        step = 20 * MS
        energy = np.square(wave[: len(wave) // step * step]).reshape(-1, step).sum(axis=1)
        around = np.convolve(energy, np.ones(10), mode="valid")
        quiet = len(around) - 1 - int(np.argmin(around[::-1]))
        return start + (quiet + 5) * step


class Whisper(OnBoard, Stt):
    """Speech to text with partial transcripts and a confidence."""

    partials = True

    def __init__(self, model: str, models_path: str | None = None) -> None:
        name = f"whisper/{model}"
        super().__init__(
            name,
            "workbench.providers.onboard.whisper:open_model",
            lambda: {"folder": str(folder(name, models_path=models_path))},
            needs=("ctranslate2", "tokenizers"),
        )

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
        """See `Stt`. A dismissed utterance gives what was known of it, at once."""
        hearing = Hearing(utterance, eager=eager)
        while utterance.state != "dismissed":
            stretch = hearing.next()
            if stretch:
                await self._listen(utterance, hearing, stretch)
            elif utterance.over:
                break
            else:
                await utterance.changed()
        return replace(hearing.latest, final=True)

    async def _listen(self, utterance: Utterance, hearing: Hearing, stretch: Stretch) -> None:
        """Transcribe a stretch and write what is known then, unless it becomes useless meanwhile."""
        needed = CancelScope()

        async def until_useless() -> None:
            while not hearing.useless(stretch):
                await utterance.changed()
            needed.cut()

        async with beside(until_useless()):
            with needed.entered():
                transcript = hearing.take(stretch, *await self._hear(utterance, stretch))
                if not utterance.over:
                    utterance.write(transcript)

    async def _hear(self, utterance: Utterance, stretch: Stretch) -> tuple[str, float]:
        samples = utterance.audio(stretch.start, stretch.stop)
        if len(samples) < SHORTEST:
            return "", 0.0
        async with self.worker.job("transcribe", payload=samples.tobytes()) as results:
            async for header, _ in results:
                return str(header["text"]), float(header["confidence"])
        raise GarbageError(f"{self.name} gave no transcript")
