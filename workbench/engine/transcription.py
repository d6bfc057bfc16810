"""The transcription of an utterance while it grows, and its spans in the trace."""

from __future__ import annotations

from dataclasses import replace

from workbench.engine.settings import EngineSettings
from workbench.engine.stages import Stages, session_ms
from workbench.engine.tasks import CancelScope, beside
from workbench.engine.utterance import Segment, Utterance
from workbench.model.conversation import Transcript
from workbench.model.errors import StageError
from workbench.model.events import Span
from workbench.trace.trace import Trace


class Transcriber:
    """Writes transcripts on utterances; the time that one is waited for is the part `stt` of the waterfall."""

    def __init__(self, stages: Stages, settings: EngineSettings, trace: Trace) -> None:
        self._stages = stages
        self._settings = settings
        self._trace = trace

    @property
    def _eager(self) -> bool:
        return self._stages.early("stt", self._settings.reply.speculate)

    async def transcribe(self, utterance: Utterance) -> None:
        """Write transcripts of one segment after the other, each until its final one; go on until cancelled.

        StageError once the utterance is over.
        """
        while True:
            segment = next((each for each in utterance.segments if not each.transcribed), None)
            if segment is None:
                await utterance.marked()
                continue
            try:
                await self._transcribe(segment)
            except StageError:
                while not utterance.over:
                    await utterance.marked()
                raise

    async def _transcribe(self, segment: Segment) -> None:
        """Write the transcripts of a segment, unless it is dismissed meanwhile."""
        stt, needed = self._stages.stt, CancelScope()
        if stt is None:
            segment.write(Transcript("", segment.end, final=True))
            return

        async def watch() -> None:
            while segment.state != "dismissed":
                await segment.marked()
            needed.cut()

        async with beside(watch()):
            with needed.entered():
                final = await stt.transcribe(segment, eager=self._eager)
                segment.write(replace(final, final=True, stable=True))

    def silent(self, utterance: Utterance) -> None:
        """The user is silent: what was said so far may be waited for from now on."""
        if not utterance.covered and (utterance.state == "ended" or self._eager):
            utterance.awaited_since_ms = utterance.awaited_since_ms or self._trace.now()

    def resumed(self, utterance: Utterance) -> None:
        """The user goes on: nobody waits for what was said so far."""
        utterance.awaited_since_ms = None

    def ended(self, utterance: Utterance) -> None:
        """The user has finished: emit how long it took from the last of the speech to this decision."""
        self.silent(utterance)
        source, last, now_ms = self._stages.source, utterance.speech_end, self._trace.now()
        at_ms = session_ms(self._trace, source.time_of(last))
        for part, until in source.transit(last):
            until_ms = max(at_ms, session_ms(self._trace, until))
            self._trace.emit(Span(part, round(at_ms, 3), round(until_ms, 3), utterance=utterance.id))
            at_ms = until_ms
        self._trace.emit(Span("endpointing", round(at_ms, 3), round(now_ms, 3), utterance=utterance.id))
