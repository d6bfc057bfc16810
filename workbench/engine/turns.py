"""The answering half: from an utterance to the end of its turn, one task each. Whatever fails here ends that turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from workbench.engine.buffer import ReplyAudio
from workbench.engine.floor import Floor
from workbench.engine.generation import ReplyGenerator
from workbench.engine.listening import PER_MS, Listening
from workbench.engine.played_text import PlayedText, split_played
from workbench.engine.reply import Reply
from workbench.engine.settings import EngineSettings
from workbench.engine.stages import Stages, session_ms
from workbench.engine.tasks import CancelScope, beside
from workbench.engine.transcription import Transcriber
from workbench.engine.utterance import Utterance
from workbench.model.audio import OUTPUT_RATE
from workbench.model.conversation import Conversation, Message, Picture, Usage
from workbench.model.errors import StageError
from workbench.model.events import (
    Notice,
    Part,
    ReplyDiscarded,
    ReplyEnded,
    ReplyPlaying,
    ReplyStarted,
    Span,
    TurnDecided,
    TurnEnded,
    TurnStatus,
)
from workbench.trace.trace import Trace

NOTABLE_GAP = OUTPUT_RATE // 50
"""Samples of silence within a reply that are worth a notice."""
UNDERSTOOD_S = 2.0
"""How long the words of an utterance are waited for that nobody answers any more, s."""


@dataclass(slots=True)
class TurnOutcome:
    """How a turn ends, filled in while it is answered."""

    utterance: Utterance
    scope: CancelScope
    reply: Reply | None = None
    filtered: dict[str, str] = field(default_factory=dict)
    """What the user may have said, and how it was put to the model."""
    status: TurnStatus = "done"
    error: StageError | None = None
    discarded: Usage = field(default_factory=Usage)

    @property
    def words(self) -> str:
        """What the user said, as far as it is known."""
        text = self.utterance.transcript.text if self.utterance.transcript else ""
        return self.filtered.get(text, text)


class TurnRunner:
    """Answers utterances. `settle` lets the readers catch up before a turn's end; `aside` speaks a text of the agent's
    own."""

    def __init__(
        self,
        stages: Stages,
        settings: EngineSettings,
        trace: Trace,
        conversation: Conversation,
        floor: Floor,
        listening: Listening,
        transcriber: Transcriber,
        settle: Callable[[], None],
        aside: Callable[[str], None],
    ) -> None:
        self.stages = stages
        self.settings = settings
        self.trace = trace
        self.conversation = conversation
        self.floor = floor
        self.listening = listening
        self.generator = ReplyGenerator(stages, settings, trace, remember=self._remember, aside=aside)
        self._transcriber = transcriber
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._turns = 0
        self._replies = 0

    async def answer(self, utterance: Utterance) -> None:
        """From an utterance to the end of its turn."""
        with self._one_end_for(utterance) as end:
            async with beside(self._transcriber.transcribe(utterance)):
                with end.scope.entered():
                    await self._reply_to(utterance, end)
                if end.scope.was_cut:
                    await self._understood(utterance)

    async def speak(self, text: str, order: int) -> None:
        """Say a given text: a reply to nothing."""
        reply = self._reply("", None)
        status: TurnStatus = "cut"
        try:
            with self.floor.unfinished(order) as scope, scope.entered():
                async with beside(self.generator.say(reply, text)):
                    await self._perform(reply)
                status = "done"
        except StageError as error:
            status = "failed"
            self.trace.emit(Notice("error", error.stage, error.reason, error.hint))
        finally:
            self._finish_reply(reply, status)

    # --- which reply -------------------------------------------------------------------------------------------------

    async def _reply_to(self, utterance: Utterance, end: TurnOutcome) -> None:
        """Make replies until one of them is the answer, and have it heard."""
        attempts = 0
        while end.reply is None and (said := await self._candidate(utterance, attempts)) is not None:
            attempts += 1
            reply = self._reply(said, utterance)
            reply.scope = end.scope
            reply.prompt_text = end.filtered[said] = await self.stages.hooks.user_text(said)
            reply.pictures = await self.stages.vision.look(reply.id)
            prompt = self.conversation.prompt(
                reply.prompt_text, keep=self.settings.reply.history, pictures=reply.pictures
            )
            try:
                async with beside(self.generator.answer(reply, prompt)):
                    if await self._settled(utterance, reply):
                        end.reply = reply
                        await self._perform(reply)
            finally:
                if end.reply is None:
                    end.discarded += self._discard(reply)

    async def _candidate(self, utterance: Utterance, attempts: int) -> str | None:
        """The words to answer: the final ones, or those that may turn out to be; None when there are none."""
        while True:
            transcript = utterance.transcript
            if utterance.state == "dismissed":
                return None
            if utterance.state == "ended" and transcript is not None and transcript.final:
                if not self._is_turn(utterance):
                    return None
                # what was heard of the reply before belongs to the history that this one is made on
                await self.floor.cleared_for(utterance)
                return transcript.text
            if (
                self.stages.speculates(self.settings.reply.speculate)
                and attempts < self.settings.reply.attempts
                and transcript is not None
                and transcript.text.strip()
            ):
                settled = utterance.state != "speaking" or transcript.stable
                if settled and utterance.covered and self.floor.objection(utterance) is None:
                    return transcript.text
            await utterance.marked()

    async def _settled(self, utterance: Utterance, reply: Reply) -> bool:
        """Wait until the turn is decided: True if this reply answers it, False if it has to be made again."""
        covers = utterance.transcript.upto_sample if utterance.transcript else 0
        while True:
            transcript = utterance.transcript
            if utterance.state == "dismissed":
                return False
            if transcript is not None and transcript.text.strip() != reply.user_text.strip():
                return False
            if utterance.state == "ended" and transcript is not None and transcript.final:
                break
            stable = transcript is not None and transcript.stable
            if utterance.state == "speaking" and not stable and utterance.speech_end > covers:
                return False
            await utterance.marked()
        if not self._is_turn(utterance):
            return False
        await self.floor.cleared_for(utterance)
        if reply.history != self.conversation.version:
            return False
        self._decide(utterance, reply.prompt_text, reply.pictures)
        reply.turn = utterance.turn
        reply.confirmed.set()
        return True

    def _is_turn(self, utterance: Utterance) -> bool:
        """Whether an utterance that ended has words for us; it is dismissed if not."""
        if utterance.typed is not None:
            return True
        objection = self.floor.objection(utterance)
        if not (utterance.transcript and utterance.transcript.text.strip()):
            objection = (
                "no words" if utterance.transcript and utterance.transcript.final else "not understood"
            )
        if objection is not None:
            self.listening.dismiss(utterance, objection)
        return objection is None

    def _decide(self, utterance: Utterance, said: str, pictures: tuple[Picture, ...] = ()) -> None:
        if utterance.turn is None:
            self._turns += 1
            utterance.turn = self._turns
            if utterance.typed is None:
                self.listening.learn(utterance)
                waited_ms = (utterance.end - utterance.speech_end) / PER_MS
                decided = TurnDecided(self._turns, utterance.id, False, utterance.speech_end, waited_ms)
            else:
                decided = TurnDecided(self._turns, utterance.id, True)
            self.trace.emit(decided)
            if said:
                self._remember(Message("user", said, pictures=pictures))

    async def _understood(self, utterance: Utterance) -> None:
        """Nobody answers it any more, but what was said counts."""
        with suppress(TimeoutError):
            async with asyncio.timeout(UNDERSTOOD_S):
                while not (
                    utterance.state == "dismissed" or (utterance.transcript and utterance.transcript.final)
                ):
                    await utterance.marked()

    # --- replies -----------------------------------------------------------------------------------------------------

    def _reply(self, said: str, utterance: Utterance | None) -> Reply:
        self._replies += 1
        reply = Reply(self._replies, said, ReplyAudio(self.settings.reply.buffer_s))
        reply.history = self.conversation.version
        reply.started_at = self._loop.time()
        reply.utterance = utterance.id if utterance else None
        reply.turn = utterance.turn if utterance else None
        speculative = utterance is not None and utterance.state != "ended"
        self.trace.emit(ReplyStarted(reply.id, reply.utterance, reply.turn, said, speculative))
        return reply

    async def _perform(self, reply: Reply) -> None:
        """Have the floor until all was handed to the sink."""
        await reply.audio.ready()
        reply.ready_ms = self.trace.now()
        async with self.floor.taken_by(reply, lambda: self._playing(reply)):
            reply.granted_ms = self.trace.now()
            await reply.audio.drained()
        if reply.failure is not None:
            raise reply.failure

    def _playing(self, reply: Reply) -> None:
        """The first sample was handed to the sink: tell when it is heard."""
        first = reply.audio.began_at
        assert first is not None
        self.trace.emit(ReplyPlaying(reply.id, reply.turn, first))
        free_ms = max(reply.granted_ms, self.floor.released_ms)
        self._span("floor", reply, reply.ready_ms, free_ms)
        leaves_ms = free_ms
        for part, until in self.stages.sink.transit(first):
            leaves_ms = session_ms(self.trace, until)
            self._span(part, reply, free_ms, leaves_ms)
            free_ms = max(free_ms, leaves_ms)
        if reply.leading is not None:
            self._span("leading_silence", reply, leaves_ms, leaves_ms + reply.leading * 1000 / OUTPUT_RATE)

    def _discard(self, reply: Reply) -> Usage:
        seconds, cost = self._loop.time() - reply.started_at, reply.cost
        tokens = cost.input_tokens + cost.output_tokens
        reason = "the user went on, or the conversation did"
        self.trace.emit(ReplyDiscarded(reply.id, reply.utterance, reason, round(seconds, 3), tokens))
        return cost

    def _finish_reply(self, reply: Reply, status: TurnStatus) -> PlayedText:
        """Tell what was heard of a reply, and remember it so."""
        audio = reply.audio
        read = self.stages.tts is None or (reply.voiceless and status == "failed")
        result = (
            PlayedText(reply.text, "", False)
            if status == "done" or read
            else split_played(reply.chunks, audio.played)
        )
        # what was said around the tools is in what was heard
        self._remember(*(replace(step, text="") if step.calls else step for step in reply.steps))
        if result.played:
            self._remember(Message("assistant", result.played, cut=bool(result.unplayed)))
        if audio.missing > NOTABLE_GAP:
            gap_ms = audio.missing * 1000 / OUTPUT_RATE
            reason = f"speech was not ready in time: {gap_ms:.0f} ms of silence in it"
            self.trace.emit(Notice("warning", "tts", reason))
        self.trace.emit(
            ReplyEnded(
                reply.id, reply.turn, status, result.played, result.unplayed, audio.ended_at, result.estimated
            )
        )
        return result

    def _remember(self, *messages: Message) -> None:
        if not messages:
            return
        self.conversation.add(*messages)
        keep = self.settings.reply.history
        if len(self.conversation.messages) > 2 * keep + 2:
            self.conversation.messages[:] = self.conversation.latest(keep)

    # --- ends --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _one_end_for(self, utterance: Utterance) -> Iterator[TurnOutcome]:
        """Whatever happens inside becomes the turn's end; only cancellation of the session leaves."""
        with self.floor.unfinished(utterance.id, utterance) as scope:
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
                self.floor.forget(utterance)
                if utterance.turn is not None:
                    self._end(end)

    def _cut_short(self, end: TurnOutcome) -> None:
        """An answer was cut: if its turn was not decided yet, its words make it one."""
        utterance = end.utterance
        if utterance.turn is None and utterance.state != "dismissed" and self._is_turn(utterance):
            self._decide(utterance, end.words)

    def _failed(self, end: TurnOutcome, error: StageError) -> None:
        """A turn fails; what would have been none (a cough) only leaves a notice."""
        utterance = end.utterance
        if utterance.turn is not None:
            return
        if utterance.state != "dismissed" and self.floor.objection(utterance) is None:
            self._decide(utterance, end.words)
        else:
            self.listening.dismiss(utterance, "not understood")
            self.trace.emit(Notice("error", error.stage, error.reason, error.hint))

    def _end(self, end: TurnOutcome) -> None:
        utterance, reply, error = end.utterance, end.reply, end.error
        heard = self._finish_reply(reply, end.status).played if reply is not None else ""
        self._settle()
        usage = (reply.cost if reply else Usage()) + end.discarded
        spoken_s = utterance.seconds if utterance.typed is None else 0.0
        cold, self.stages.cold = self.stages.cold, False
        if self.stages.started_anew():
            cold = True
            self.trace.emit(Notice("warning", "host", "a model had to be started again: this turn was cold"))
        assert utterance.turn is not None
        self.trace.emit(
            TurnEnded(
                utterance.turn,
                end.status,
                utterance.transcript.text if utterance.transcript else "",
                heard,
                cold,
                {
                    "input_tokens": usage.input_tokens,
                    "output_tokens": usage.output_tokens,
                    "stt_seconds": round(spoken_s, 3),
                    "tts_seconds": round(usage.tts_seconds, 3),
                },
                error.stage if error else None,
                error.reason if error else None,
                error.hint if error else None,
            )
        )

    def _span(self, part: Part, reply: Reply, start_ms: float, end_ms: float) -> None:
        self.trace.emit(
            Span(part, round(start_ms, 3), round(end_ms, 3), reply.id, reply.utterance, reply.turn)
        )
