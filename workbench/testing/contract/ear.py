"""Utterances for an STT under test: spoken to it, and what it wrote about them."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from itertools import count, pairwise

from workbench.engine.interfaces import Stt
from workbench.engine.tasks import beside
from workbench.engine.utterance import State, Utterance
from workbench.model.audio import INPUT_RATE, Frame, Samples, silence
from workbench.model.conversation import Transcript
from workbench.testing.contract.rules import Ledger, Rule, shown

FRAME = INPUT_RATE // 50
"""Samples in a frame: 20 ms."""
AT_A_TIME = 5
"""Frames that are heard at a time, …"""
EVERY_S = 0.005
"""… so often, s: twenty times as fast as anybody speaks."""
PAUSE_S = 0.03
"""How long the pause at the end of an utterance lasts, s, where nobody waits for a transcript."""
START = 8 * INPUT_RATE
"""Where an utterance begins on its track."""


@dataclass(frozen=True, slots=True)
class Written:
    """A transcript that the STT wrote, and the utterance's state and end then."""

    transcript: Transcript
    state: State
    end: int


class Ear:
    """Lets an STT hear utterances, and checks the format of what it makes of them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._numbers = count(1)

    async def ended(self, stt: Stt, samples: Samples) -> Transcript:
        """The final transcript of an utterance that is over before it is asked for."""
        utterance, written = self.fresh()
        _hear(utterance, samples)
        utterance.become("ended", utterance.end)
        return await self._final(stt, utterance, written, eager=True)

    async def live(
        self,
        stt: Stt,
        samples: Samples,
        *,
        eager: bool = True,
        every_s: float = EVERY_S,
        patient: bool = False,
    ) -> tuple[Transcript, list[Written]]:
        """The final transcript of one that is spoken, pauses and ends, and all that was written before.

        `patient`: the pause lasts until a transcript covers all that was said.
        """
        utterance, written = self.fresh()

        async def speak() -> None:
            for at in range(0, len(samples), AT_A_TIME * FRAME):
                _hear(utterance, samples[at : at + AT_A_TIME * FRAME])
                utterance.become("speaking", utterance.end)
                await asyncio.sleep(every_s)
            spoken = utterance.end
            _hear(utterance, silence(INPUT_RATE // 5))
            utterance.become("paused", spoken)
            while patient and not utterance.covered:
                await utterance.marked()
            await asyncio.sleep(PAUSE_S)
            utterance.become("ended")

        async with beside(speak()):
            final = await self._final(stt, utterance, written, eager=eager)
        return final, written

    def fresh(self) -> tuple[Utterance, list[Written]]:
        """An utterance that nobody has heard yet, and where what is written about it comes."""
        utterance, written = Utterance(next(self._numbers), START), list[Written]()
        utterance.noted = lambda of, transcript: written.append(Written(transcript, of.state, of.end))
        return utterance, written

    async def _final(
        self, stt: Stt, utterance: Utterance, written: list[Written], *, eager: bool
    ) -> Transcript:
        final = await stt.transcribe(utterance, eager=eager)
        need = self._ledger.need
        for one in written:
            self._check(one.transcript, one.end)
        self._check(final, utterance.end)
        need(final.final, Rule.FORMAT, "what transcribe() returns must be `final`")
        need(utterance.over, Rule.FORMAT, "transcribe() returned before the utterance was over")
        covers = final.upto_sample >= utterance.speech_end
        need(covers, Rule.FORMAT, "the final transcript must take in all speech (upto_sample >= speech_end)")
        texts = [*(one.transcript.text for one in written if one.transcript.stable), final.text]
        kept = all(after.startswith(before) for before, after in pairwise(texts))
        need(kept, Rule.FORMAT, "a text that was said to be stable changed later")
        return final

    def _check(self, transcript: object, end: int) -> None:
        need = self._ledger.need
        if not isinstance(transcript, Transcript):
            raise self._ledger.broken(Rule.FORMAT, f"it gave {shown(transcript)}, not a Transcript")
        need(isinstance(transcript.text, str), Rule.FORMAT, f"the text is {shown(transcript.text)}")
        confidence = transcript.confidence
        sure = confidence is None or (math.isfinite(confidence) and 0 <= confidence <= 1)
        need(sure, Rule.FORMAT, f"a confidence lies in 0…1 or is None, not {confidence}")
        heard = START <= transcript.upto_sample <= end
        need(
            heard,
            Rule.FORMAT,
            f"upto_sample is {transcript.upto_sample}, the utterance is heard from {START} to {end}",
            "it is a position on the track, as utterance.start_sample and utterance.end are",
        )


def _hear(utterance: Utterance, samples: Samples) -> None:
    for at in range(0, len(samples), FRAME):
        utterance.append(Frame(samples[at : at + FRAME], INPUT_RATE, utterance.end))
