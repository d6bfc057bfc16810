from __future__ import annotations

import asyncio

import numpy as np
import pytest

from bench._talk import Talk, Talked, talked
from workbench.model.audio import INPUT_RATE, Frame
from workbench.model.events import Heard, TurnEnded
from workbench.readers.timeline import turns
from workbench.simulation.clock import run_virtual
from workbench.simulation.network import Line, Trouble, TroubledSink, TroubledSource
from workbench.simulation.scripted import ScriptedStt
from workbench.simulation.synthesis import ArraySource, Score, tone
from workbench.transports.paced import PacedSink


async def received(trouble: Trouble, seconds: float = 2.0) -> tuple[list[Frame], list[float], TroubledSource]:
    loop, source = asyncio.get_running_loop(), TroubledSource(ArraySource(tone(seconds)), trouble)
    frames, times = [], []
    async with source:
        async for frame in source.frames():
            frames.append(frame)
            times.append(loop.time())
    return frames, times, source


def test_a_calm_network_changes_nothing_but_the_time() -> None:
    frames, times, source = run_virtual(received(Trouble(delay_ms=100, buffer_ms=40)))
    assert np.array_equal(np.concatenate([frame.samples for frame in frames]), tone(2.0))
    assert [frame.position for frame in frames] == list(range(0, 2 * INPUT_RATE, 320))
    assert times[0] == pytest.approx(0.02 + 0.14)
    assert times[-1] == pytest.approx(2.0 + 0.14)
    assert source.time_of(INPUT_RATE) == pytest.approx(1.0)
    assert source.line.missing == 0


def test_lost_packets_are_silence_and_the_same_in_each_run() -> None:
    first, times, source = run_virtual(received(Trouble(loss=0.2, seed=3), 20))
    again, _, _ = run_virtual(received(Trouble(loss=0.2, seed=3), 20))
    other, _, _ = run_virtual(received(Trouble(loss=0.2, seed=4), 20))
    silent = [not frame.samples.any() for frame in first]
    assert silent == [not frame.samples.any() for frame in again]
    assert silent != [not frame.samples.any() for frame in other]
    assert sum(silent) == source.line.lost
    assert 0.1 < source.line.missing < 0.3
    assert np.diff(times) == pytest.approx(0.02)


def test_jitter_and_reordering_beyond_the_buffer_lose_packets() -> None:
    def missing(**trouble: float) -> float:
        line = Line(Trouble(**trouble))  # type: ignore[arg-type]
        for _ in range(5000):
            line.arrives()
        assert line.lost == 0
        return line.missing

    assert missing(jitter_ms=20, buffer_ms=100) == 0
    assert 0.02 < missing(jitter_ms=20, buffer_ms=40) < 0.03  # beyond two standard deviations
    assert missing(reorder=0.1, reorder_ms=30, buffer_ms=40) == 0
    assert 0.08 < missing(reorder=0.1, reorder_ms=30, buffer_ms=20) < 0.12


def conversation(trouble: Trouble) -> tuple[Talked, TroubledSink]:
    score = Score(noise_db=-70).silence(0.5).say("tell me more").silence(3).say("and then").silence(3)
    sinks: list[TroubledSink] = []

    def sink(trace: object) -> TroubledSink:
        sinks.append(TroubledSink(PacedSink(trace), trouble))  # type: ignore[arg-type]
        return sinks[0]

    talk = Talk(
        lambda trace: TroubledSource(ArraySource(score), trouble),
        sink=sink,
        stt=ScriptedStt(score, partials=True),
    )
    return run_virtual(talked(talk)), sinks[0]


def test_a_conversation_over_a_bad_network_is_late_by_the_network_and_loses_no_turn() -> None:
    def latency(found: Talked) -> list[float]:
        heard = [event for _, event in found.all(Heard)]
        return [
            one.agent_start_ms - one.user_end_ms for one in heard if one.agent_start_ms and one.user_end_ms
        ]

    calm, _ = conversation(Trouble(buffer_ms=0))
    bad, sink = conversation(Trouble(loss=0.05, delay_ms=80, jitter_ms=10, buffer_ms=40, seed=2))
    for found in (calm, bad):
        ended = [event for _, event in found.all(TurnEnded)]
        assert [turn.user_text for turn in ended] == ["tell me more", "and then"]
    both_ways_ms = 2 * 120
    for fast, slow in zip(latency(calm), latency(bad), strict=True):
        assert slow - fast == pytest.approx(both_ways_ms, abs=60)
    for turn in turns(bad.trace.since(0, 1 << 30)):
        parts = turn.parts_ms
        assert (parts["network_in"], parts["jitter_buffer"]) == (80, 40)
        assert parts["network_out"] == pytest.approx(120, abs=0.01)
        assert abs(parts["unexplained"]) < 60
    assert sink.line.lost > 0
    assert len(sink.heard) > 0
    assert sink.heard.any()
