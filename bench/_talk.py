"""A pipeline on given stages, with the readers that a session has; on whatever loop runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from bench._figures import settings
from workbench.engine.endpointing import SilenceTurn
from workbench.engine.guarded import GuardedLlm, GuardedStt, GuardedTts
from workbench.engine.interfaces import Llm, Sink, Source, Stt, Tts, TurnDetector, Vad
from workbench.engine.pipeline import Pipeline
from workbench.engine.reply import NoTools
from workbench.engine.settings import EngineSettings
from workbench.engine.stages import Stages, Tracks
from workbench.engine.tasks import beside
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE
from workbench.model.conversation import Conversation
from workbench.model.events import Event
from workbench.plugin.manager import find_provider
from workbench.providers.energy import Energy
from workbench.simulation.scripted import ScriptedLlm, ScriptedTts
from workbench.trace.trace import Trace
from workbench.trace.track import LiveTrack
from workbench.transports.echo import echo_detector
from workbench.transports.paced import PacedSink

E = TypeVar("E", bound=Event)


@dataclass
class Talk:
    """What talks: the source is made with the trace; `during` runs with the pipeline and ends with it."""

    source: Callable[[Trace], Source]
    sink: Callable[[Trace], Sink] = PacedSink
    stt: Stt | None = None
    llm: Llm = field(default_factory=lambda: ScriptedLlm(["Fine, thank you."]))
    tts: Tts | None = field(default_factory=ScriptedTts)
    vad: Vad = field(default_factory=Energy)
    turn: TurnDetector = field(default_factory=SilenceTurn)
    settings: EngineSettings = field(default_factory=EngineSettings)
    greeting: str | None = None
    keep_s: float = 8.0
    cancels: bool = False
    """The source cancels echo: its frames bring what came in as `raw`, the track `mic`."""
    during: Callable[[Pipeline], Coroutine[Any, Any, None]] | None = None


@dataclass
class Talked:
    """What came of it. `heard_at` and `played_at` give the session's time in ms of a sample of `user` and `agent`."""

    trace: Trace
    heard_at: Callable[[int], float]
    played_at: Callable[[int], float]

    def all(self, kind: type[E]) -> list[tuple[float, E]]:
        """Events of a type with their time, ms."""
        return [
            (entry.t_ms, entry.event)
            for entry in self.trace.since(0, 1 << 30)
            if isinstance(entry.event, kind)
        ]


def vad(name: str) -> Vad:
    """A detector as a session gets it."""
    provider, model = find_provider("vad", name)
    made: Vad = provider.make(settings().options("vad", model, "en"))
    return made


def stages_for(talk: Talk, trace: Trace) -> Stages:
    """Its stages; the sink plays to nobody at the pace of the loop's clock."""
    settings = talk.settings
    return Stages(
        talk.source(trace),
        talk.sink(trace),
        talk.vad,
        talk.turn,
        GuardedStt(talk.stt, settings, trace) if talk.stt else None,
        GuardedLlm(talk.llm, settings, trace),
        GuardedTts(talk.tts, settings, trace) if talk.tts else None,
        NoTools(),
        str,
        onboard=frozenset(("stt", "llm", "tts")),
        fallback_sink=partial(PacedSink, trace),
    )


async def talked(talk: Talk) -> Talked:
    """Run it to its end."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    trace = Trace(lambda: (loop.time() - began) * 1000, keep=1_000_000)
    user, agent = LiveTrack("user", INPUT_RATE), LiveTrack("agent", OUTPUT_RATE, talk.keep_s)
    trace.tracks["user"], trace.tracks["agent"] = user, agent
    stages = stages_for(talk, trace)
    result = Talked(
        trace,
        lambda sample: (stages.source.time_of(sample) - began) * 1000,
        lambda sample: (stages.sink.time_of(sample) - began) * 1000,
    )
    tracks = Tracks(user, agent, LiveTrack("mic", INPUT_RATE) if talk.cancels else None)
    pipeline = Pipeline(
        stages,
        talk.settings,
        trace,
        tracks,
        Conversation(),
        echo_of=echo_detector(tracks, stages),
    )
    during = talk.during(pipeline) if talk.during else asyncio.sleep(0)
    async with stages.source, stages.sink, beside(during):
        await pipeline.run(greeting=talk.greeting)
    return result
