"""`check_stt`: what the engine relies on in speech to text."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, pairwise

import numpy as np

from workbench.engine.interfaces import Stt
from workbench.engine.tasks import beside
from workbench.engine.utterance import Utterance, UtteranceState
from workbench.model.audio import INPUT_RATE, Frame, Samples, silence
from workbench.model.conversation import Transcript
from workbench.plugin.values import ProviderOptions
from workbench.simulation.synthesis import noise, speech
from workbench.testing.contract.check import Factory, full_scale, resolve, short_repr
from workbench.testing.contract.model import ModelCheck
from workbench.testing.contract.rules import Report, Rule

MEMBERS = {"name": str, "partials": bool, "starts": int, "warm": None, "transcribe": None}
LONG_S = 60
"""As long as an utterance gets, s."""
DISMISSED_S = 0.5
"""A dismissed utterance is over within this time, s."""
FRAME = INPUT_RATE // 50
"""Samples in a frame: 20 ms."""
BURST = 5 * FRAME
"""Samples that arrive at a time, …"""
FAST_S = 0.005
"""… so often, s: twenty times as fast as anybody speaks; …"""
AS_SPOKEN_S = BURST / INPUT_RATE
"""… or as fast as they are spoken, s."""
PAUSE_S = 0.03
"""How long the pause at the end of an utterance lasts, s, where nobody waits for a transcript."""
START = 8 * INPUT_RATE
"""Where an utterance begins on its track."""


def check_stt(
    make: Factory[Stt],
    *,
    options: ProviderOptions | None = None,
    sound: Samples | None = None,
    failing: Callable[[], Stt] | None = None,
    deadline_s: float = 30.0,
) -> Report:
    """Check a speech to text. Raises BrokenRule.

    `sound` is a recording of 1 to 5 s with words in it, int16 at 16 kHz: with one it is also checked that there is a
    text, and that it comes while the user speaks if the provider says so (`partials`). The default is a voice that says
    nothing. `failing` gives one whose calls have to fail (a server that is not there, a wrong key), to see that it says
    why. No call may take longer than `deadline_s`.
    """
    return SttCheck(sound, deadline_s).run(resolve(make, "stt", options), failing)


@dataclass(frozen=True, slots=True)
class WrittenTranscript:
    """A transcript that the STT wrote, and the utterance's state and end then."""

    transcript: Transcript
    state: UtteranceState
    end: int


class SttCheck(ModelCheck[Stt]):
    """Lets an STT read utterances, and checks the format of its transcripts."""

    def __init__(self, sound: Samples | None, deadline_s: float) -> None:
        self._recording = sound
        self._speech = speech(1.2, seed=1) if sound is None else sound
        self._numbers = count(1)
        odd = {
            "an utterance without sound": silence(0),
            "an utterance of one sample": silence(1),
            "an utterance of 20 ms": speech(0.02),
            "noise": noise(1.0, db=-30.0),
            "sound at full scale": full_scale(INPUT_RATE),
        }
        long = {"an utterance of 60 s": np.resize(self._speech, LONG_S * INPUT_RATE)}
        super().__init__("stt", deadline_s, MEMBERS, odd, long)

    async def call(self, provider: Stt) -> None:
        """Have a live utterance read: its last transcript is the one of the pause."""
        final, written = await self._live(provider, self._speech, patient=True)
        same = final.text == written[-1].transcript.text
        self.require(same, Rule.HEARS, "nothing was said since the pause, and the text is another one")
        fits = final.text or self._recording is None
        self.require(fits, Rule.ANSWERS, "it found no word in the recording")
        self.keep(Rule.HEARS, len(written), "transcripts before the last")
        self.keep(Rule.FORMAT, len(written) + 1, "transcripts")

    async def call_briefly(self, provider: Stt) -> object:
        """Have a second of speech read."""
        return await self._live(provider, self._speech[:INPUT_RATE])

    async def call_with(self, provider: Stt, odd: Samples) -> Transcript:
        """Return the final transcript of an utterance that is over before it is asked for."""
        utterance, written = self._utterance()
        _append(utterance, odd)
        utterance.become("ended", utterance.end)
        return await self._final(provider, utterance, written, eager=True)

    async def check_stage(self, provider: Stt) -> None:
        """Check calls without `eager`, partial transcripts, silence, and a dismissed utterance."""
        await self.complete("a call without `eager`", self._live(provider, self._speech, eager=False))
        if self._recording is not None:
            await self._check_partials(provider, self._recording)
        await self._check_silence(provider)
        await self._check_dismissed(provider)

    async def _check_partials(self, stt: Stt, sound: Samples) -> None:
        """Require words while the user speaks, if the provider says so; in real time, for a model needs some."""
        call = self._live(stt, sound, every_s=AS_SPOKEN_S, patient=True)
        _, written = await self.complete("a call in real time", call)
        spoken = any(write.state == "speaking" for write in written)
        self.require(
            spoken or not stt.partials, Rule.HEARS, "`partials` is true, but none came while it was spoken"
        )
        self.require(
            stt.partials or not spoken, Rule.HEARS, "`partials` is false, but some came while it was spoken"
        )
        self.keep(Rule.HEARS, len(written), "transcripts before the last")

    async def _check_silence(self, stt: Stt) -> None:
        """Require that silence has no text, also after speech."""
        await self.complete("a call", self.call_with(stt, self._speech))
        final = await self.complete("a call with silence", self.call_with(stt, silence(INPUT_RATE)))
        self.require(
            not final.text.strip(),
            Rule.FORGETS,
            f"after speech, silence gave the text {short_repr(final.text)}",
            "silence has no text: keep the sound of a call in the call, and drop what a model makes up",
        )
        self.keep(Rule.FORGETS, len(final.text), "characters in silence")

    async def _check_dismissed(self, stt: Stt) -> None:
        """Require that a dismissed utterance is over soon."""
        utterance, _ = self._utterance()

        async def dismiss() -> float:
            loop = asyncio.get_running_loop()
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(stt.transcribe(utterance, eager=True))
                await asyncio.sleep(AS_SPOKEN_S)
                utterance.become("dismissed")
                began = loop.time()
                await asyncio.wait({reading})
            return loop.time() - began

        took_s = await self.complete("a call for an utterance that is dismissed", dismiss())
        late = f"it took {took_s * 1000:.0f} ms to see that the utterance was dismissed"
        self.require(took_s <= DISMISSED_S, Rule.HEARS, late)

    # --- utterances --------------------------------------------------------------------------------------------------

    async def _live(
        self,
        stt: Stt,
        samples: Samples,
        *,
        eager: bool = True,
        every_s: float = FAST_S,
        patient: bool = False,
    ) -> tuple[Transcript, list[WrittenTranscript]]:
        """Return the final transcript of an utterance that is spoken, pauses and ends, and all before it.

        `patient`: the pause lasts until a transcript covers all that was said.
        """
        utterance, written = self._utterance()

        async def speak() -> None:
            for at in range(0, len(samples), BURST):
                _append(utterance, samples[at : at + BURST])
                utterance.become("speaking", utterance.end)
                await asyncio.sleep(every_s)
            speech_end = utterance.end
            _append(utterance, silence(INPUT_RATE // 5))
            utterance.become("paused", speech_end)
            while patient and not utterance.covered:
                await utterance.marked()
            await asyncio.sleep(PAUSE_S)
            utterance.become("ended")

        async with beside(speak()):
            final = await self._final(stt, utterance, written, eager=eager)
        return final, written

    def _utterance(self) -> tuple[Utterance, list[WrittenTranscript]]:
        """Return a new utterance, and the list of what will be written about it."""
        utterance = _RecordingUtterance(next(self._numbers), START)
        return utterance, utterance.written

    async def _final(
        self, stt: Stt, utterance: Utterance, written: list[WrittenTranscript], *, eager: bool
    ) -> Transcript:
        final = await stt.transcribe(utterance, eager=eager)
        for write in written:
            self._require_transcript(write.transcript, write.end)
        self._require_transcript(final, utterance.end)
        self.require(final.final, Rule.FORMAT, "what transcribe() returns must be `final`")
        self.require(utterance.over, Rule.FORMAT, "transcribe() returned before the utterance was over")
        covers = final.upto_sample >= utterance.speech_end
        text = "the final transcript must take in all speech (upto_sample >= speech_end)"
        self.require(covers, Rule.FORMAT, text)
        texts = [*(write.transcript.text for write in written if write.transcript.stable), final.text]
        stable = all(after.startswith(before) for before, after in pairwise(texts))
        self.require(stable, Rule.FORMAT, "a text that was said to be stable changed later")
        return final

    def _require_transcript(self, transcript: object, end: int) -> None:
        if not isinstance(transcript, Transcript):
            raise self.broken(Rule.FORMAT, f"it gave {short_repr(transcript)}, not a Transcript")
        is_text = isinstance(transcript.text, str)
        self.require(is_text, Rule.FORMAT, f"the text is {short_repr(transcript.text)}")
        confidence = transcript.confidence
        fits = confidence is None or (math.isfinite(confidence) and 0 <= confidence <= 1)
        self.require(fits, Rule.FORMAT, f"a confidence lies in 0…1 or is None, not {confidence}")
        self.require(
            START <= transcript.upto_sample <= end,
            Rule.FORMAT,
            f"upto_sample is {transcript.upto_sample}, the utterance is heard from {START} to {end}",
            "it is a position on the track, as utterance.start_sample and utterance.end are",
        )


class _RecordingUtterance(Utterance):
    """An utterance that keeps every transcript that is written on it."""

    def __init__(self, id: int, start_sample: int) -> None:
        super().__init__(id, start_sample)
        self.written: list[WrittenTranscript] = []

    def write(self, transcript: Transcript) -> None:
        super().write(transcript)
        self.written.append(WrittenTranscript(transcript, self.state, self.end))


def _append(utterance: Utterance, samples: Samples) -> None:
    for at in range(0, len(samples), FRAME):
        utterance.append(Frame(samples[at : at + FRAME], INPUT_RATE, utterance.end))
