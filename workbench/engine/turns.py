"""Turns: from an utterance to the end of its turn, one task each. Whatever fails here ends that turn only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from workbench.engine.acoustics import HeardLatency
from workbench.engine.barge_in import BargeIn
from workbench.engine.floor import Floor
from workbench.engine.generation import ReplyGenerator
from workbench.engine.listening import Listening
from workbench.engine.provisional import ProvisionalReplies
from workbench.engine.replies import Replies
from workbench.engine.settings import EngineSettings
from workbench.engine.spending import Spending
from workbench.engine.stages import Stages
from workbench.engine.tasks import beside
from workbench.engine.transcription import Transcriber
from workbench.engine.turn_decider import TurnDecider
from workbench.engine.turn_outcome import TurnOutcome
from workbench.engine.utterance import Utterance
from workbench.model.conversation import Conversation, Usage
from workbench.model.errors import StageError
from workbench.model.events import Notice, TurnStatus
from workbench.trace.trace import Trace

TRANSCRIBED_S = 2.0
"""How long the words of an utterance are waited for that is not answered any more, s."""


class TurnRunner:
    """Answers utterances, and says what the agent has to say by itself, each in a task of its own."""

    def __init__(
        self,
        stages: Stages,
        settings: EngineSettings,
        trace: Trace,
        conversation: Conversation,
        floor: Floor,
        barge_in: BargeIn,
        listening: Listening,
        transcriber: Transcriber,
        heard_latency: HeardLatency,
    ) -> None:
        self._stages = stages
        self._trace = trace
        self._floor = floor
        self._barge_in = barge_in
        self._listening = listening
        self.tasks: asyncio.TaskGroup | None = None
        """Where turns run, set while the pipeline runs."""
        self._transcriber = transcriber
        self._heard_latency = heard_latency
        self._spending = Spending(trace)
        self._generator = ReplyGenerator(stages, settings, trace, conversation, aside=self.say)
        self._decider = TurnDecider(listening, barge_in, floor, trace)
        self._replies = Replies(
            stages, settings, trace, conversation, floor, barge_in, listening.turn, heard_latency
        )
        self._provisional = ProvisionalReplies(
            stages,
            settings,
            trace,
            conversation,
            self._generator,
            self._replies,
            self._decider,
        )

    def start(self, utterance: Utterance) -> None:
        """Answer an utterance, which may still grow, in a task; the LLM may read what came before it meanwhile."""
        if self.tasks is None:
            return
        if (
            utterance.state == "speaking" and not self._floor.busy
        ):  # else it is at work, and the history not complete
            self.tasks.create_task(self._provisional.prepare())
        self.tasks.create_task(self._answer(utterance))

    def say(self, text: str) -> None:
        """Say a text that answers nothing, when the floor is free, in a task."""
        if self.tasks is not None:
            self.tasks.create_task(self._say(text, self._listening.number()))

    def assess(self, utterance: Utterance) -> None:
        """Have the turn detector's model judge a pause, in a task."""
        if self.tasks is not None and self._listening.turn.assesses(utterance):
            self.tasks.create_task(self._listening.turn.assess(utterance))

    async def _answer(self, utterance: Utterance) -> None:
        """Run the turn from its utterance to its end."""
        with self._one_end_for(utterance) as end:
            async with beside(self._transcriber.transcribe(utterance)):
                with end.scope.entered():
                    await self._provisional.answer(end)
                if end.scope.was_cut:
                    await self._transcribed(utterance)

    async def _say(self, text: str, order: int) -> None:
        reply = self._replies.begin("", None)
        status: TurnStatus = "cut"
        try:
            with self._floor.claim(order) as scope, scope.entered():
                async with beside(self._generator.say(reply, text)):
                    await self._replies.play(reply)
                if reply.failure is not None:
                    raise reply.failure
                status = "done"
        except StageError as error:
            status = "failed"
            self._trace.emit(Notice("error", error.stage, error.reason, error.hint))
        finally:
            self._replies.finish(reply, status)
            self._spending.add(reply.usage, notable=True)

    async def _transcribed(self, utterance: Utterance) -> None:
        """Wait for the final transcript, a while: it is not answered any more, but it belongs to the conversation."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TRANSCRIBED_S):
                while utterance.state != "dismissed" and not utterance.transcribed:
                    await utterance.marked()

    # --- ends --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _one_end_for(self, utterance: Utterance) -> Iterator[TurnOutcome]:
        """Whatever happens inside becomes the turn's end; only cancellation of the session leaves."""
        with self._floor.claim(utterance.id, utterance) as scope:
            end = TurnOutcome(utterance, scope)
            try:
                yield end
                if scope.was_cut:
                    end.status = "cut"
                    self._cut_short(end)
            except StageError as error:
                end.status, end.error = "failed", error
                self._failed(end, error)
            except BaseException:
                end.status = "cut"
                raise
            finally:
                self._barge_in.forget(utterance)
                open_turn, utterance.committed = not utterance.committed, True
                if open_turn and utterance.turn is not None:
                    self._replies.remember(*end.user_messages())
                usage = end.usage(self._stages)
                if utterance.turn is not None:
                    self._end(end, usage)
                self._spending.add(usage, notable=utterance.turn is not None)

    def _cut_short(self, end: TurnOutcome) -> None:
        """An answer was cut: if its turn was not decided yet, its words make it one."""
        utterance = end.utterance
        if utterance.turn is None and utterance.state != "dismissed" and self._decider.is_turn(utterance):
            self._decider.decide(utterance)

    def _failed(self, end: TurnOutcome, error: StageError) -> None:
        """A turn fails; what would have been none (a cough) only leaves a notice."""
        utterance = end.utterance
        if utterance.turn is not None:
            return
        if utterance.state != "dismissed" and self._barge_in.objection(utterance) is None:
            self._decider.decide(utterance)
        else:
            self._listening.dismiss(utterance, "not understood")
            self._trace.emit(Notice("error", error.stage, error.reason, error.hint))

    def _end(self, end: TurnOutcome, usage: Usage) -> None:
        agent_text, overlap_ms = "", 0.0
        if end.reply is not None:
            agent_text = self._replies.finish(end.reply, end.status).played
            overlap_ms = self._heard_latency.overlap_ms(end.reply, self._listening.voiced)
        cold, self._stages.cold = self._stages.cold, False
        if self._stages.started_anew():
            cold = True
            self._trace.emit(Notice("warning", "host", "a model had to be started again: this turn was cold"))
        self._trace.emit(end.event(agent_text, cold, usage, overlap_ms))
