"""The tracks that a session keeps: what came in, what was used, what was played."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np

from tests.engine.support.scenario import Scenario, run
from workbench.engine.pipeline import Pipeline
from workbench.model.audio import INPUT_RATE, Frame
from workbench.simulation.synthesis import ArraySource, Score
from workbench.trace.track import LiveTrack


class Cancelling(ArraySource):
    """A source that cancels echo: what it heard is ten louder than what it gives; the frame at 400 ms is lost, and the
    one at 600 ms comes twice."""

    async def frames(self) -> AsyncIterator[Frame]:
        async for frame in super().frames():
            if frame.position == 6400:
                continue
            made = Frame(frame.samples, INPUT_RATE, frame.position, frame.samples + np.int16(10))
            yield made
            if frame.position == 9600:
                yield made


class Kept(Pipeline):
    """Keeps its tracks where a test finds them."""

    user: LiveTrack
    mic: LiveTrack

    def __init__(self, stages, settings, trace, tracks, *more, **rest) -> None:  # type: ignore[no-untyped-def]
        Kept.user, Kept.mic = tracks.user, LiveTrack("mic", INPUT_RATE, 60)
        trace.tracks["mic"] = Kept.mic
        super().__init__(
            stages, settings, trace, type(tracks)(tracks.user, tracks.agent, Kept.mic), *more, **rest
        )


def test_the_mic_track_has_the_same_positions_as_the_user_track() -> None:
    score = Score().add(np.arange(1, 16_001, dtype=np.int16))
    run(Scenario(score, source=Cancelling, pipeline=Kept))
    user, mic = Kept.user.read(0, 16_000), Kept.mic.read(0, 16_000)
    expected = np.arange(1, 16_001)
    expected[6400:6720] = 0
    assert np.array_equal(user, expected)
    expected[expected > 0] += 10
    assert np.array_equal(mic, expected)
    assert Kept.mic.end == 16_000


def test_while_muted_both_tracks_are_silent() -> None:
    def mute(pipeline: Pipeline) -> None:
        pipeline.muted = True

    score = Score().add(np.full(16_000, 3, dtype=np.int16))
    run(Scenario(score, source=Cancelling, pipeline=Kept, verbs=[(0.5, mute)]))
    assert Kept.mic.read(0, 6400).all()
    assert Kept.user.read(0, 6400).all()
    assert not Kept.mic.read(8000, 16_000).any()
    assert not Kept.user.read(8000, 16_000).any()


def test_a_source_is_left_when_the_session_is_stopped() -> None:
    left: list[float] = []

    class Noting(ArraySource):
        async def frames(self) -> AsyncIterator[Frame]:
            try:
                async for frame in super().frames():
                    yield frame
            finally:
                left.append(asyncio.get_running_loop().time())

    run(Scenario(Score().silence(5), source=Noting, cancel_at=1.0))
    assert left == [1.0]
