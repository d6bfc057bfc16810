"""Having the STT read along with an utterance, and telling what it wrote."""

from __future__ import annotations

from workbench.engine.settings import EngineSettings
from workbench.engine.stages import Stages, session_ms
from workbench.engine.utterance import Utterance
from workbench.model.conversation import Transcript
from workbench.model.errors import StageError
from workbench.model.events import Span, Transcribed
from workbench.trace.trace import Trace


class Transcriber:
    """Puts transcripts on utterances; their waiting time is the part `stt` of the waterfall."""

    def __init__(self, stages: Stages, settings: EngineSettings, trace: Trace) -> None:
        self._stages = stages
        self._settings = settings
        self._trace = trace

    @property
    def _eager(self) -> bool:
        return self._stages.speculates(self._settings.reply.speculate)

    async def read(self, utterance: Utterance) -> None:
        """Have the STT read along; the last word is its final transcript. StageError once the utterance is over."""
        stt = self._stages.stt
        if utterance.typed is not None:
            return
        if stt is None:
            utterance.write(Transcript("", utterance.end, final=True))
            return
        try:
            final = await stt.transcribe(utterance, eager=self._eager)
        except StageError:
            while not utterance.over:
                await utterance.marked()
            raise
        if utterance.state != "dismissed":
            utterance.write(Transcript(final.text, final.upto_sample, True, True, final.confidence))

    def turned(self, utterance: Utterance) -> None:
        """The user paused, went on, or has finished."""
        now = self._trace.now()
        if utterance.state == "speaking":
            utterance.asked_ms = None
        elif not utterance.covered and (utterance.state == "ended" or self._eager):
            utterance.asked_ms = utterance.asked_ms or now
        if utterance.state == "ended":
            self._tell_end(utterance, now)

    def _tell_end(self, utterance: Utterance, now_ms: float) -> None:
        """What passed from the last of the speech to the decision."""
        source, last = self._stages.source, utterance.speech_end
        at_ms = session_ms(self._trace, source.time_of(last))
        for part, until in source.transit(last):
            until_ms = max(at_ms, session_ms(self._trace, until))
            self._trace.emit(Span(part, round(at_ms, 3), round(until_ms, 3), utterance=utterance.id))
            at_ms = until_ms
        self._trace.emit(Span("endpointing", round(at_ms, 3), round(now_ms, 3), utterance=utterance.id))

    def note(self, utterance: Utterance, transcript: Transcript) -> None:
        """A transcript was written."""
        self._trace.emit(
            Transcribed(
                utterance.id,
                transcript.text,
                transcript.final,
                transcript.upto_sample,
                transcript.stable,
                transcript.confidence,
            )
        )
        if utterance.asked_ms is not None and utterance.covered:
            start, end = round(utterance.asked_ms, 3), round(self._trace.now(), 3)
            provider = self._stages.stt.name if self._stages.stt else ""
            self._trace.emit(Span("stt", start, end, utterance=utterance.id, provider=provider))
            utterance.asked_ms = None
