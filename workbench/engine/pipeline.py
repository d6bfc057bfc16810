"""The engine, on one page: source → vad → turn → stt → llm → tts → sink.

1. Frames come from the source. `Listening` cuts them into utterances, inline, and returns what happens to them.
2. Speech onset during a reply pauses it at once; `BargeIn` decides at the frames that follow whether that cuts it.
3. Each utterance (or typed text) has one task of `TurnRunner`: its transcript grows while the user speaks; a reply is
   made from it, before the end of the turn where that is allowed; once the turn is decided, the reply takes the floor.
4. Whatever fails in that task ends that turn. Listening goes on.
5. The conversation holds what was played.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import assert_never

import numpy as np

from workbench.engine.acoustics import HeardLatency
from workbench.engine.barge_in import BargeIn, EchoOf
from workbench.engine.floor import Floor
from workbench.engine.interfaces import Sink
from workbench.engine.listening import (
    Dismissal,
    EndOfUtterance,
    Listening,
    Onset,
    Pause,
    Reopening,
    Resumption,
)
from workbench.engine.played_text import split_played
from workbench.engine.playout import Playout
from workbench.engine.question import pending_question
from workbench.engine.settings import EngineSettings
from workbench.engine.stages import Stages, Tracks
from workbench.engine.tasks import beside
from workbench.engine.transcription import Transcriber
from workbench.engine.turns import TurnRunner
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE, Frame, silence
from workbench.model.conversation import Conversation
from workbench.model.errors import DeadlineError, EndedEarlyError, GarbageError, StageError, foreign
from workbench.model.events import DeviceLost
from workbench.trace.trace import Trace

FRAME = INPUT_RATE // 50
"""Samples of a frame of silence, where the source has none left: 20 ms."""
STALLED_S = 8.0
"""A sink that takes no sound for this long, while there is some, is lost, s: a device may need 5 s to come back."""


class Pipeline:
    """The engine of one session. `on_silence` is what the agent says after a long silence."""

    def __init__(
        self,
        stages: Stages,
        settings: EngineSettings,
        trace: Trace,
        tracks: Tracks,
        conversation: Conversation,
        *,
        on_silence: str | None = None,
        echo_of: EchoOf | None = None,
    ) -> None:
        self.stages = stages
        self.settings = settings
        self.trace = trace
        self.conversation = conversation
        self.on_silence = on_silence
        self.muted = False
        heard_latency = HeardLatency(stages, tracks, trace)
        self.listening = Listening(stages.vad, stages.turn, settings, trace, tracks.user)
        self.playout = Playout(trace, tracks.agent, settings.bargein, heard_latency)
        self.floor = Floor(self.playout, stages, trace)
        self.barge_in = BargeIn(
            self.floor, self.playout, self.listening, stages, settings.bargein, trace, echo_of
        )
        self.transcriber = Transcriber(stages, settings, trace)
        self.turns = TurnRunner(
            stages,
            settings,
            trace,
            conversation,
            self.floor,
            self.barge_in,
            self.listening,
            self.transcriber,
            heard_latency,
        )
        self._mic = tracks.mic
        self._loop = asyncio.get_running_loop()
        self._silence_said = False

    @property
    def talking(self) -> bool:
        """Whether `run` runs, so that verbs work."""
        return self.turns.tasks is not None

    async def run(
        self, *, greeting: str | None = None, first: Sequence[Callable[[Pipeline], object]] = ()
    ) -> None:
        """Talk until the source has ended and everything was answered; cancel it to stop.

        `first` are verbs that were called before the conversation began. Raises the source's error.
        """
        async with beside(self._play()):
            try:
                async with asyncio.TaskGroup() as tasks:
                    self.turns.tasks = tasks
                    if greeting:
                        self.say(greeting)
                    for verb in first:
                        verb(self)
                    try:
                        async for frame in self._frames():
                            self._feed(frame)
                    finally:
                        self.turns.tasks = None
                        self.stages.tools.close()
            finally:
                self.barge_in.drop()
            await self._played_out()

    # --- listening ---------------------------------------------------------------------------------------------------

    def _feed(self, frame: Frame) -> None:
        """Take one frame of the user: what happens in it concerns barge-in, transcription and turns here, by name."""
        self.listening.deaf = self.barge_in.deaf
        for event in self.listening.feed(frame):
            match event:
                case Onset(utterance):
                    utterance.language = language = self.stages.language
                    utterance.question = pending_question(self.floor.holder, self.conversation, language)
                    self.barge_in.onset(utterance)
                    self.turns.start(utterance)
                case Pause(utterance):
                    self.transcriber.silent(utterance)
                    self.turns.assess(utterance)
                case Dismissal(utterance):
                    self.transcriber.silent(utterance)
                case Resumption(utterance):
                    self.transcriber.resumed(utterance)
                    self.barge_in.resumed(utterance)
                case Reopening(utterance):
                    self.transcriber.resumed(utterance)
                    self.barge_in.onset(utterance)
                case EndOfUtterance(utterance):
                    self.transcriber.ended(utterance)
                case _:
                    assert_never(event)
        self.barge_in.judge()
        self._break_silence()

    async def _frames(self) -> AsyncIterator[Frame]:
        """Yield the source's frames, silent while muted; then silence for as long as something is open."""
        position, source = 0, self.stages.source
        with foreign(source.name, "source", keep=True):
            async for frame in source.frames():
                if frame.samples.dtype != np.int16 or frame.samples.ndim != 1:
                    raise GarbageError(f"{source.name} gave no PCM16", "look into its driver", stage="source")
                position = frame.end
                self._record_mic(frame)
                yield Frame(silence(len(frame.samples)), frame.rate, frame.position) if self.muted else frame
        while self.listening.utterance is not None or self.floor.busy:
            due = self.stages.source.time_of(position + FRAME)
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            yield Frame(silence(FRAME), INPUT_RATE, position)
            position += FRAME

    def _record_mic(self, frame: Frame) -> None:
        mic, raw = self._mic, frame.raw
        if mic is None or raw is None:
            return
        if (lost := frame.position - mic.end) > 0:
            mic.append(silence(lost))
        mic.append((silence(len(raw)) if self.muted else raw)[max(0, -lost) :])

    def _break_silence(self) -> None:
        """Say `on_silence` once nobody has spoken for long; once in each silence."""
        if self.listening.utterance is not None:
            self._silence_said = False
        if not self.on_silence or self._silence_said or self.floor.busy:
            return
        quiet_ms = min(self.listening.quiet_ms, self.playout.quiet_ms)
        if quiet_ms >= self.settings.reply.silence_after_s * 1000:
            self._silence_said = True
            self.say(self.on_silence)

    # --- playing -----------------------------------------------------------------------------------------------------

    async def _play(self) -> None:
        """Serve the sink; one that fails is replaced by the fallback, so that the conversation goes on unheard."""
        stages = self.stages
        try:
            await self._serve(stages.sink)
        except StageError as error:
            self.trace.emit(DeviceLost("agent", stages.sink.name, error.reason, error.hint))
        async with stages.fallback_sink(self.playout.position) as stages.sink:
            await self._serve(stages.sink)

    async def _serve(self, sink: Sink) -> None:
        with foreign(sink.name, "sink"):
            async with beside(self._watch(sink)):
                await sink.play(self.playout.pull)
        raise EndedEarlyError(f"{sink.name} stopped playing", "choose another sink", stage="sink")

    async def _watch(self, sink: Sink) -> None:
        """Raise DeadlineError for a sink that takes no sound while there is some."""
        since = self._loop.time()
        while True:
            reply, position = self.floor.holder, self.playout.position
            await asyncio.sleep(1.0)
            moves = position != self.playout.position or sink.disconnected
            if reply is None or reply is not self.floor.holder or moves:
                since = self._loop.time()
            elif self._loop.time() - since >= STALLED_S:
                reason = f"{sink.name} took no sound for {STALLED_S:.0f} s"
                raise DeadlineError(reason, "is the device still there?", stage="sink")

    async def _played_out(self) -> None:
        """Wait until what was handed to the sink has left the speaker, 1 s at most."""
        remaining_s = self.stages.sink.time_of(self.playout.position) - self._loop.time()
        await asyncio.sleep(min(max(0.0, remaining_s), 1.0))

    def spoken(self) -> tuple[int, str] | None:
        """Return the number of the reply that has the floor, and what was played of its text so far."""
        reply = self.floor.holder
        return None if reply is None else (reply.id, split_played(reply.chunks, reply.audio.played).played)

    # --- verbs -------------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Have the agent say a text, when the floor is free."""
        self.turns.say(text)

    def type(self, text: str) -> int:
        """Take what the user types: more of the turn that is open, else a turn of its own. Return the number of its
        utterance."""
        self._silence_said = False
        if self.talking and not self._doubted() and (going_on := self.listening.add_text(text)) is not None:
            return going_on.id
        utterance = Utterance(self.listening.number(), self.listening.position)
        if self.talking:
            utterance.typed = text
            utterance.add_text(text)
            utterance.become("ended")
            self.listening.last = utterance
            self.turns.start(utterance)
        return utterance.id

    def _doubted(self) -> bool:
        """Whether what was spoken last may be no turn, an echo for example: what is typed then stands by itself."""
        utterance = self.listening.utterance or self.listening.last
        return utterance is not None and self.barge_in.objection(utterance) is not None

    def interrupt(self) -> None:
        """Cut whatever is being answered; what the user is saying goes on."""
        self.barge_in.drop()
        self.floor.cut()
