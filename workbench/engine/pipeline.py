"""The engine, on one page: source → vad → turn → stt → llm → tts → sink.

1. Frames come from the source; `Listening` cuts them into utterances, inline, and never waits for a model.
2. Speech onset during a reply pauses it at once; `Floor.judge` decides at the following frames what it was.
3. Each utterance (or typed text) has one task, `answer`: its transcript grows while the user speaks; a reply is made
   from it, before the end of the turn where that is allowed; when the turn is decided, the reply takes the floor.
4. Whatever fails there becomes the end of that turn. Listening goes on.
5. The conversation holds what was heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from workbench.engine.floor import EchoOf, Floor
from workbench.engine.flow import Calls, beside
from workbench.engine.heard import Cut, cut
from workbench.engine.knobs import EngineKnobs
from workbench.engine.listen import Listening
from workbench.engine.playout import Playout, ReplyAudio
from workbench.engine.reply import Maker, Reply, Voices
from workbench.engine.stages import Sink, Source, Stt, TurnDetector, Vad
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Frame, silence
from workbench.model.conversation import Conversation, Message, Transcript, Usage
from workbench.model.errors import StageError, WorkbenchError
from workbench.model.events import (
    DeviceLost,
    Notice,
    Part,
    ReplyDiscarded,
    ReplyEnded,
    ReplyPlaying,
    ReplyStarted,
    Span,
    Transcribed,
    TurnDecided,
    TurnEnded,
    TurnStatus,
)
from workbench.trace.bus import Trace
from workbench.trace.tape import Tape

FRAME = INPUT_RATE // 50
"""Samples of a frame of silence, where the source has none left: 20 ms."""
NOTABLE_GAP = OUTPUT_RATE // 50
"""Samples of silence within a reply that are worth a notice."""


@dataclass(slots=True)
class Stages:
    """What the pipeline runs on. `stt` and `voices` may be replaced while it runs."""

    source: Source
    sink: Sink
    vad: Vad
    turn: TurnDetector
    stt: Stt | None
    stt_calls: Calls | None
    voices: Voices
    speculate: bool
    """Whether the models run on board, so that `reply.speculate = "auto"` means on."""
    spare_sink: Sink
    """Plays to nobody, when `sink` fails."""
    cold: bool = False
    """A provider did not warm up: the next turn is marked."""


@dataclass(frozen=True, slots=True)
class Tapes:
    """The tracks that are written; `mic` where it differs from `user`."""

    user: Tape
    agent: Tape
    mic: Tape | None = None


@dataclass(slots=True)
class Ending:
    """How a turn ends, filled in while it is answered."""

    utterance: Utterance
    reply: Reply | None = None
    status: TurnStatus = "done"
    error: StageError | None = None
    discarded: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Manner:
    """What the agent does of itself: words for a long silence."""

    on_silence: str | None = None


class Pipeline:
    """One session's engine. `settle` lets the readers catch up before a turn's end is told."""

    def __init__(
        self,
        stages: Stages,
        knobs: EngineKnobs,
        trace: Trace,
        tapes: Tapes,
        conversation: Conversation,
        manner: Manner,
        *,
        echo_of: EchoOf | None = None,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self.stages = stages
        self.knobs = knobs
        self.trace = trace
        self.conversation = conversation
        self.manner = manner
        self._mic = tapes.mic
        self.listening = Listening(stages.vad, stages.turn, knobs, trace, tapes.user)
        self.playout = Playout(trace, tapes.agent, lambda: knobs.bargein.fade_ms)
        self.floor = Floor(
            self.playout, self.listening, knobs.bargein, trace, wake=stages.sink.wake, echo_of=echo_of
        )
        self.maker = Maker(stages.voices, knobs, trace)
        self.muted = False
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._tasks: asyncio.TaskGroup | None = None
        self._turns = 0
        self._replies = 0
        self._silence_said = False

    # --- listening ---------------------------------------------------------------------------------------------------

    @property
    def talking(self) -> bool:
        """Whether `run` runs, so that verbs work."""
        return self._tasks is not None

    async def run(
        self, *, greeting: str | None = None, first: Sequence[Callable[[Pipeline], None]] = ()
    ) -> None:
        """Talk until the source has ended and everything was answered; cancelled by whoever wants it to stop.

        `first` are verbs that were called before there was anybody to talk to.
        """
        async with beside(self._play()):
            async with asyncio.TaskGroup() as self._tasks:
                if greeting:
                    self.say(greeting)
                for verb in first:
                    verb(self)
                async for frame in self._frames():
                    self._hear(frame, self._tasks)
            self._tasks = None
            await self._played_out()

    def _hear(self, frame: Frame, tasks: asyncio.TaskGroup) -> None:
        """One frame of the listening half."""
        self.floor.listen()
        was = self.listening.utterance
        state = was.state if was else None
        opened = self.listening.feed(frame)
        if opened is not None:
            opened.noted = self._note
            self.floor.partials = self.stages.stt is not None and self.stages.stt.partials
            self.floor.hear(opened)
            tasks.create_task(self._answer(opened))
        elif was is not None and was.state != state:
            self._turned(was)
        self.floor.judge()
        self._mind_silence()

    def _turned(self, utterance: Utterance) -> None:
        """The user paused, went on, or has finished."""
        now = self.trace.now()
        if utterance.state == "speaking":
            utterance.asked_ms = None
        elif not utterance.covered and (utterance.state == "ended" or self._speculative):
            utterance.asked_ms = utterance.asked_ms or now
        if utterance.state == "ended":
            end_ms = self._ms(self.stages.source.time_of(utterance.speech_end))
            self.trace.emit(Span("endpointing", round(end_ms, 3), round(now, 3), utterance=utterance.id))

    def _note(self, utterance: Utterance, transcript: Transcript) -> None:
        """A transcript was written."""
        self.trace.emit(
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
            stt = self.stages.stt.name if self.stages.stt else ""
            self.trace.emit(
                Span("stt", round(utterance.asked_ms, 3), self._now(), utterance=utterance.id, provider=stt)
            )
            utterance.asked_ms = None

    async def _play(self) -> None:
        """Serve the sink; one that fails is replaced, so that the conversation goes on unheard."""
        stages = self.stages
        while True:
            try:
                await stages.sink.play(self.playout.pull)
            except WorkbenchError as error:
                if stages.sink is stages.spare_sink:
                    raise
                self.trace.emit(DeviceLost("agent", stages.sink.name, error.reason, error.hint))
                stages.sink = stages.spare_sink

    async def _frames(self) -> AsyncIterator[Frame]:
        """The source's frames, silent while muted; then silence for as long as something is open."""
        position, mic = 0, self._mic
        async for frame in self.stages.source.frames():
            position = frame.end
            samples = silence(len(frame.samples)) if self.muted else frame.samples
            if mic is not None and frame.raw is not None:
                mic.append(silence(len(frame.raw)) if self.muted else frame.raw)
            yield Frame(samples, frame.rate, frame.position) if self.muted else frame
        while self.listening.utterance is not None or self.floor.busy:
            due = self.stages.source.time_of(position + FRAME)
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            yield Frame(silence(FRAME), INPUT_RATE, position)
            position += FRAME

    async def _played_out(self) -> None:
        """What was handed to the sink leaves the speaker a little later."""
        left = self.stages.sink.time_of(self.playout.position) - self._loop.time()
        await asyncio.sleep(min(max(0.0, left), 1.0))

    def _mind_silence(self) -> None:
        if self.listening.utterance is not None:
            self._silence_said = False
        quiet_ms = min(self.listening.quiet_ms, self.playout.quiet_ms)
        due = quiet_ms >= self.knobs.reply.silence_after_s * 1000
        if due and self.manner.on_silence and not self._silence_said and not self.floor.busy:
            self._silence_said = True
            self.say(self.manner.on_silence)

    # --- verbs -------------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """The agent speaks of itself, when the floor is free."""
        if self._tasks is not None:
            self._tasks.create_task(self._speak(text, self.listening.number()))

    def type(self, text: str) -> None:
        """The user types: a turn like any other."""
        if self._tasks is not None:
            utterance = Utterance(self.listening.number(), self.listening.position)
            utterance.typed = text
            utterance.write(Transcript(text, utterance.start_sample, final=True))
            utterance.become("ended")
            self._tasks.create_task(self._answer(utterance))

    def interrupt(self) -> None:
        """Cut whatever is being answered."""
        self.floor.cut_before(self.listening.number())
        self.playout.release()

    # --- answering ---------------------------------------------------------------------------------------------------

    async def _answer(self, utterance: Utterance) -> None:
        """From an utterance to the end of its turn."""
        with self._one_end_for(utterance) as end:
            async with beside(self._transcribe(utterance)):
                attempts = 0
                while (said := await self._candidate(utterance, attempts)) is not None:
                    attempts += 1
                    reply = self._reply(said, utterance)
                    async with beside(self._think(reply)):
                        if not await self._settled(utterance, reply):
                            end.discarded += self._discard(reply)
                            continue
                        end.reply = reply
                        await self._perform(reply)
                    return

    async def _speak(self, text: str, order: int) -> None:
        """Say a given text: a reply to nothing."""
        reply = self._reply("", None)
        status: TurnStatus = "cut"
        try:
            with self.floor.unfinished(order):
                async with beside(self.maker.say(reply, text)):
                    await self._perform(reply)
                status = "done"
        except StageError as error:
            status = "failed"
            self.trace.emit(Notice("error", error.stage, error.reason, error.hint))
        finally:
            self._finish_reply(reply, status)

    async def _perform(self, reply: Reply) -> None:
        """Have the floor until all was handed to the sink."""
        await reply.audio.ready()
        ready = self.trace.now()
        async with self.floor.taken_by(reply, lambda: self._playing(reply)):
            reply.granted_ms = self.trace.now()
            self._span("floor", reply, ready, reply.granted_ms)
            await reply.audio.drained()
        if reply.failure is not None:
            raise reply.failure

    async def _transcribe(self, utterance: Utterance) -> None:
        """Have the STT read along; the last word is its final transcript."""
        stt, calls = self.stages.stt, self.stages.stt_calls
        if utterance.typed is not None:
            return
        if stt is None or calls is None:
            utterance.write(Transcript("", utterance.end, final=True))
            return
        limits, eager = self.knobs.limits, self._speculative
        longest_ms = self.knobs.turn.max_utterance_s * 1000 + 2 * limits.stt_ms
        try:
            final = await calls.call(
                lambda: _in_time(stt.transcribe(utterance, eager=eager), utterance, limits.stt_ms), longest_ms
            )
        except StageError:
            while not utterance.over:
                await utterance.marked()
            raise
        if utterance.state != "dismissed":
            utterance.write(Transcript(final.text, final.upto_sample, True, True, final.confidence))

    async def _candidate(self, utterance: Utterance, attempts: int) -> str | None:
        """The words to answer: the final ones, or those that may turn out to be; None when there are none."""
        while True:
            transcript = utterance.transcript
            if utterance.state == "dismissed":
                return None
            if utterance.state == "ended" and transcript is not None and transcript.final:
                return transcript.text if self._is_turn(utterance) else None
            if (
                self._speculative
                and attempts < self.knobs.reply.attempts
                and transcript
                and transcript.text.strip()
            ):
                settled = utterance.state != "speaking" or transcript.stable
                if settled and utterance.covered and self.floor.open_to(utterance):
                    return transcript.text
            await utterance.marked()

    async def _settled(self, utterance: Utterance, reply: Reply) -> bool:
        """Wait until the turn is decided: True if this reply answers it, False if it has to be made again."""
        covers = utterance.transcript.upto_sample if utterance.transcript else 0
        while True:
            transcript = utterance.transcript
            if utterance.state == "dismissed":
                return False
            if transcript is not None and transcript.text.strip() != reply.said.strip():
                return False
            if utterance.state == "ended" and transcript is not None and transcript.final:
                break
            stable = transcript is not None and transcript.stable
            if utterance.state == "speaking" and not stable and utterance.speech_end > covers:
                return False
            await utterance.marked()
        if not self._is_turn(utterance):
            return False
        await self.floor.cleared_for(utterance.id)
        if reply.history != self.conversation.version:
            return False
        self._decide(utterance, reply.said)
        reply.turn = utterance.turn
        reply.confirmed.set()
        return True

    def _is_turn(self, utterance: Utterance) -> bool:
        """Whether an utterance that ended has words for us; it is dismissed if not."""
        text = utterance.transcript.text if utterance.transcript else ""
        if utterance.typed is None and not (text.strip() and self.floor.open_to(utterance)):
            self.listening.dismiss(utterance, "no words" if not text.strip() else "backchannel")
            return False
        return True

    def _decide(self, utterance: Utterance, said: str) -> None:
        if utterance.turn is None:
            self._turns += 1
            utterance.turn = self._turns
            spoken = utterance.typed is None
            end, waited = (utterance.speech_end, (utterance.end - utterance.speech_end) * 1000 / INPUT_RATE)
            self.trace.emit(
                TurnDecided(
                    self._turns, utterance.id, not spoken, end if spoken else None, waited if spoken else 0.0
                )
            )
            if said:
                self._remember(Message("user", said))

    # --- replies -----------------------------------------------------------------------------------------------------

    @property
    def _speculative(self) -> bool:
        wish = self.knobs.reply.speculate
        return wish == "on" or (wish == "auto" and self.stages.speculate)

    def _reply(self, said: str, utterance: Utterance | None) -> Reply:
        self._replies += 1
        reply = Reply(self._replies, said, ReplyAudio(self.knobs.reply.buffer_s))
        reply.history = self.conversation.version
        reply.started_at = self._loop.time()
        reply.utterance = utterance.id if utterance else None
        reply.turn = utterance.turn if utterance else None
        speculative = utterance is not None and utterance.state != "ended"
        self.trace.emit(ReplyStarted(reply.id, reply.utterance, reply.turn, said, speculative))
        return reply

    async def _think(self, reply: Reply) -> None:
        messages = self.conversation.prompt(reply.said, keep=self.knobs.reply.history)
        await self.maker.answer(reply, messages)

    def _playing(self, reply: Reply) -> None:
        """The first sample was handed to the sink: tell when it is heard."""
        audio = reply.audio
        if audio.began_at is None:
            return
        self.trace.emit(ReplyPlaying(reply.id, reply.turn, audio.began_at))
        leaves_ms = self._ms(self.stages.sink.time_of(audio.began_at))
        self._span("output_buffer", reply, reply.granted_ms, leaves_ms)
        if reply.leading is not None:
            self._span("leading_silence", reply, leaves_ms, leaves_ms + reply.leading * 1000 / OUTPUT_RATE)

    def _discard(self, reply: Reply) -> Usage:
        seconds = self._loop.time() - reply.started_at
        tokens = reply.usage.input_tokens + reply.usage.output_tokens
        reason = "the user went on, or the conversation did"
        self.trace.emit(ReplyDiscarded(reply.id, reply.utterance, reason, round(seconds, 3), tokens))
        return reply.usage

    def _finish_reply(self, reply: Reply, status: TurnStatus) -> Cut:
        """Tell what was heard of a reply, and remember it so."""
        played = reply.audio.played
        voiced = self.stages.voices.tts is not None
        complete = status == "done" or not voiced
        result = Cut(reply.text, "", False) if complete else cut(reply.chunks, played)
        if reply.steps:
            self._remember(*reply.steps)
        if result.heard:
            self._remember(Message("assistant", result.heard, cut=bool(result.unheard)))
        if reply.audio.missing > NOTABLE_GAP:
            gap_ms = reply.audio.missing * 1000 / OUTPUT_RATE
            self.trace.emit(
                Notice("warning", "tts", f"speech was not ready in time: {gap_ms:.0f} ms of silence in it")
            )
        end = self.playout.position if played else None
        self.trace.emit(
            ReplyEnded(reply.id, reply.turn, status, result.heard, result.unheard, end, result.estimated)
        )
        return result

    def _remember(self, *messages: Message) -> None:
        self.conversation.add(*messages)
        keep = self.knobs.reply.history
        if len(self.conversation.messages) > 2 * keep + 2:
            del self.conversation.messages[:-keep]

    # --- ends --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _one_end_for(self, utterance: Utterance) -> Iterator[Ending]:
        """Whatever happens inside becomes the turn's end; only cancellation of the session leaves."""
        end = Ending(utterance)
        try:
            with self.floor.unfinished(utterance.id) as scope:
                yield end
            if scope.was_cut:
                end.status = "cut"
                if not utterance.over:
                    self.listening.dismiss(utterance, "replaced by a newer turn")
                elif utterance.state == "ended":
                    self._decide(utterance, utterance.transcript.text if utterance.transcript else "")
        except StageError as error:
            end.status, end.error = "failed", error
            self._decide(utterance, utterance.transcript.text if utterance.transcript else "")
        except asyncio.CancelledError:
            end.status = "cut"
            raise
        finally:
            self.floor.forget(utterance)
            if utterance.turn is not None:
                self._end(end)

    def _end(self, end: Ending) -> None:
        utterance, reply, error = end.utterance, end.reply, end.error
        heard = self._finish_reply(reply, end.status).heard if reply is not None else ""
        self._settle()
        usage = (reply.usage if reply else Usage()) + end.discarded
        spoken_s = utterance.seconds if utterance.typed is None else 0.0
        cold, self.stages.cold = self.stages.cold, False
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

    # --- time --------------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return round(self.trace.now(), 3)

    def _ms(self, loop_time: float) -> float:
        """A time of the loop's clock on the session's, ms."""
        return self.trace.now() + (loop_time - self._loop.time()) * 1000

    def _span(self, part: Part, reply: Reply, start_ms: float, end_ms: float) -> None:
        self.trace.emit(
            Span(part, round(start_ms, 3), round(end_ms, 3), reply.id, reply.utterance, reply.turn)
        )


async def _in_time(work: Awaitable[Transcript], utterance: Utterance, ms: float) -> Transcript:
    """The final transcript, at most `ms` after the end of the utterance."""
    async with asyncio.timeout(None) as deadline:

        async def watch() -> None:
            while not utterance.over:
                await utterance.marked()
            deadline.reschedule(asyncio.get_running_loop().time() + ms / 1000)

        async with beside(watch()):
            return await work
    raise AssertionError
