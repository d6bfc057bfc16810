"""Which reply is the answer: each is provisional, until something of it can be heard or done."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from workbench.engine.barge_in import takes_floor
from workbench.engine.generation import ReplyGenerator
from workbench.engine.language import LanguageFollower
from workbench.engine.listening import PER_MS
from workbench.engine.replies import Replies
from workbench.engine.reply import Reply
from workbench.engine.settings import EngineSettings
from workbench.engine.stages import Stages
from workbench.engine.tasks import CancelScope, beside
from workbench.engine.turn_decider import TurnDecider
from workbench.engine.turn_outcome import TurnOutcome
from workbench.engine.utterance import Utterance
from workbench.model.conversation import Conversation
from workbench.trace.trace import Trace


class ProvisionalReplies:
    """Makes replies to an utterance that may still grow, and plays the one that answers it."""

    def __init__(
        self,
        stages: Stages,
        settings: EngineSettings,
        trace: Trace,
        conversation: Conversation,
        generator: ReplyGenerator,
        replies: Replies,
        decider: TurnDecider,
    ) -> None:
        self._stages = stages
        self._settings = settings
        self._trace = trace
        self._conversation = conversation
        self._generator = generator
        self._replies = replies
        self._decider = decider
        self._language = LanguageFollower(stages, conversation, trace)

    async def prepare(self) -> None:
        """Have the LLM read the history while the user speaks, where that costs nothing."""
        if self._stages.early("llm", self._settings.reply.speculate):
            before = self._conversation.prompt("", keep=self._settings.reply.history)[:-1]
            await self._stages.llm.prepare(before)

    async def answer(self, end: TurnOutcome) -> None:
        """Make replies until one of them is the answer, and play it. Each is provisional: when the user goes on before
        anything of it is heard, with words that it does not answer, another one is made."""
        utterance = end.utterance
        while end.reply is None and (text := await self._candidate(utterance)) is not None:
            self._language.follow(utterance)
            reply = self._replies.begin(text, utterance)
            reply.scope = end.scope
            reply.on_audible = partial(self._commit, reply, end)
            reply.prompt_text = end.filtered[text] = await self._stages.hooks.user_text(text)
            reply.pictures = await self._stages.vision.look(reply.id)
            prompt = self._conversation.prompt(
                reply.prompt_text, keep=self._settings.reply.history, pictures=reply.pictures
            )
            try:
                async with beside(self._generator.answer(reply, prompt)):
                    while end.reply is None and await self._decided(utterance, reply):
                        await self._offer(utterance, reply, end)
            finally:
                if end.reply is None:
                    end.discarded += self._replies.discard(reply, prompt)

    async def _candidate(self, utterance: Utterance) -> str | None:
        """Wait for the words to answer: the final ones, or those that may turn out to be. None where there are none."""
        while utterance.state != "dismissed":
            transcript = utterance.transcript
            if utterance.state == "ended" and utterance.transcribed:
                if not self._decider.is_turn(utterance):
                    return None
                # what was played of the reply before belongs to the history that this one is made on
                await self._decider.take(utterance)
                return utterance.content
            choice = self._settings.reply.speculate
            if transcript is not None and utterance.content and self._stages.early("llm", choice):
                stands = utterance.state != "speaking" or transcript.stable
                if (
                    stands
                    and utterance.covered
                    and self._decider.may_be_turn(utterance)
                    and self._replies.may_begin_early()
                ):
                    return utterance.content
            await utterance.marked()
        return None

    async def _decided(self, utterance: Utterance, reply: Reply) -> bool:
        """Wait until the turn is decided: True if this reply answers it, False if it has to be made again."""
        while True:
            if utterance.state == "dismissed" or not self._answers(reply, utterance):
                return False
            if utterance.state == "ended" and utterance.transcribed:
                if not self._decider.is_turn(utterance):
                    return False
                await self._decider.take(utterance)
                if utterance.state == "ended":
                    break
            elif utterance.state == "speaking":
                await utterance.changed()
            else:
                await utterance.marked()
        if reply.history != self._conversation.version or not self._answers(reply, utterance):
            return False
        self._decider.decide(utterance)
        reply.turn = utterance.turn
        reply.may_speak.set()
        return True

    def _answers(self, reply: Reply, utterance: Utterance) -> bool:
        """Whether the reply still answers what was said: nothing came to it but a click, a cough, or an "mhm" after the
        end of the turn."""
        transcript, said = utterance.transcript, reply.user_text
        if transcript is None:
            return False
        if utterance.content != said:
            more, later = utterance.content.removeprefix(said), utterance.segments[reply.segments :]
            if more == utterance.content or not later or any(segment.typed for segment in later):
                return False
            added = replace(transcript, text=more)
            return not takes_floor(added, self._settings.bargein, utterance.language, utterance.question)
        going_on_ms = (utterance.speech_end - utterance.resumed_at) / PER_MS
        resumed = utterance.state == "speaking" and not transcript.stable
        return not resumed or going_on_ms < self._settings.bargein.min_speech_ms

    async def _offer(self, utterance: Utterance, reply: Reply, end: TurnOutcome) -> None:
        """Give the reply the floor, and return when it was played, or when the user goes on before it is heard."""
        provisional = CancelScope()

        async def watch() -> None:
            while self._stands(reply, utterance):
                await utterance.marked()
            provisional.cut()

        reply.audio.release()
        utterance.reply_audio = reply.audio
        async with beside(watch()), beside(self._commit_for_tools(reply, end)):
            with provisional.entered():
                await self._replies.play(reply)
                if utterance.state == "ended" and not reply.audio.held:  # nothing of it may have been audible
                    self._commit(reply, end)
                    if reply.failure is not None:
                        raise reply.failure

    def _stands(self, reply: Reply, utterance: Utterance) -> bool:
        """Whether the user has not gone on since the turn was decided."""
        return utterance.state == "ended" and not reply.audio.held and self._answers(reply, utterance)

    async def _commit_for_tools(self, reply: Reply, end: TurnOutcome) -> None:
        """Commit the turn where a tool with side effects waits for it, once a reply could be heard."""
        while not reply.commit_due:
            await end.utterance.marked()
        since_ms = self._trace.now()
        await self._replies.held_back(reply)
        if self._stands(reply, end.utterance):
            if (now_ms := self._trace.now()) > since_ms:
                self._trace.emit(reply.span("floor", since_ms, now_ms))
            self._commit(reply, end)

    def _commit(self, reply: Reply, end: TurnOutcome) -> None:
        """Nothing takes the reply back any more: it is the answer, and what it answers enters the conversation."""
        utterance = end.utterance
        if not utterance.committed:
            utterance.committed = True
            end.reply = reply
            self._replies.remember(*end.user_messages())
            reply.committed.set()
