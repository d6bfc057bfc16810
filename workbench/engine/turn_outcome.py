"""How a turn ends: what it was answered with, what the model was sent, and what all of it has used."""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.engine.reply import Reply
from workbench.engine.stages import Stages
from workbench.engine.tasks import CancelScope
from workbench.engine.utterance import Utterance
from workbench.model.conversation import NO_USAGE, Message, Usage
from workbench.model.errors import StageError
from workbench.model.events import TurnEnded, TurnStatus
from workbench.text.joining import join_texts


@dataclass(slots=True)
class TurnOutcome:
    """How a turn ends, filled in while it is answered."""

    utterance: Utterance
    scope: CancelScope
    reply: Reply | None = None
    filtered: dict[str, str] = field(default_factory=dict)
    """Texts that the user may have said, and as the model was sent them."""
    status: TurnStatus = "done"
    error: StageError | None = None
    discarded: Usage = NO_USAGE
    """Of replies that were not played."""

    @property
    def user_text(self) -> str:
        """What the user said, as far as it is transcribed."""
        return self.utterance.transcript.text if self.utterance.transcript else ""

    def user_messages(self) -> list[Message]:
        """Return what the user said, as the model was sent it, with what was added to it afterwards; [] for nothing."""
        text, reply = self.user_text.strip(), self.reply
        prompt_text = self.filtered.get(text, text)
        if reply is not None and text != reply.user_text:
            prompt_text = join_texts((reply.prompt_text, text.removeprefix(reply.user_text)))
        if not prompt_text:
            return []
        return [Message("user", prompt_text, pictures=reply.pictures if reply else ())]

    def usage(self, stages: Stages) -> Usage:
        """Return all that it used: its transcription, its reply, and replies that were not played."""
        usage = (self.reply.cost if self.reply else NO_USAGE) + self.discarded
        for segment in self.utterance.segments:
            transcript = segment.transcript
            if transcript is not None and segment.typed is None and segment.stt:
                seconds = segment.seconds if transcript.sent_s is None else transcript.sent_s
                usage += stages.price("stt", segment.stt).priced(Usage(stt_seconds=seconds))
        return usage

    def event(self, agent_text: str, cold: bool, usage: Usage, overlap_ms: float) -> TurnEnded:
        """Return the end of a turn that was decided."""
        utterance, error = self.utterance, self.error
        assert utterance.turn is not None
        return TurnEnded(
            utterance.turn,
            self.status,
            self.user_text,
            agent_text,
            cold,
            usage.to_json(),
            error.stage if error else None,
            error.reason if error else None,
            error.hint if error else None,
            overlap_ms,
        )
