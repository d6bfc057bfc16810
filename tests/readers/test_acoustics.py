"""Where speech ends and the answer begins, on made-up tracks with known truth."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples, silence
from workbench.model.events import (
    Bookmarked,
    ClockMapped,
    Entry,
    Event,
    Heard,
    Levels,
    ReplyEnded,
    ReplyPlaying,
    TurnDecided,
    TurnEnded,
)
from workbench.readers import entries
from workbench.readers.acoustics import HeardLatencyMeter, TrackClocks, end_of_speech, start_of_reply
from workbench.readers.recorder import Recorder
from workbench.simulation.clock import run_virtual
from workbench.trace.store import About, SessionFolder, open_trace
from workbench.trace.trace import Trace
from workbench.trace.track import LiveTrack


def noise(rate: int, ms: int, db: float, seed: int = 0) -> Samples:
    count = rate * ms // 1000
    made = np.random.default_rng(seed).normal(0, 32768 * 10 ** (db / 20), count)
    return np.clip(made, -32768, 32767).astype(np.int16)


def tone(rate: int, ms: int, db: float = -20.0) -> Samples:
    at = np.arange(rate * ms // 1000)
    return (32768 * 10 ** (db / 20) * np.sin(2 * np.pi * 440 * at / rate)).astype(np.int16)


def user_tape(*parts: Samples) -> LiveTrack:
    track = LiveTrack("user", INPUT_RATE)
    for part in parts:
        track.append(part)
    return track


def ms(samples: int, rate: int = INPUT_RATE) -> float:
    return samples / rate * 1000


@pytest.mark.parametrize("room_db", [-100, -70, -55, -45])
@pytest.mark.parametrize("wrong_ms", [-200, -60, 0, 80, 600])
def test_the_end_is_found_near_what_the_vad_says(room_db: float, wrong_ms: int) -> None:
    track = user_tape(
        noise(INPUT_RATE, 1500, room_db, 1),
        noise(INPUT_RATE, 1000, -20, 2),
        noise(INPUT_RATE, 1500, room_db, 3),
    )
    found = end_of_speech(track, (2500 + wrong_ms) * 16)
    assert found is not None
    assert ms(found) == pytest.approx(2500, abs=5)


def test_somebody_who_never_paused_has_an_end_too() -> None:
    track = user_tape(tone(INPUT_RATE, 7000), silence(INPUT_RATE))
    assert end_of_speech(track, 7010 * 16) == 7000 * 16


def test_speech_at_the_very_beginning_and_at_the_very_end_of_the_track() -> None:
    track = user_tape(tone(INPUT_RATE, 100))
    assert end_of_speech(track, 90 * 16) == 100 * 16


def test_silence_has_no_end_of_speech() -> None:
    assert end_of_speech(user_tape(silence(INPUT_RATE)), 8000) is None
    assert end_of_speech(user_tape(), 0) is None
    assert end_of_speech(user_tape(noise(INPUT_RATE, 3000, -45)), 2000 * 16) is None


def test_the_answer_begins_with_its_first_audible_block() -> None:
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


def test_clocks_follow_the_last_mapping() -> None:
    clocks = TrackClocks()
    assert clocks.time_ms("user", 1600, 16_000) == 100
    clocks.feed(Entry(0, 0.0, ClockMapped("user", 16_000, 1500.0, 15_900.0)))
    clocks.feed(Entry(1, 0.0, Bookmarked("x")))
    clocks.feed(Entry(2, 0.0, ClockMapped("agent", 0, 1500.0, 0.0)))
    assert clocks.time_ms("user", 16_000 + 159, 16_000) == pytest.approx(1510.0)
    assert clocks.time_ms("agent", 2400, 24_000) == 100


# --- the meter --------------------------------------------------------------------------------------------------------


class Listener:
    """A meter on two tracks, whose clocks are 5 ms and 40 ms late."""

    def __init__(self, *, user: bool = True, agent: bool = True) -> None:
        self.trace = Trace(lambda: 0.0)
        self.user, self.agent = LiveTrack("user", INPUT_RATE), LiveTrack("agent", OUTPUT_RATE)
        if user:
            self.trace.tracks["user"] = self.user
        if agent:
            self.trace.tracks["agent"] = self.agent
        self.meter = HeardLatencyMeter(
            self.trace, lambda sample: sample / 16 + 5, lambda sample: sample / 24 + 40
        )

    def give(self, t_ms: float, event: Event) -> list[Heard]:
        before = self.trace.end
        self.meter.feed(Entry(0, t_ms, event))
        return [entry.event for entry in self.trace.since(before) if isinstance(entry.event, Heard)]

    def levels(self, t_ms: float) -> list[Heard]:
        return self.give(t_ms, Levels("agent", self.agent.end, -20, -20))


def spoken(listener: Listener) -> None:
    listener.user.append(tone(INPUT_RATE, 1000))
    listener.user.append(silence(INPUT_RATE * 350 // 1000))


def test_both_ends_are_told_once_as_soon_as_they_can_be_known() -> None:
    listener = Listener()
    spoken(listener)
    assert listener.give(1350, TurnDecided(1, 1, end_sample=1010 * 16)) == []
    listener.agent.append(silence(1400 * 24))
    assert listener.give(1400, ReplyPlaying(1, 1, 1400 * 24)) == []
    assert listener.levels(1410) == []
    listener.agent.append(silence(33 * 24))
    assert listener.levels(1450) == []
    listener.agent.append(tone(OUTPUT_RATE, 100))
    (heard,) = listener.levels(1500)
    assert heard.turn == 1
    assert (heard.user_end_sample, heard.user_end_ms) == (16_000, 1005.0)
    assert heard.agent_start_sample is not None
    assert heard.agent_start_sample == pytest.approx(1433 * 24, abs=120)
    assert heard.agent_start_ms == heard.agent_start_sample / 24 + 40
    assert listener.levels(1600) == []
    assert listener.give(1700, ReplyEnded(1, 1, "done", "x", "", listener.agent.end)) == []


def test_nobody_looks_beyond_what_was_played() -> None:
    listener = Listener()
    spoken(listener)
    listener.agent.append(silence(2400))
    listener.agent.append(tone(OUTPUT_RATE, 1000))
    listener.give(1350, TurnDecided(1, 1, end_sample=1010 * 16))
    listener.give(1400, ReplyPlaying(1, 1, 0))
    assert listener.give(1410, Levels("agent", 2400, -100, -100)) == []
    (heard,) = listener.give(1410, ReplyEnded(1, 1, "cut", "", "x", 2400))
    assert heard.agent_start_sample is heard.agent_start_ms is None


def test_a_quick_answer_waits_until_the_end_of_speech_is_certain() -> None:
    listener = Listener()
    listener.user.append(tone(INPUT_RATE, 1000))
    listener.user.append(silence(60 * 16))
    listener.agent.append(tone(OUTPUT_RATE, 1100))
    listener.give(1050, TurnDecided(1, 1, end_sample=1000 * 16))
    listener.give(1055, ReplyPlaying(1, 1, 0))
    assert listener.levels(1060) == []
    listener.user.append(silence(190 * 16))
    assert len(listener.levels(1260)) == 1


def test_a_source_that_ended_is_not_waited_for() -> None:
    listener = Listener()
    listener.user.append(tone(INPUT_RATE, 1000))
    listener.agent.append(tone(OUTPUT_RATE, 1100))
    listener.give(1350, TurnDecided(1, 1, end_sample=1000 * 16))
    listener.give(1350, ReplyPlaying(1, 1, 0))
    assert listener.levels(1350) == []
    (heard,) = listener.levels(1360)
    assert heard.user_end_sample == 16_000


def test_an_answer_that_ends_at_once_is_judged_by_what_there_is() -> None:
    listener = Listener()
    listener.user.append(tone(INPUT_RATE, 1000))
    listener.agent.append(tone(OUTPUT_RATE, 30))
    listener.give(1000, TurnDecided(1, 1, end_sample=1000 * 16))
    listener.give(1001, ReplyPlaying(1, 1, 0))
    (heard,) = listener.give(1031, ReplyEnded(1, 1, "done", "x", "", None))
    assert (heard.user_end_sample, heard.agent_start_sample) == (16_000, 0)


@pytest.mark.parametrize(("user", "agent"), [(True, True), (False, False)])
def test_a_typed_turn_has_no_end_of_speech(user: bool, agent: bool) -> None:
    listener = Listener(user=user, agent=agent)
    listener.give(0, TurnDecided(1, 1, typed=True))
    listener.agent.append(tone(OUTPUT_RATE, 100))
    listener.give(1, ReplyPlaying(1, 1, 0))
    told = [*listener.levels(100), *listener.give(101, ReplyEnded(1, 1, "done", "x", "", 2400))]
    assert told == [Heard(1, None, None, 0 if agent else None, 40.0 if agent else None)]


def test_what_belongs_to_no_turn_is_nobodys() -> None:
    listener = Listener()
    assert listener.give(0, ReplyPlaying(1, None, 0)) == []
    assert listener.give(0, ReplyEnded(1, None, "done", "x", "")) == []
    listener.give(0, TurnDecided(2, 2, end_sample=0))
    assert listener.give(0, ReplyEnded(1, 2, "failed", "", "")) == []
    listener.give(0, ReplyPlaying(3, 2, 0))
    listener.give(0, ReplyPlaying(4, 2, 99))
    assert listener.give(0, ReplyEnded(4, 2, "failed", "", "")) == []
    listener.give(0, TurnEnded(2, "failed", "", ""))
    listener.agent.append(tone(OUTPUT_RATE, 100))
    assert listener.levels(900) == []


def happening(before: int, at: int, played: int) -> list[Event]:
    """What goes on in the 10 ms number `at` of a turn of 3 s after `before` others."""
    turn, base_ms = before + 1, before * 3000
    score: dict[int, Event] = {
        130: TurnDecided(turn, turn, end_sample=(base_ms + 930) * 16),
        140: ReplyPlaying(turn, turn, (base_ms + 1400) * 24),
        220: ReplyEnded(turn, turn, "done", "x", "", (base_ms + 2200) * 24),
    }
    levels: list[Event] = [Levels("agent", played, 0, 0)] if at % 10 == 9 else []
    return levels + ([score[at]] if at in score else [])


def test_a_recording_says_the_same_as_the_live_session(tmp_path: Path) -> None:
    folder = SessionFolder.create(About(versions={}), tmp_path / "r")

    async def talk() -> list[Event]:
        loop = asyncio.get_running_loop()
        trace = Trace(lambda: loop.time() * 1000)
        user, agent = LiveTrack("user", INPUT_RATE, 8), LiveTrack("agent", OUTPUT_RATE, 8)
        trace.tracks.update({"user": user, "agent": agent})
        meter = HeardLatencyMeter(trace, lambda sample: sample / 16, lambda sample: sample / 24)
        said = np.concatenate([noise(INPUT_RATE, 900, -20), noise(INPUT_RATE, 2100, -60)])
        answer = np.concatenate([silence(1500 * 24), tone(OUTPUT_RATE, 700), silence(800 * 24)])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Recorder(trace, folder).run())
            for k in range(1200):
                at = k % 300
                user.append(said[at * 160 : at * 160 + 160])
                agent.append(answer[at * 240 : at * 240 + 240])
                for event in happening(k // 300, at, agent.end):
                    meter.feed(trace.emit(event))
                await asyncio.sleep(0.01)
            trace.close()
        return [entry.event for entry in trace.since(0) if isinstance(entry.event, Heard)]

    live = run_virtual(talk())
    assert len(live) == 4
    trace = open_trace(folder.path)
    again: list[Heard] = []
    meter = HeardLatencyMeter(
        trace, lambda sample: sample / 16, lambda sample: sample / 24, emit=again.append
    )
    for entry in entries(trace):
        meter.feed(entry)
    assert again == live
