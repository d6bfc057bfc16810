"""A pipeline on scripted stages under the virtual clock: what the engine's tests are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from workbench.audio.wav import ClockSink
from workbench.engine.flow import Calls
from workbench.engine.knobs import EngineKnobs
from workbench.engine.pipeline import Manner, Pipeline, Stages, Tapes
from workbench.engine.reply import NoTools, ToolRunner, Voices
from workbench.engine.stages import Llm, Sink, Stt, Tts, TurnDetector, Vad
from workbench.engine.turn import SilenceTurn
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples
from workbench.model.conversation import Conversation
from workbench.model.events import Event
from workbench.providers.energy import Energy
from workbench.testing.clock import run_virtual
from workbench.testing.scripted import ScriptedLlm, ScriptedStt, ScriptedTts
from workbench.testing.sound import ArraySource, Score
from workbench.trace.bus import Trace
from workbench.trace.tape import Tape

E = TypeVar("E", bound=Event)


@dataclass
class Stand:
    """What to run; `during` runs beside it, with the pipeline."""

    score: Score
    stt: Stt | None = None
    llm: Llm = field(default_factory=lambda: ScriptedLlm(["Fine, thank you."]))
    tts: Tts | None = field(default_factory=ScriptedTts)
    vad: Vad = field(default_factory=Energy)
    turn: TurnDetector = field(default_factory=SilenceTurn)
    tools: ToolRunner = field(default_factory=NoTools)
    sink: Callable[[Trace], Sink] = ClockSink
    knobs: EngineKnobs = field(default_factory=EngineKnobs)
    conversation: Conversation = field(default_factory=Conversation)
    speculate: bool = True
    greeting: str | None = None
    on_silence: str | None = None
    during: Callable[[Pipeline], Awaitable[None]] | None = None
    keep_s: float = 600.0


@dataclass
class Outcome:
    """What came of it."""

    events: list[Event]
    times: list[float]
    agent: Samples
    conversation: Conversation

    def all(self, kind: type[E]) -> list[E]:
        """The events of a type, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def one(self, kind: type[E]) -> E:
        """The only event of a type."""
        (event,) = self.all(kind)
        return event

    def at(self, event: Event) -> float:
        """When it was, ms."""
        return self.times[next(i for i, other in enumerate(self.events) if other is event)]


def run(stand: Stand) -> Outcome:
    """Run the conversation to its end."""
    return run_virtual(_run(stand))


async def _run(stand: Stand) -> Outcome:
    loop = asyncio.get_running_loop()
    began = loop.time()
    trace = Trace(lambda: (loop.time() - began) * 1000, keep=1_000_000)
    user, agent = Tape("user", INPUT_RATE), Tape("agent", OUTPUT_RATE, stand.keep_s)
    trace.tapes["user"], trace.tapes["agent"] = user, agent
    stt = stand.stt if stand.stt is not None else ScriptedStt(stand.score)
    limits = stand.knobs.limits
    voices = Voices(
        stand.llm,
        Calls("llm", stand.llm.name, limits, trace),
        stand.tts,
        Calls("tts", stand.tts.name, limits, trace) if stand.tts else None,
        stand.tools,
        speakable=lambda text: text,
    )
    sink = stand.sink(trace)
    stages = Stages(
        ArraySource(stand.score),
        sink,
        stand.vad,
        stand.turn,
        stt,
        Calls("stt", stt.name, limits, trace),
        voices,
        stand.speculate,
        spare_sink=partial(ClockSink, trace),
    )
    async with stages.source, sink, stt, stand.llm:
        pipeline = Pipeline(
            stages, stand.knobs, trace, Tapes(user, agent), stand.conversation, Manner(stand.on_silence)
        )
        async with asyncio.TaskGroup() as tasks:
            beside = tasks.create_task(_during(stand, pipeline))
            await pipeline.run(greeting=stand.greeting)
            beside.cancel()
    entries = trace.since(0, 1_000_000)
    return Outcome(
        [entry.event for entry in entries],
        [entry.t_ms for entry in entries],
        agent.read(0, agent.end),
        stand.conversation,
    )


async def _during(stand: Stand, pipeline: Pipeline) -> None:
    if stand.during is not None:
        await stand.during(pipeline)
