"""The session is stopped at any moment: everything ends at once, and the trace says of everything how it ended."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support import scenario as scenarios
from tests.engine.support.random_scenarios import random_scenario
from tests.engine.support.scenario import Outcome, Scenario, run
from workbench.engine.pipeline import Pipeline
from workbench.model.events import (
    BargeInJudged,
    ReplyEnded,
    ReplyPaused,
    ReplyStarted,
    TurnDecided,
    TurnEnded,
)
from workbench.simulation.clock import VirtualLoop
from workbench.simulation.scripted import ScriptedLlm, ScriptedStt, ScriptedTts
from workbench.simulation.synthesis import Score

LONG = "This is a rather long answer, so that there is time to stop it before it is over."


@given(st.integers(0, 10_000), st.floats(0, 25))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_any_conversation_can_be_stopped_at_any_time(seed: int, at: float) -> None:
    scenario = random_scenario(seed)
    scenario.cancel_at = at
    outcome = run(scenario)
    assert outcome.error is None or isinstance(outcome.error, TimeoutError)
    assert not outcome.times or outcome.times[-1] <= at * 1000 + 0.01 or outcome.error is None


@pytest.mark.parametrize("at", [0.0, 0.3, 1.2, 1.7, 2.5, 3.1, 3.5])
def test_what_was_going_on_when_a_session_stops_ends_as_cut(at: float) -> None:
    score = Score().silence(0.5).say("tell me something").silence(1.5).say("please stop that now").silence(5)
    scenario = Scenario(
        score,
        stt=ScriptedStt(score, partials=True),
        llm=ScriptedLlm([LONG], first_token_ms=200),
        tts=ScriptedTts(first_byte_ms=100),
        cancel_at=at,
    )
    outcome = run(scenario)
    assert isinstance(outcome.error, TimeoutError)
    assert len(outcome.all(TurnDecided)) == len(outcome.all(TurnEnded))
    if at == 2.5:
        ended = outcome.one(ReplyEnded)
        assert ended.status == "cut"
        assert LONG.startswith(ended.heard)
        assert outcome.conversation.messages[-1].cut


def test_no_event_comes_after_the_end() -> None:
    """It is stopped while a verdict is pending."""
    score = Score().silence(0.5).say("tell me something").silence(1.5).babble(2, db=-26).silence(5)
    scenario = Scenario(score, llm=ScriptedLlm([LONG]), stt=ScriptedStt(score, partials=True))
    scenario.cancel_at, scenario.linger_s = 3.3, 5.0
    outcome = run(scenario)
    assert len(outcome.all(ReplyPaused)) == 1
    assert outcome.all(BargeInJudged) == []
    assert outcome.times[-1] <= 3300


class Stepped(VirtualLoop):
    """Cancels a task before the `at`-th turn of the loop."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.steps = 0
        self.victim: asyncio.Task[Any] | None = None
        self.cancelled_at: float | None = None
        self.ended_at = 0.0
        super().__init__()

    def _run_once(self) -> None:
        self.steps += 1
        if self.steps == self.at and self.victim is not None:
            self.cancelled_at = self.time()
            self.victim.cancel()
        super()._run_once()  # type: ignore[misc]


def stepped(scenario: Scenario, at: int | None) -> tuple[Outcome, Stepped]:
    """Run it, and cancel the pipeline before that turn of the loop."""
    loops: list[Stepped] = []

    def loop() -> Stepped:
        loops.append(Stepped(at))
        return loops[-1]

    class Watched(Pipeline):
        async def run(self, **arguments: Any) -> None:
            mine = loops[-1]
            mine.victim = asyncio.current_task()
            try:
                await super().run(**arguments)
            finally:
                mine.victim, mine.ended_at = None, mine.time()

    scenario.pipeline = Watched
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(scenarios._run(scenario)), loops[-1]


@pytest.mark.parametrize("seed", range(6))
def test_a_cancellation_at_any_step_of_the_loop_leaves_no_task(seed: int) -> None:
    _, whole = stepped(random_scenario(seed), None)
    chance = Random(seed)
    for at in sorted(chance.sample(range(3, whole.steps), 12)):
        outcome, loop = stepped(random_scenario(seed), at)
        scenarios.check(outcome)
        if loop.cancelled_at is not None:
            assert isinstance(outcome.error, asyncio.CancelledError)
            assert loop.ended_at == loop.cancelled_at


@given(st.integers(0, 10_000), st.lists(st.floats(0.4, 24), max_size=6))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_interrupts_at_random_times_keep_the_invariants(seed: int, moments: list[float]) -> None:
    """A cut may come in any await of an answer: `run` checks what must hold."""
    scenario = random_scenario(seed)
    scenario.verbs = [*scenario.verbs, *((at, lambda pipeline: pipeline.interrupt()) for at in moments)]
    outcome = run(scenario)
    assert len(outcome.all(ReplyStarted)) >= len(outcome.all(ReplyEnded))
