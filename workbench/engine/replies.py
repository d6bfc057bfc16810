"""The life of a reply: begun, played, and ended or discarded. What was played of it enters the conversation."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from workbench.engine.acoustics import HeardLatency
from workbench.engine.barge_in import BargeIn
from workbench.engine.buffer import ReplyAudio
from workbench.engine.fallback import TurnDetectorWithFallback
from workbench.engine.floor import Floor
from workbench.engine.played_text import PlayedText, split_played
from workbench.engine.reply import Reply
from workbench.engine.settings import EngineSettings
from workbench.engine.stages import Stages
from workbench.engine.utterance import Utterance
from workbench.model.audio import OUTPUT_RATE
from workbench.model.conversation import Conversation, Message, Usage
from workbench.model.events import Notice, ReplyDiscarded, ReplyEnded, ReplyStarted, TurnStatus
from workbench.trace.trace import Trace

NOTABLE_GAP = OUTPUT_RATE // 50
"""Samples of silence within a reply that are worth a notice."""
CHARACTERS_PER_TOKEN = 4


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


class Replies:
    """Begins replies, has them played, and ends them."""

    def __init__(
        self,
        stages: Stages,
        settings: EngineSettings,
        trace: Trace,
        conversation: Conversation,
        floor: Floor,
        barge_in: BargeIn,
        detector: TurnDetectorWithFallback,
        heard_latency: HeardLatency,
    ) -> None:
        self._stages = stages
        self._settings = settings
        self._trace = trace
        self._conversation = conversation
        self._floor = floor
        self._barge_in = barge_in
        self._detector = detector
        self._heard_latency = heard_latency
        self._loop = asyncio.get_running_loop()
        self._budget = TokenBudget()
        self._count = 0

    def may_begin_early(self) -> bool:
        """Whether replies that are begun too early have not cost too much lately."""
        return self._budget.allows(self._loop.time(), self._settings.reply.spare_tokens)

    def begin(self, user_text: str, utterance: Utterance | None) -> Reply:
        """Begin a reply to what the user said; without an utterance the agent speaks of its own accord."""
        self._count += 1
        reply = Reply(self._count, user_text, ReplyAudio(self._settings.reply.buffer_s))
        reply.history = self._conversation.version
        reply.started_at = self._loop.time()
        reply.answers = utterance
        reply.turn = utterance.turn if utterance else None
        reply.segments = len(utterance.segments) if utterance else 0
        speculative = utterance is not None and utterance.state != "ended"
        if not speculative or self._stages.early("tts", self._settings.reply.speculate):
            reply.may_speak.set()
        self._trace.emit(ReplyStarted(reply.id, reply.utterance, reply.turn, user_text, speculative))
        return reply

    async def play(self, reply: Reply) -> None:
        """Take the floor, as soon as the reply may be heard, until all of it was handed to the sink."""
        if (utterance := reply.answers) is not None:
            vad_end = utterance.speech_end if utterance.typed is None else None
            self._heard_latency.follow(reply, vad_end)
        await reply.audio.ready()
        reply.ready_ms = self._trace.now()
        await self.held_back(reply)
        await self._floor.free()
        self._barge_in.reply_begins()
        with self._floor.taken_by(reply):
            await reply.audio.drained()

    async def held_back(self, reply: Reply) -> None:
        """Wait until the user has been silent for as long as the turn detector wants before anything is heard."""
        utterance = reply.answers
        if utterance is not None and utterance.typed is None:
            hold_ms = self._detector.hold_ms(utterance, self._settings.turn)
            due = self._stages.source.time_of(utterance.speech_end) + hold_ms / 1000
            await asyncio.sleep(max(0.0, due - self._loop.time()))

    def discard(self, reply: Reply, prompt: Sequence[Message]) -> Usage:
        """End a reply that is not the answer, and return what it has used."""
        seconds, cost = self._loop.time() - reply.started_at, reply.cost
        tokens = cost.input_tokens + cost.output_tokens
        self._heard_latency.drop(reply)
        self._budget.spend(self._loop.time(), tokens, prompt)
        reason = "the user went on, or the conversation did"
        self._trace.emit(ReplyDiscarded(reply.id, reply.utterance, reason, round(seconds, 3), tokens))
        return cost

    def finish(self, reply: Reply, status: TurnStatus) -> PlayedText:
        """End a reply: what was played of its text goes into the trace and the conversation."""
        audio = reply.audio
        read = self._stages.tts is None or reply.written or (reply.voiceless and status == "failed")
        if status == "done" or read:
            text = PlayedText(reply.text, "", False)
        else:
            text = split_played(reply.chunks, audio.played)
        # what was said around the tools is in what was played
        self.remember(*(replace(step, text="") if step.calls else step for step in reply.steps))
        if text.played:
            self.remember(Message("assistant", text.played, cut=bool(text.unplayed)))
        if audio.underrun > NOTABLE_GAP:
            gap_ms = audio.underrun * 1000 / OUTPUT_RATE
            reason = f"speech was not ready in time: {gap_ms:.0f} ms of silence in it"
            self._trace.emit(Notice("warning", "tts", reason))
        self._trace.emit(
            ReplyEnded(
                reply.id, reply.turn, status, text.played, text.unplayed, audio.ended_at, text.estimated
            )
        )
        self._heard_latency.conclude(reply)
        return text

    def remember(self, *messages: Message) -> None:
        """Add messages to the conversation, which keeps as many as the model is shown."""
        self._conversation.add(*messages, keep=self._settings.reply.history)
