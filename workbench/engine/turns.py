"""Turns: from an utterance to the end of its turn, one task each. Whatever fails here ends that turn only."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from workbench.engine.acoustics import HeardLatency
from workbench.engine.barge_in import BargeIn, takes_floor
from workbench.engine.buffer import ReplyAudio
from workbench.engine.floor import Floor
from workbench.engine.generation import ReplyGenerator
from workbench.engine.language import LanguageFollower
from workbench.engine.listening import PER_MS, Listening
from workbench.engine.played_text import PlayedText, split_played
from workbench.engine.reply import Reply
from workbench.engine.settings import EngineSettings
from workbench.engine.spending import Spending
from workbench.engine.stages import Stages
from workbench.engine.tasks import CancelScope, beside
from workbench.engine.transcription import Transcriber
from workbench.engine.utterance import Utterance
from workbench.model.audio import OUTPUT_RATE
from workbench.model.conversation import NO_USAGE, Conversation, Message, Usage
from workbench.model.errors import StageError
from workbench.model.events import (
    Notice,
    ReplyDiscarded,
    ReplyEnded,
    ReplyStarted,
    TurnDecided,
    TurnEnded,
    TurnStatus,
)
from workbench.trace.trace import Trace

NOTABLE_GAP = OUTPUT_RATE // 50
"""Samples of silence within a reply that are worth a notice."""
CHARACTERS_PER_TOKEN = 4
TRANSCRIBED_S = 2.0
"""How long the words of an utterance are waited for that is not answered any more, s."""


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


class TokenBudget:
    """What replies that were made too early have cost during the last minute, in tokens."""

    def __init__(self) -> None:
        self._spent: deque[tuple[float, int]] = deque()

    def allows(self, now: float, most: int) -> bool:
        """Whether less than `most` was spent in the minute before `now` (s)."""
        while self._spent and self._spent[0][0] <= now - 60.0:
            self._spent.popleft()
        return sum(tokens for _, tokens in self._spent) < most

    def spend(self, now: float, reported: int, prompt: Sequence[Message]) -> None:
        """Count a reply that was discarded; a model that was stopped reports nothing, so its prompt is estimated."""
        estimate = sum(len(message.text) for message in prompt) // CHARACTERS_PER_TOKEN
        self._spent.append((now, max(reported, estimate)))


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
        self.stages = stages
        self.settings = settings
        self.trace = trace
        self.conversation = conversation
        self.floor = floor
        self.barge_in = barge_in
        self.listening = listening
        self.tasks: asyncio.TaskGroup | None = None
        """Where turns run, set while the pipeline runs."""
        self._generator = ReplyGenerator(stages, settings, trace, conversation, aside=self.say)
        self._transcriber = transcriber
        self._spending = Spending(trace)
        self._language = LanguageFollower(stages, conversation, trace)
        self._heard_latency = heard_latency
        self._loop = asyncio.get_running_loop()
        self._budget = TokenBudget()
        self._turns = 0
        self._replies = 0

    def start(self, utterance: Utterance) -> None:
        """Answer an utterance, which may still grow, in a task."""
        if self.tasks is not None:
            self.tasks.create_task(self._answer(utterance))

    def say(self, text: str) -> None:
        """Say a text that answers nothing, when the floor is free, in a task."""
        if self.tasks is not None:
            self.tasks.create_task(self._say(text, self.listening.number()))

    def assess(self, utterance: Utterance) -> None:
        """Have the turn detector's model judge a pause, in a task."""
        if self.tasks is not None and self.listening.turn.assesses(utterance):
            self.tasks.create_task(self.listening.turn.assess(utterance))

    async def _answer(self, utterance: Utterance) -> None:
        """Run the turn from its utterance to its end."""
        with self._one_end_for(utterance) as end:
            async with beside(self._transcriber.transcribe(utterance)):
                with end.scope.entered():
                    await self._reply_to(utterance, end)
                if end.scope.was_cut:
                    await self._transcribed(utterance)

    async def _say(self, text: str, order: int) -> None:
        reply = self._reply("", None)
        status: TurnStatus = "cut"
        try:
            with self.floor.claim(order) as scope, scope.entered():
                async with beside(self._generator.say(reply, text)):
                    await self._perform(reply)
                status = "done"
        except StageError as error:
            status = "failed"
            self.trace.emit(Notice("error", error.stage, error.reason, error.hint))
        finally:
            self._finish_reply(reply, status)
            self._spending.add(reply.usage, notable=True)

    # --- which reply -------------------------------------------------------------------------------------------------

    async def _reply_to(self, utterance: Utterance, end: TurnOutcome) -> None:
        """Make replies until one of them is the answer, and play it. Each is provisional: when the user goes on before
        anything of it is heard, with words that it does not answer, another one is made."""
        while end.reply is None and (text := await self._candidate(utterance)) is not None:
            self._language.follow(utterance)
            reply = self._reply(text, utterance)
            reply.scope = end.scope
            reply.on_audible = partial(self._commit, reply, end)
            reply.prompt_text = end.filtered[text] = await self.stages.hooks.user_text(text)
            reply.pictures = await self.stages.vision.look(reply.id)
            prompt = self.conversation.prompt(
                reply.prompt_text, keep=self.settings.reply.history, pictures=reply.pictures
            )
            try:
                async with beside(self._generator.answer(reply, prompt)):
                    while end.reply is None and await self._decided(utterance, reply):
                        await self._offer(utterance, reply, end)
            finally:
                if end.reply is None:
                    end.discarded += self._discard(reply, prompt)

    async def _candidate(self, utterance: Utterance) -> str | None:
        """Wait for the words to answer: the final ones, or those that may turn out to be. None where there are none."""
        while utterance.state != "dismissed":
            transcript = utterance.transcript
            if utterance.state == "ended" and utterance.transcribed:
                if not self._is_turn(utterance):
                    return None
                # what was played of the reply before belongs to the history that this one is made on
                await self._take_turn(utterance)
                return utterance.content
            choice = self.settings.reply.speculate
            if transcript is not None and utterance.content and self.stages.early("llm", choice):
                stands = utterance.state != "speaking" or transcript.stable
                if (
                    stands
                    and utterance.covered
                    and self.barge_in.objection(utterance) is None
                    and not self.floor.answers_before(utterance.id)  # its end changes what the model is sent
                    and self._budget.allows(self._loop.time(), self.settings.reply.spare_tokens)
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
                if not self._is_turn(utterance):
                    return False
                await self._take_turn(utterance)
                if utterance.state == "ended":
                    break
            elif utterance.state == "speaking":
                await utterance.changed()
            else:
                await utterance.marked()
        if reply.history != self.conversation.version or not self._answers(reply, utterance):
            return False
        self._decide(utterance)
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
            return not takes_floor(added, self.settings.bargein, utterance.language, utterance.question)
        going_on_ms = (utterance.speech_end - utterance.resumed_at) / PER_MS
        resumed = utterance.state == "speaking" and not transcript.stable
        return not resumed or going_on_ms < self.settings.bargein.min_speech_ms

    async def _offer(self, utterance: Utterance, reply: Reply, end: TurnOutcome) -> None:
        """Give the reply the floor, and return when it was played, or when the user goes on before it is heard."""
        provisional = CancelScope()

        async def watch() -> None:
            while self._stands(reply, utterance):
                await utterance.marked()
            provisional.cut()

        vad_end = utterance.speech_end if utterance.typed is None else None
        self._heard_latency.follow(reply, vad_end)
        reply.audio.release()
        utterance.reply_audio = reply.audio
        async with beside(watch()), beside(self._commit_for_tools(reply, end)):
            with provisional.entered():
                await self._perform(reply, end)

    def _stands(self, reply: Reply, utterance: Utterance) -> bool:
        """Whether the user has not gone on since the turn was decided."""
        return utterance.state == "ended" and not reply.audio.held and self._answers(reply, utterance)

    async def _commit_for_tools(self, reply: Reply, end: TurnOutcome) -> None:
        """Commit the turn where a tool with side effects waits for it, once a reply could be heard."""
        while not reply.commit_due:
            await end.utterance.marked()
        since_ms = self.trace.now()
        await self._held_back(end.utterance)
        if self._stands(reply, end.utterance):
            if (now_ms := self.trace.now()) > since_ms:
                self.trace.emit(reply.span("floor", since_ms, now_ms))
            self._commit(reply, end)

    async def _held_back(self, utterance: Utterance) -> None:
        """Wait until the user has been silent for as long as the turn detector wants before anything is heard."""
        if utterance.typed is None:
            hold_ms = self.listening.turn.hold_ms(utterance, self.settings.turn)
            due = self.stages.source.time_of(utterance.speech_end) + hold_ms / 1000
            await asyncio.sleep(max(0.0, due - self._loop.time()))

    def _commit(self, reply: Reply, end: TurnOutcome) -> None:
        """Nothing takes the reply back any more: it is the answer, and what it answers enters the conversation."""
        utterance = end.utterance
        if not utterance.committed:
            utterance.committed = True
            end.reply = reply
            self._remember_user(end)
            reply.committed.set()

    async def _take_turn(self, utterance: Utterance) -> None:
        """The utterance is a turn: end every answer to what was said before."""
        self.barge_in.confirm(utterance)
        await self.floor.cleared_for(utterance.id)

    def _is_turn(self, utterance: Utterance) -> bool:
        """Whether an utterance that ended has words for us; it is dismissed if not."""
        if utterance.typed is not None or utterance.turn is not None:
            return True
        if utterance.content:
            reason: str | None = self.barge_in.objection(utterance)
        else:
            reason = "no words" if utterance.transcribed else "not understood"
        if reason is not None:
            self.listening.dismiss(utterance, reason)
        return reason is None

    def _decide(self, utterance: Utterance) -> None:
        """The user has finished, for all we know: make the utterance a turn, unless it is one already."""
        if utterance.turn is None:
            self._turns += 1
            utterance.turn = self._turns
        if utterance.typed is None:
            waited_ms = (utterance.end - utterance.speech_end) / PER_MS
            decided = TurnDecided(utterance.turn, utterance.id, False, utterance.speech_end, waited_ms)
        else:
            decided = TurnDecided(utterance.turn, utterance.id, True)
        self.trace.emit(decided)

    async def _transcribed(self, utterance: Utterance) -> None:
        """Wait for the final transcript, a while: it is not answered any more, but it belongs to the conversation."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TRANSCRIBED_S):
                while utterance.state != "dismissed" and not utterance.transcribed:
                    await utterance.marked()

    # --- replies -----------------------------------------------------------------------------------------------------

    def _reply(self, user_text: str, utterance: Utterance | None) -> Reply:
        self._replies += 1
        reply = Reply(self._replies, user_text, ReplyAudio(self.settings.reply.buffer_s))
        reply.history = self.conversation.version
        reply.started_at = self._loop.time()
        reply.answers = utterance
        reply.turn = utterance.turn if utterance else None
        reply.segments = len(utterance.segments) if utterance else 0
        speculative = utterance is not None and utterance.state != "ended"
        if not speculative or self.stages.early("tts", self.settings.reply.speculate):
            reply.may_speak.set()
        self.trace.emit(ReplyStarted(reply.id, reply.utterance, reply.turn, user_text, speculative))
        return reply

    async def _perform(self, reply: Reply, end: TurnOutcome | None = None) -> None:
        """Take the floor until all was handed to the sink. A reply of which nothing can be heard is then the answer."""
        await reply.audio.ready()
        reply.ready_ms = self.trace.now()
        if end is not None:
            await self._held_back(end.utterance)
        await self.floor.free()
        self.barge_in.reply_begins()
        with self.floor.taken_by(reply):
            await reply.audio.drained()
        if end is not None:
            if end.utterance.state != "ended" or reply.audio.held:
                return
            self._commit(reply, end)
        if reply.failure is not None:
            raise reply.failure

    def _discard(self, reply: Reply, prompt: Sequence[Message]) -> Usage:
        seconds, cost = self._loop.time() - reply.started_at, reply.cost
        tokens = cost.input_tokens + cost.output_tokens
        self._heard_latency.drop(reply)
        self._budget.spend(self._loop.time(), tokens, prompt)
        reason = "the user went on, or the conversation did"
        self.trace.emit(ReplyDiscarded(reply.id, reply.utterance, reason, round(seconds, 3), tokens))
        return cost

    def _finish_reply(self, reply: Reply, status: TurnStatus) -> PlayedText:
        """End a reply: what was played of its text goes into the trace and the conversation."""
        audio = reply.audio
        read = self.stages.tts is None or reply.written or (reply.voiceless and status == "failed")
        if status == "done" or read:
            text = PlayedText(reply.text, "", False)
        else:
            text = split_played(reply.chunks, audio.played)
        # what was said around the tools is in what was played
        self._remember(*(replace(step, text="") if step.calls else step for step in reply.steps))
        if text.played:
            self._remember(Message("assistant", text.played, cut=bool(text.unplayed)))
        if audio.underrun > NOTABLE_GAP:
            gap_ms = audio.underrun * 1000 / OUTPUT_RATE
            reason = f"speech was not ready in time: {gap_ms:.0f} ms of silence in it"
            self.trace.emit(Notice("warning", "tts", reason))
        self.trace.emit(
            ReplyEnded(
                reply.id, reply.turn, status, text.played, text.unplayed, audio.ended_at, text.estimated
            )
        )
        self._heard_latency.conclude(reply)
        return text

    def _remember_user(self, end: TurnOutcome) -> None:
        """Remember what the user said, as the model was sent it; what was added to it afterwards too."""
        text, reply = end.user_text.strip(), end.reply
        prompt_text = end.filtered.get(text, text)
        if reply is not None and text != reply.user_text:
            prompt_text = f"{reply.prompt_text} {text.removeprefix(reply.user_text).strip()}"
        if prompt_text:
            self._remember(Message("user", prompt_text, pictures=reply.pictures if reply else ()))

    def _remember(self, *messages: Message) -> None:
        self.conversation.add(*messages, keep=self.settings.reply.history)

    # --- ends --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _one_end_for(self, utterance: Utterance) -> Iterator[TurnOutcome]:
        """Whatever happens inside becomes the turn's end; only cancellation of the session leaves."""
        with self.floor.claim(utterance.id, utterance) as scope:
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
                self.barge_in.forget(utterance)
                open_turn, utterance.committed = not utterance.committed, True
                if open_turn and utterance.turn is not None:
                    self._remember_user(end)
                usage = end.usage(self.stages)
                if utterance.turn is not None:
                    self._end(end, usage)
                self._spending.add(usage, notable=utterance.turn is not None)

    def _cut_short(self, end: TurnOutcome) -> None:
        """An answer was cut: if its turn was not decided yet, its words make it one."""
        utterance = end.utterance
        if utterance.turn is None and utterance.state != "dismissed" and self._is_turn(utterance):
            self._decide(utterance)

    def _failed(self, end: TurnOutcome, error: StageError) -> None:
        """A turn fails; what would have been none (a cough) only leaves a notice."""
        utterance = end.utterance
        if utterance.turn is not None:
            return
        if utterance.state != "dismissed" and self.barge_in.objection(utterance) is None:
            self._decide(utterance)
        else:
            self.listening.dismiss(utterance, "not understood")
            self.trace.emit(Notice("error", error.stage, error.reason, error.hint))

    def _end(self, end: TurnOutcome, usage: Usage) -> None:
        agent_text, overlap_ms = "", 0.0
        if end.reply is not None:
            agent_text = self._finish_reply(end.reply, end.status).played
            overlap_ms = self._heard_latency.overlap_ms(end.reply, self.listening.voiced)
        cold, self.stages.cold = self.stages.cold, False
        if self.stages.started_anew():
            cold = True
            self.trace.emit(Notice("warning", "host", "a model had to be started again: this turn was cold"))
        self.trace.emit(end.event(agent_text, cold, usage, overlap_ms))
