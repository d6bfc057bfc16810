"""Decides whether an utterance is a turn, and numbers it."""

from __future__ import annotations

from workbench.engine.barge_in import BargeIn
from workbench.engine.floor import Floor
from workbench.engine.listening import PER_MS, Listening
from workbench.engine.utterance import Utterance
from workbench.model.events import TurnDecided
from workbench.trace.trace import Trace


class TurnDecider:
    """Makes turns of utterances that ended with words for us, and dismisses the others."""

    def __init__(self, listening: Listening, barge_in: BargeIn, floor: Floor, trace: Trace) -> None:
        self._listening = listening
        self._barge_in = barge_in
        self._floor = floor
        self._trace = trace
        self._turns = 0

    def is_turn(self, utterance: Utterance) -> bool:
        """Whether an utterance that ended has words for us; it is dismissed if not."""
        if utterance.typed is not None or utterance.turn is not None:
            return True
        if utterance.content:
            reason: str | None = self._barge_in.objection(utterance)
        else:
            reason = "no words" if utterance.transcribed else "not understood"
        if reason is not None:
            self._listening.dismiss(utterance, reason)
        return reason is None

    def may_be_turn(self, utterance: Utterance) -> bool:
        """Whether its words so far may be answered, and no answer is under way whose end changes what the model is
        sent."""
        return self._barge_in.objection(utterance) is None and not self._floor.answers_before(utterance.id)

    async def take(self, utterance: Utterance) -> None:
        """The utterance is a turn: end every answer to what was said before."""
        self._barge_in.confirm(utterance)
        await self._floor.cleared_for(utterance.id)

    def decide(self, utterance: Utterance) -> None:
        """The user has finished, for all we know: make the utterance a turn, unless it is one already."""
        if utterance.turn is None:
            self._turns += 1
            utterance.turn = self._turns
        if utterance.typed is None:
            waited_ms = (utterance.end - utterance.speech_end) / PER_MS
            decided = TurnDecided(utterance.turn, utterance.id, False, utterance.speech_end, waited_ms)
        else:
            decided = TurnDecided(utterance.turn, utterance.id, True)
        self._trace.emit(decided)
