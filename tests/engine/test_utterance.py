"""An utterance can be read while it is still being spoken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE, Frame, Samples
from workbench.model.conversation import Transcript
from workbench.model.errors import GarbageError
from workbench.simulation.clock import run_virtual


def frame(position: int, count: int = 160) -> Frame:
    return Frame(np.arange(position, position + count).astype(np.int16), INPUT_RATE, position)


def test_sound_is_read_by_its_position_on_the_track() -> None:
    utterance = Utterance(1, 1000)
    assert len(utterance.audio()) == 0
    for k in range(3):
        utterance.append(frame(1000 + k * 160))
    assert utterance.end == 1480
    assert utterance.seconds == 480 / INPUT_RATE
    assert utterance.audio().tolist() == list(range(1000, 1480))
    assert utterance.audio(1100, 1110).tolist() == list(range(1100, 1110))
    assert utterance.audio(0, 1002).tolist() == [1000, 1001]
    assert len(utterance.audio(2000)) == len(utterance.audio(0, 500)) == 0


def test_a_state_may_set_the_end_of_speech() -> None:
    utterance = Utterance(1, 0)
    assert (utterance.state, utterance.over) == ("speaking", False)
    utterance.become("paused", 320)
    assert (utterance.speech_end, utterance.over) == (320, False)
    utterance.become("ended")
    assert (utterance.speech_end, utterance.over) == (320, True)
    utterance.become("dismissed")
    assert utterance.over


def test_a_transcript_covers_speech_up_to_its_upto_sample() -> None:
    utterance = Utterance(1, 0)
    utterance.become("paused", 320)
    assert not utterance.covered
    for transcript, covered in (
        (Transcript("a", 319), False),
        (Transcript("a", 320), True),
        (Transcript("a", 0, stable=True), True),
        (Transcript("a", 0, final=True), True),
    ):
        utterance.write(transcript)
        assert utterance.covered == covered


def test_every_reader_gets_all_chunks() -> None:
    async def read(utterance: Utterance) -> Samples:
        return np.concatenate([chunk async for chunk in utterance.chunks()])

    async def run() -> None:
        utterance = Utterance(1, 1000)
        async with asyncio.TaskGroup() as tasks:
            early = tasks.create_task(read(utterance))
            for k in range(5):
                utterance.append(frame(1000 + k * 160))
                await asyncio.sleep(0.01)
            late = tasks.create_task(read(utterance))
            utterance.append(frame(1800))
            utterance.become("ended")
        assert early.result().tolist() == late.result().tolist() == list(range(1000, 1960))

    run_virtual(run())


def test_any_change_wakes_waiters() -> None:
    async def run() -> None:
        utterance = Utterance(1, 0)
        woken = 0

        async def watch() -> None:
            nonlocal woken
            while not utterance.over:
                await utterance.changed()
                woken += 1

        changes: list[Callable[[], None]] = [
            lambda: utterance.append(frame(0)),
            lambda: utterance.write(Transcript("a", 1)),
            lambda: utterance.become("ended"),
        ]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch())
            for change in changes:
                await asyncio.sleep(0.01)
                change()
        assert woken == 3

    run_virtual(run())


def test_waiters_for_marks_are_not_woken_by_sound() -> None:
    async def run() -> float:
        loop, utterance = asyncio.get_running_loop(), Utterance(1, 0)
        loop.call_later(1, utterance.append, frame(0))
        loop.call_later(2, utterance.write, Transcript("a", 160))
        await utterance.marked()
        return loop.time()

    assert run_virtual(run()) == 2


@pytest.mark.parametrize("strange", [None, "hello", Transcript(7, 0)])  # type: ignore[arg-type]
def test_only_a_transcript_can_be_written(strange: object) -> None:
    utterance = Utterance(1, 0)
    with pytest.raises(GarbageError, match="a transcript is expected"):
        utterance.write(strange)  # type: ignore[arg-type]
    assert utterance.transcript is None
