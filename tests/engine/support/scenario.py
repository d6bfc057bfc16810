"""Scenarios for the engine's tests: a pipeline on scripted stages under the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from workbench.engine.barge_in import EchoOf
from workbench.engine.endpointing import SilenceTurn
from workbench.engine.guarded import GuardedLlm, GuardedStt, GuardedTts
from workbench.engine.interfaces import Llm, Sink, Source, Stt, Tts, TurnDetector, Vad
from workbench.engine.pipeline import Pipeline
from workbench.engine.reply import ToolRunner
from workbench.engine.settings import EngineSettings
from workbench.engine.stages import Stages, Tracks
from workbench.engine.tasks import beside
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples
from workbench.model.conversation import Conversation, Message
from workbench.model.errors import WorkbenchError
from workbench.model.events import (
    BargeInJudged,
    Event,
    ReplyDiscarded,
    ReplyEnded,
    ReplyStarted,
    SpeechStarted,
    ToolCalled,
    ToolReturned,
    ToolStarted,
    TurnDecided,
    TurnEnded,
    UtteranceDismissed,
)
from workbench.providers.energy import Energy
from workbench.simulation.clock import run_virtual
from workbench.simulation.scripted import ScriptedLlm, ScriptedStt, ScriptedTts
from workbench.simulation.synthesis import ArraySource, Score
from workbench.tools.executor import InlineExecutor
from workbench.tools.invocation import ToolEnvironment
from workbench.tools.registry import Toolbox
from workbench.tools.runner import Runner
from workbench.tools.tool import Tool
from workbench.trace.trace import Trace
from workbench.trace.track import LiveTrack
from workbench.transports.paced import PacedSink

E = TypeVar("E", bound=Event)
Verb = Callable[[Pipeline], object]


@dataclass
class Scenario:
    """A conversation to run. `verbs` are called at their times (s); `watch` runs beside it, with the pipeline."""

    score: Score
    stt: Stt | None = None
    llm: Llm = field(default_factory=lambda: ScriptedLlm(["Fine, thank you."]))
    tts: Tts | None = field(default_factory=ScriptedTts)
    vad: Vad = field(default_factory=Energy)
    turn: TurnDetector = field(default_factory=SilenceTurn)
    tools: Sequence[Tool] = ()
    check_tools: bool = True
    """No tool runs before its turn is decided."""
    source: Callable[[Score], Source] = ArraySource
    sink: Callable[[Trace], Sink] = PacedSink
    fallback_sink: Callable[[Trace, int], Sink] = PacedSink
    settings: EngineSettings = field(default_factory=EngineSettings)
    conversation: Conversation = field(default_factory=Conversation)
    echo_of: EchoOf | None = None
    speculate: bool = True
    language: str = "en"
    deaf: bool = False
    """There is no STT."""
    greeting: str | None = None
    on_silence: str | None = None
    first: Sequence[Verb] = ()
    verbs: Sequence[tuple[float, Verb]] = ()
    watch: Callable[[Pipeline], Awaitable[None]] | None = None
    cancel_at: float | None = None
    """When the session is stopped, s."""
    pipeline: type[Pipeline] = Pipeline
    linger_s: float = 0.0
    """How long the loop goes on after the pipeline's end, s."""
    keep_s: float = 600.0
    keep_events: int = 1_000_000
    whole: bool = True
    """All events are kept, so that they can be checked."""


@dataclass
class Outcome:
    """The events, the sound and the conversation that a scenario led to."""

    events: list[Event]
    times: list[float]
    agent: Samples
    conversation: Conversation
    error: BaseException | None
    ended_ms: float
    """When the pipeline had ended."""
    left: list[str]
    """Tasks that were still there when the pipeline had ended."""

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

    @property
    def turns(self) -> list[tuple[str, str, str]]:
        """Status, what the user said and what was heard of the answer, of each turn."""
        return [(turn.status, turn.user_text, turn.agent_text) for turn in self.all(TurnEnded)]

    @property
    def said(self) -> list[tuple[str, str]]:
        """Role and text of each message of the conversation."""
        return [(message.role, message.text) for message in self.conversation.messages]


def run(scenario: Scenario) -> Outcome:
    """Run the conversation to its end, and check the invariants of all conversations."""
    outcome = run_virtual(_run(scenario))
    if outcome.error is not None and scenario.cancel_at is None:
        raise outcome.error
    if scenario.whole:
        check(outcome, scenario.check_tools)
    return outcome


async def _run(scenario: Scenario) -> Outcome:
    loop = asyncio.get_running_loop()
    began = loop.time()
    trace = Trace(lambda: (loop.time() - began) * 1000, keep=scenario.keep_events)
    user, agent = LiveTrack("user", INPUT_RATE), LiveTrack("agent", OUTPUT_RATE, scenario.keep_s)
    trace.tracks["user"], trace.tracks["agent"] = user, agent
    toolbox = Toolbox(trace, lambda name, arguments: None)
    toolbox.add(*scenario.tools)
    around = ToolEnvironment(conversation=lambda: scenario.conversation.messages)
    runner = Runner(toolbox, trace, scenario.settings.limits, InlineExecutor(), around)
    stages = stages_for(scenario, trace, runner)
    error: BaseException | None = None
    async with runner, stages.source, stages.sink:
        pipeline = scenario.pipeline(
            stages,
            scenario.settings,
            trace,
            Tracks(user, agent),
            scenario.conversation,
            on_silence=scenario.on_silence,
            echo_of=scenario.echo_of,
        )
        try:
            async with (
                asyncio.timeout(scenario.cancel_at),
                beside(_watched(scenario, pipeline)),
                beside(_called(scenario, pipeline)),
            ):
                await pipeline.run(greeting=scenario.greeting, first=scenario.first)
        except (WorkbenchError, TimeoutError, asyncio.CancelledError) as raised:
            error = raised
    ended_ms = trace.now()
    await asyncio.sleep(scenario.linger_s)
    for _ in range(3):  # what closes generators that nobody reads any more gets its turn
        await asyncio.sleep(0)
    me = asyncio.current_task()
    entries = trace.since(trace.start, scenario.keep_events)
    return Outcome(
        [entry.event for entry in entries],
        [entry.t_ms for entry in entries],
        agent.read(agent.start, agent.end),
        scenario.conversation,
        error,
        ended_ms,
        [str(task.get_coro()) for task in asyncio.all_tasks() if task is not me],
    )


def stages_for(scenario: Scenario, trace: Trace, tools: ToolRunner) -> Stages:
    """Return the stages of a scenario."""
    stt = None if scenario.deaf else scenario.stt if scenario.stt is not None else ScriptedStt(scenario.score)
    settings = scenario.settings
    return Stages(
        scenario.source(scenario.score),
        scenario.sink(trace),
        scenario.vad,
        scenario.turn,
        GuardedStt(stt, settings, trace) if stt else None,
        GuardedLlm(scenario.llm, settings, trace),
        GuardedTts(scenario.tts, settings, trace) if scenario.tts else None,
        tools,
        lambda text: text,
        frozenset(("stt", "llm", "tts")) if scenario.speculate else frozenset(),
        fallback_sink=partial(scenario.fallback_sink, trace),
        language=scenario.language,
    )


async def _watched(scenario: Scenario, pipeline: Pipeline) -> None:
    if scenario.watch is not None:
        await scenario.watch(pipeline)


async def _called(scenario: Scenario, pipeline: Pipeline) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    for at, verb in sorted(scenario.verbs, key=lambda item: item[0]):
        await asyncio.sleep(began + at - loop.time())
        verb(pipeline)


# --- invariants of all conversations ---------------------------------------------------------------------------------


def check(outcome: Outcome, tools_wait: bool = True) -> None:
    """No task is left; every turn, reply and utterance ends once; tools wait for the turn; verdicts come in time."""
    assert not outcome.left, outcome.left
    whole = outcome.error is None
    decided = list(dict.fromkeys(event.turn for event in outcome.all(TurnDecided)))
    assert decided == list(range(1, len(decided) + 1))
    assert sorted(event.turn for event in outcome.all(TurnEnded)) == decided
    started = [event.reply for event in outcome.all(ReplyStarted)]
    ends = [event.reply for event in outcome.events if isinstance(event, ReplyDiscarded | ReplyEnded)]
    assert sorted(ends) == started
    opened = [event.utterance for event in outcome.all(SpeechStarted)]
    spoken = dict.fromkeys(event.utterance for event in outcome.all(TurnDecided) if not event.typed)
    closed = [*spoken] + [event.utterance for event in outcome.all(UtteranceDismissed)]
    assert sorted(closed) == opened if whole else set(closed) <= set(opened)
    judged = outcome.all(BargeInJudged)
    waiting = {event.utterance for event in judged if event.verdict == "waiting"}
    assert all(
        event.after_ms <= (4000 if event.utterance in waiting else 600)
        for event in judged
        if "late" not in event.reason
    )
    turns = {event.turn: outcome.at(event) for event in outcome.all(TurnDecided)}
    for tool in outcome.all(ToolStarted) if tools_wait else ():
        assert tool.turn is not None
        assert outcome.at(tool) >= turns[tool.turn]
    if whole:
        called = sorted(event.call for event in outcome.all(ToolCalled))
        assert sorted(event.call for event in outcome.all(ToolReturned)) == called
    check_messages(outcome.conversation.messages)


def check_messages(messages: Sequence[Message]) -> None:
    """Every result of a tool follows the message that asked for it, and answers all of its calls."""
    asked: list[str] = []
    for message in messages:
        if message.role == "tool":
            assert message.call_id == asked.pop(0)
        else:
            assert not asked
            asked = [call.id for call in message.calls]
    assert not asked
