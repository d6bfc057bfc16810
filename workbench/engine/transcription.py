"""The transcription of an utterance while it grows, and its spans in the trace."""

from __future__ import annotations

from workbench.engine.settings import EngineSettings
from workbench.engine.stages import Stages, session_ms
from workbench.engine.utterance import Utterance
from workbench.model.conversation import Transcript
from workbench.model.errors import StageError
from workbench.model.events import Span, Transcribed
from workbench.trace.trace import Trace


class Transcriber:
    """Writes transcripts on utterances; the time they are waited for is the part `stt` of the waterfall."""

    def __init__(self, stages: Stages, settings: EngineSettings, trace: Trace) -> None:
        self._stages = stages
        self._settings = settings
        self._trace = trace

    @property
    def _eager(self) -> bool:
        return self._stages.speculates(self._settings.reply.speculate)

    async def transcribe(self, utterance: Utterance) -> None:
        """Write transcripts until the utterance is over, the final one last. StageError once it is over."""
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

    def on_state(self, utterance: Utterance) -> None:
        """Start or stop the wait for a transcript: the user paused, went on, or has finished."""
        now = self._trace.now()
        if utterance.state == "speaking":
            utterance.awaited_since_ms = None
        elif not utterance.covered and (utterance.state == "ended" or self._eager):
            utterance.awaited_since_ms = utterance.awaited_since_ms or now
        if utterance.state == "ended":
            self._emit_spans_to_end_of_turn(utterance, now)

    def _emit_spans_to_end_of_turn(self, utterance: Utterance, now_ms: float) -> None:
        """Emit the spans from the last sample of speech to the end of turn."""
        source, last = self._stages.source, utterance.speech_end
        at_ms = session_ms(self._trace, source.time_of(last))
        for part, until in source.transit(last):
            until_ms = max(at_ms, session_ms(self._trace, until))
            self._trace.emit(Span(part, round(at_ms, 3), round(until_ms, 3), utterance=utterance.id))
            at_ms = until_ms
        self._trace.emit(Span("endpointing", round(at_ms, 3), round(now_ms, 3), utterance=utterance.id))

    def on_transcript(self, utterance: Utterance, transcript: Transcript) -> None:
        """Emit a transcript, and the wait for it if it covers all speech."""
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
        if utterance.awaited_since_ms is not None and utterance.covered:
            start, end = round(utterance.awaited_since_ms, 3), round(self._trace.now(), 3)
            provider = self._stages.stt.name if self._stages.stt else ""
            self._trace.emit(Span("stt", start, end, utterance=utterance.id, provider=provider))
            utterance.awaited_since_ms = None
