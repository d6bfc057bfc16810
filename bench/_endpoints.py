"""When turn detectors would end a turn, at every pause of every turn, with many settings at once.

Frames, VAD and words come as they do in a session, once for all detectors and settings: a turn runs to its end whatever
they say, so that each pause is a decision of its own, as in livekit/eot-bench. A pause in which the end is decided is a
false cutoff; the latency is from the turn's last sample to the decision.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from bench._user_turns import UserTurn
from workbench.engine.interfaces import TurnDetector, Vad
from workbench.engine.listening import Listening, Onset, Pause
from workbench.engine.settings import EngineSettings, TurnSettings
from workbench.engine.utterance import Estimate, Utterance
from workbench.model.audio import INPUT_RATE
from workbench.simulation.scripted import ScriptedStt
from workbench.simulation.synthesis import ArraySource
from workbench.trace.trace import Trace
from workbench.trace.track import LiveTrack

SHORTEST_HOLD_S = 0.2
"""Shorter pauses are not counted, as in eot-bench."""
LATE_S = 0.1
"""A decision so soon after a pause was made in it: speech is noticed with a delay, s."""


@dataclass
class Point:
    """How a detector fares with certain settings."""

    settings: TurnSettings
    cutoffs: int = 0
    holds: int = 0
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def cutoff_rate(self) -> float:
        """The share of pauses within turns in which the turn would have been ended."""
        return self.cutoffs / max(1, self.holds)

    @property
    def latency_ms(self) -> float:
        """From the end of a turn to the decision, mean."""
        return float(np.mean(self.latencies_ms))

    def add(self, turn: UserTurn, decisions: Sequence[int]) -> None:
        """Count what was decided in a turn; `decisions` are positions on its track."""
        holds = [pause for pause in turn.pauses if pause[1] - pause[0] >= SHORTEST_HOLD_S * INPUT_RATE]
        early = [at for at in decisions if at < turn.end]
        cut = {
            next((hold for hold in holds if hold[0] <= at <= hold[1] + LATE_S * INPUT_RATE), at)
            for at in early
        }
        self.cutoffs += len(cut)
        self.holds += len(holds) + sum(isinstance(place, int) for place in cut)
        end = next((at for at in decisions if at >= turn.end), len(turn.samples))
        self.latencies_ms.append((end - turn.end) * 1000 / INPUT_RATE)


class Unassessed:
    """An utterance of whose sound no model has judged: what a detector without one sees."""

    end_probability = None

    def __init__(self, utterance: Utterance) -> None:
        self._utterance = utterance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._utterance, name)


class Probe(TurnDetector):
    """Asks detectors with many settings at every frame of a pause, and never ends the turn itself."""

    def __init__(
        self, detectors: Mapping[str, TurnDetector], grids: Mapping[str, Sequence[TurnSettings]]
    ) -> None:
        self.decided: dict[tuple[str, int], list[int]] = {
            (name, number): [] for name in detectors for number in range(len(grids[name]))
        }
        """Positions at which a detector with the settings of that number would have ended the turn."""
        self._detectors = detectors
        self._grids = grids
        self._pause = -1
        self._known: tuple[object, object] | None = None
        self._waits: dict[tuple[str, int], float] = {}
        """What those wait that have not decided in this pause, until words or the model's judgement change."""

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """Ask them all, whenever there is something new to know."""
        if utterance.speech_end != self._pause:
            self._pause, self._known = utterance.speech_end, None
            self._waits = dict.fromkeys(self.decided, math.inf)
        if (known := (utterance.transcript, utterance.end_probability)) != self._known:
            self._known = known
            self._waits = {key: self._wait_ms(utterance, *key) for key in self._waits}
        silence_ms = (utterance.end - utterance.speech_end) * 1000 / INPUT_RATE
        for key in [key for key, wait_ms in self._waits.items() if silence_ms >= wait_ms]:
            self.decided[key].append(utterance.end)
            del self._waits[key]
        return math.inf

    def _wait_ms(self, utterance: Utterance, name: str, number: int) -> float:
        detector = self._detectors[name]
        heard = utterance if detector.assesses else cast(Utterance, Unassessed(utterance))
        return detector.wait_ms(heard, self._grids[name][number])

    def paused(self, ms: float, *, went_on: bool) -> None:
        """Let them learn."""
        for detector in self._detectors.values():
            detector.paused(ms, went_on=went_on)


async def probe(
    turn: UserTurn,
    detectors: Mapping[str, TurnDetector],
    points: Mapping[str, Sequence[Point]],
    vad: Vad,
    delay_ms: float,
) -> None:
    """Play a turn to the detectors, and count on their points what they decide; words come `delay_ms` late."""
    assessing = next((detector for detector in detectors.values() if detector.assesses), None)
    asked = Probe(detectors, {name: [point.settings for point in some] for name, some in points.items()})
    trace = Trace(lambda: 0.0, keep=100)
    listening = Listening(vad, asked, EngineSettings(), trace, LiveTrack("user", INPUT_RATE))
    stt = ScriptedStt(turn.score, partials=True, delay_ms=delay_ms)
    async with asyncio.TaskGroup() as tasks:
        reading: list[asyncio.Task[object]] = []
        async for frame in ArraySource(turn.samples).frames():
            for event in listening.feed(frame):
                if isinstance(event, Onset):
                    event.utterance.language = turn.language
                    event.utterance.question = turn.question
                    reading.append(tasks.create_task(stt.transcribe(event.utterance, eager=True)))
                if isinstance(event, Pause) and assessing is not None:
                    reading.append(tasks.create_task(assess(assessing, event.utterance)))
            await asyncio.sleep(0)  # the STT reads along
        for task in reading:
            task.cancel()
    for (name, number), decisions in asked.decided.items():
        points[name][number].add(turn, decisions)


async def assess(detector: TurnDetector, utterance: Utterance) -> None:
    """Have a model judge the pause, once for all detectors."""
    speech_end = utterance.speech_end
    probability = await detector.assess(utterance)
    if probability is not None:
        utterance.estimate(Estimate(probability, speech_end))
