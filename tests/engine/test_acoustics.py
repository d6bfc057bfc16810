"""Where speech ends and the reply begins, on synthetic tracks with known truth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.engine.support.scenario import Scenario, stages_for
from workbench.engine.acoustics import HeardLatency, end_of_speech, start_of_reply
from workbench.engine.buffer import ReplyAudio
from workbench.engine.reply import NoTools, Reply
from workbench.engine.stages import Tracks
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples, silence
from workbench.model.events import Heard
from workbench.readers.recorder import Recorder
from workbench.simulation.clock import run_virtual
from workbench.simulation.synthesis import ArraySource, Score
from workbench.trace.store import About, SessionFolder, open_trace
from workbench.trace.trace import Trace
from workbench.trace.track import LiveTrack
from workbench.transports.paced import PacedSink


def noise(rate: int, ms: int, db: float, seed: int = 0) -> Samples:
    count = rate * ms // 1000
    made = np.random.default_rng(seed).normal(0, 32768 * 10 ** (db / 20), count)
    return np.clip(made, -32768, 32767).astype(np.int16)


def tone(rate: int, ms: int, db: float = -20.0) -> Samples:
    at = np.arange(rate * ms // 1000)
    return (32768 * 10 ** (db / 20) * np.sin(2 * np.pi * 440 * at / rate)).astype(np.int16)


def user_track(*parts: Samples) -> LiveTrack:
    track = LiveTrack("user", INPUT_RATE)
    for part in parts:
        track.append(part)
    return track


def ms(samples: int, rate: int = INPUT_RATE) -> float:
    return samples / rate * 1000


@pytest.mark.parametrize("room_db", [-100, -70, -55, -45])
@pytest.mark.parametrize("wrong_ms", [-200, -60, 0, 80, 600])
def test_the_end_of_speech_is_near_the_end_by_the_vad(room_db: float, wrong_ms: int) -> None:
    track = user_track(
        noise(INPUT_RATE, 1500, room_db, 1),
        noise(INPUT_RATE, 1000, -20, 2),
        noise(INPUT_RATE, 1500, room_db, 3),
    )
    found = end_of_speech(track, (2500 + wrong_ms) * 16)
    assert found is not None
    assert ms(found) == pytest.approx(2500, abs=5)


def test_speech_without_a_pause_has_an_end() -> None:
    track = user_track(tone(INPUT_RATE, 7000), silence(INPUT_RATE))
    assert end_of_speech(track, 7010 * 16) == 7000 * 16


def test_speech_at_the_very_beginning_and_at_the_very_end_of_the_track() -> None:
    track = user_track(tone(INPUT_RATE, 100))
    assert end_of_speech(track, 90 * 16) == 100 * 16


def test_silence_has_no_end_of_speech() -> None:
    assert end_of_speech(user_track(silence(INPUT_RATE)), 8000) is None
    assert end_of_speech(user_track(), 0) is None
    assert end_of_speech(user_track(noise(INPUT_RATE, 3000, -45)), 2000 * 16) is None


def test_a_reply_begins_with_its_first_audible_block() -> None:
    track = LiveTrack("agent", OUTPUT_RATE)
    track.append(tone(OUTPUT_RATE, 300))  # an earlier answer
    track.append(silence(OUTPUT_RATE * 2 + 120))
    track.append(tone(OUTPUT_RATE, 100, -60))  # too soft to be heard
    track.append(tone(OUTPUT_RATE, 300))
    first = 300 * 24
    found = start_of_reply(track, first)
    assert found is not None
    assert ms(found, OUTPUT_RATE) == pytest.approx(300 + 2005 + 100, abs=5)
    assert start_of_reply(track, first, stop=found) is None
    assert start_of_reply(track, track.end) is None


# --- live -------------------------------------------------------------------------------------------------------------


class LateSource(ArraySource):
    """A microphone that is 5 ms late."""

    def time_of(self, sample: int) -> float:
        return sample / INPUT_RATE + 0.005


class LateSink(PacedSink):
    """A speaker that is 40 ms late."""

    def time_of(self, sample: int) -> float:
        return sample / OUTPUT_RATE + 0.040


class Ends:
    """Both tracks, and what is measured on them for turn 1 and its reply."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.trace = Trace(lambda: loop.time() * 1000)
        self.user, self.agent = LiveTrack("user", INPUT_RATE), LiveTrack("agent", OUTPUT_RATE)
        scenario = Scenario(Score(), source=LateSource, sink=LateSink)
        stages = stages_for(scenario, self.trace, NoTools())
        self.heard = HeardLatency(stages, Tracks(self.user, self.agent), self.trace)
        self.reply = Reply(1, "hello", ReplyAudio(2.0))
        self.reply.turn = 1

    def events(self) -> list[Heard]:
        """What was emitted since the last call."""
        events = [entry.event for entry in self.trace.since(0) if isinstance(entry.event, Heard)]
        fresh, self.count = events[getattr(self, "count", 0) :], len(events)
        return fresh

    def played(self, at_ms: float, upto: int | None = None) -> list[Heard]:
        self.heard.played(self.agent.end if upto is None else upto, at_ms)
        return self.events()

    def ended(self, end: int | None) -> list[Heard]:
        self.reply.audio.ended_at = end
        self.heard.conclude(self.reply)
        return self.events()


def virtually(body: Callable[[Ends], None]) -> Callable[[], None]:
    """Call it with two empty tracks, on a loop of its own."""

    async def main() -> None:
        body(Ends())

    def test() -> None:
        run_virtual(main())

    test.__name__ = body.__name__
    return test


@virtually
def test_both_ends_are_emitted_once_as_soon_as_they_can_be_known(ends: Ends) -> None:
    ends.user.append(tone(INPUT_RATE, 1000))
    ends.user.append(silence(INPUT_RATE * 350 // 1000))
    ends.heard.follow(ends.reply, 1010 * 16)
    ends.agent.append(silence(1400 * 24))
    ends.reply.first_sample = 1400 * 24
    assert ends.played(1410) == []
    ends.agent.append(silence(33 * 24))
    assert ends.played(1450) == []
    ends.agent.append(tone(OUTPUT_RATE, 100))
    (heard,) = ends.played(1500)
    assert heard.turn == 1
    assert (heard.user_end_sample, heard.user_end_ms) == (16_000, 1005.0)
    assert heard.agent_start_sample is not None
    assert heard.agent_start_sample == pytest.approx(1433 * 24, abs=120)
    assert heard.agent_start_ms == pytest.approx(heard.agent_start_sample / 24 + 40, abs=0.001)
    assert ends.played(1600) == []
    assert ends.ended(ends.agent.end) == []


@virtually
def test_nothing_is_searched_beyond_what_was_played(ends: Ends) -> None:
    ends.user.append(tone(INPUT_RATE, 1000))
    ends.user.append(silence(INPUT_RATE * 350 // 1000))
    ends.agent.append(silence(2400))
    ends.agent.append(tone(OUTPUT_RATE, 1000))
    ends.heard.follow(ends.reply, 1010 * 16)
    ends.reply.first_sample = 0
    assert ends.played(1410, 2400) == []
    (heard,) = ends.ended(2400)
    assert heard.agent_start_sample is heard.agent_start_ms is None


@virtually
def test_a_quick_reply_waits_until_the_end_of_speech_is_certain(ends: Ends) -> None:
    ends.user.append(tone(INPUT_RATE, 1000))
    ends.user.append(silence(60 * 16))
    ends.agent.append(tone(OUTPUT_RATE, 1100))
    ends.heard.follow(ends.reply, 1000 * 16)
    ends.reply.first_sample = 0
    assert ends.played(1060) == []
    ends.user.append(silence(190 * 16))
    assert len(ends.played(1260)) == 1


@virtually
def test_a_source_that_ended_is_not_waited_for(ends: Ends) -> None:
    ends.user.append(tone(INPUT_RATE, 1000))
    ends.agent.append(tone(OUTPUT_RATE, 1100))
    ends.heard.follow(ends.reply, 1000 * 16)
    ends.reply.first_sample = 0
    assert ends.played(1350) == []
    (heard,) = ends.played(1360)
    assert heard.user_end_sample == 16_000


@virtually
def test_a_reply_that_ends_at_once_is_measured_by_what_is_there(ends: Ends) -> None:
    ends.user.append(tone(INPUT_RATE, 1000))
    ends.agent.append(tone(OUTPUT_RATE, 30))
    ends.heard.follow(ends.reply, 1000 * 16)
    ends.reply.first_sample = 0
    (heard,) = ends.ended(None)
    assert (heard.user_end_sample, heard.agent_start_sample) == (16_000, 0)


@virtually
def test_a_typed_turn_has_no_end_of_speech(ends: Ends) -> None:
    ends.heard.follow(ends.reply, None)
    ends.agent.append(tone(OUTPUT_RATE, 100))
    ends.reply.first_sample = 0
    assert [*ends.played(100), *ends.ended(2400)] == [Heard(1, None, None, 0, 40.0)]


@virtually
def test_a_reply_that_never_played_is_not_measured(ends: Ends) -> None:
    ends.agent.append(tone(OUTPUT_RATE, 100))
    ends.heard.follow(ends.reply, 0)
    assert ends.played(900) == []
    assert ends.ended(None) == []
    ends.heard.conclude(Reply(2, "another one", ReplyAudio(2.0)))
    assert ends.events() == []


def test_the_same_is_found_on_a_recording_as_live(tmp_path: Path) -> None:
    folder = SessionFolder.create(About(versions={}), tmp_path / "r")
    found: list[tuple[int | None, int | None]] = []

    async def talk() -> None:
        trace = Trace(lambda: asyncio.get_running_loop().time() * 1000)
        user, agent = LiveTrack("user", INPUT_RATE, 8), LiveTrack("agent", OUTPUT_RATE, 8)
        trace.tracks.update({"user": user, "agent": agent})
        said = np.concatenate([noise(INPUT_RATE, 900, -20), noise(INPUT_RATE, 2100, -60)])
        reply = np.concatenate([silence(1500 * 24), tone(OUTPUT_RATE, 700), silence(800 * 24)])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Recorder(trace, folder).run())
            for turn in range(4):
                for at in range(300):
                    user.append(said[at * 160 : at * 160 + 160])
                    agent.append(reply[at * 240 : at * 240 + 240])
                    await asyncio.sleep(0.01)
                start_ms = turn * 3000
                found.append(
                    (
                        end_of_speech(user, (start_ms + 930) * 16),
                        start_of_reply(agent, (start_ms + 1400) * 24, (start_ms + 2200) * 24),
                    )
                )
            trace.close()

    run_virtual(talk())
    trace = open_trace(folder.path)
    for turn, ends in enumerate(found):
        start_ms = turn * 3000
        assert None not in ends
        assert ends == (
            end_of_speech(trace.tracks["user"], (start_ms + 930) * 16),
            start_of_reply(trace.tracks["agent"], (start_ms + 1400) * 24, (start_ms + 2200) * 24),
        )
