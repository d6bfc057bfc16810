"""Long conversations: memory stays flat, and so does what a turn costs."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter
from collections.abc import AsyncIterator

import numpy as np

from tests.engine.support.scenario import Scenario, run
from workbench.engine.interfaces import Source
from workbench.engine.pipeline import Pipeline
from workbench.engine.settings import EngineSettings
from workbench.model.audio import INPUT_RATE, Frame, Samples, silence
from workbench.model.events import TurnEnded
from workbench.simulation.scripted import ScriptedLlm, ScriptedStt
from workbench.simulation.synthesis import Score, cough, speech


class Loop(Source):
    """The same piece of sound, `times` over, without holding more than one."""

    name = "loop"

    def __init__(self, piece: Samples, times: int) -> None:
        self._piece = piece
        self._times = times
        self._started = 0.0

    async def __aenter__(self) -> Loop:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def frames(self) -> AsyncIterator[Frame]:
        loop = asyncio.get_running_loop()
        self._started = loop.time()
        position = 0
        for _ in range(self._times):
            for at in range(0, len(self._piece), 320):
                await asyncio.sleep(max(0.0, self.time_of(position + 320) - loop.time()))
                yield Frame(self._piece[at : at + 320], INPUT_RATE, position)
                position += 320

    def time_of(self, sample: int) -> float:
        return self._started + sample / INPUT_RATE


class Scale:
    """Counts what there is, at the end of turn `first` and of turn `last`."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.blocks: list[int] = []
        """Pieces of memory that Python holds: every object, and every array's head, is one."""
        self.objects: list[Counter[str]] = []

    async def __call__(self, pipeline: Pipeline) -> None:
        async for entry in pipeline.trace.follow():
            if isinstance(entry.event, TurnEnded) and entry.event.turn in (self.first, self.last):
                gc.collect()
                self.blocks.append(sys.getallocatedblocks())
                self.objects.append(Counter(type(thing).__name__ for thing in gc.get_objects()))

    def check(self) -> None:
        """No kind of object grows by one for every other turn, nor memory by the least that a turn could leave."""
        before, after = self.objects
        turns = self.last - self.first
        assert {
            kind: after[kind] - before[kind] for kind in after if after[kind] - before[kind] > turns / 2
        } == {}
        assert self.blocks[1] - self.blocks[0] < turns * 5, self.blocks


def test_memory_is_flat_over_thousands_of_typed_turns() -> None:
    scale = Scale(1000, 10_000)
    typed = [(at * 0.01, lambda pipeline: pipeline.type("And then?")) for at in range(1, 10_001)]
    score = Score().silence(101)
    run(Scenario(score, tts=None, verbs=typed, watch=scale, keep_events=2000, keep_s=5, whole=False))
    scale.check()


def test_memory_is_flat_over_hundreds_of_spoken_turns() -> None:
    """With coughs into replies, interruptions and replies thrown away."""
    parts = [silence(1600), speech(0.5), silence(3200), speech(0.4), silence(9600), cough(), silence(12_800)]
    piece = np.concatenate([*parts, speech(0.8, seed=2), silence(96_000)])
    scale, settings = Scale(60, 180), EngineSettings()
    settings.bargein.false_limit, settings.turn.adapt = 100, False
    outcome = run(
        Scenario(
            Score(),
            source=lambda score: Loop(piece[: len(piece) // 320 * 320], 100),
            stt=ScriptedStt(["one two", "please stop that now"], partials=True),
            llm=ScriptedLlm(["A long answer to that. " * 3]),
            settings=settings,
            watch=scale,
            keep_events=2000,
            keep_s=5,
            whole=False,
        )
    )
    statuses = Counter(turn.status for turn in outcome.all(TurnEnded))
    assert outcome.all(TurnEnded)[-1].turn >= 180
    assert min(statuses["done"], statuses["cut"]) > 5
    scale.check()
