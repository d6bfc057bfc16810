"""What is on the sink, sample by sample."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from time import monotonic

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.waiting import PATIENCE_S
from workbench.engine.buffer import ReplyAudio
from workbench.engine.playout import Playout
from workbench.engine.settings import BargeInSettings
from workbench.model.audio import OUTPUT_RATE, Samples, silence
from workbench.model.events import Levels
from workbench.simulation.clock import run_virtual
from workbench.simulation.synthesis import agent_voice
from workbench.trace.trace import Trace
from workbench.trace.track import LiveTrack

FADE = 15 * OUTPUT_RATE // 1000


def ramp(count: int, first: int = 0) -> Samples:
    """Samples that can be told from each other, none of them quiet."""
    return (10_000 + np.arange(first, first + count) % 20_000).astype(np.int16)


class Stage:
    """A playout with a clock of its own, and what it has played."""

    def __init__(self) -> None:
        self.settings = BargeInSettings()
        self.trace = Trace(lambda: 0.0)
        self.track = LiveTrack("agent", OUTPUT_RATE, 60)
        self.playout = Playout(self.trace, self.track, self.settings)
        self.began: list[int] = []

    async def begin(self, samples: Samples) -> ReplyAudio:
        audio = ReplyAudio(60)
        await audio.put(samples)
        audio.finish()
        self.playout.begin(audio, lambda: self.began.append(self.playout.position))
        return audio

    @property
    def played(self) -> Samples:
        return self.track.read(0, self.track.end)


def on_stage(body: Callable[[Stage], Awaitable[None]]) -> Stage:
    async def main() -> Stage:
        stage = Stage()
        await body(stage)
        await asyncio.sleep(0)
        return stage

    return run_virtual(main())


# --- fades -----------------------------------------------------------------------------------------------------------


def test_a_reply_is_played_as_it_is_and_then_silence() -> None:
    async def body(stage: Stage) -> None:
        stage.playout.pull(100)
        audio = await stage.begin(ramp(1000))
        for _ in range(3):
            stage.playout.pull(480)
        assert (audio.began_at, audio.ended_at, audio.played) == (100, 1100, 1000)
        assert audio.underrun == 0

    stage = on_stage(body)
    assert np.array_equal(stage.played[100:1100], ramp(1000))
    assert not stage.played[1100:].any()
    assert stage.began, "told when the first sample was pulled"


@pytest.mark.parametrize("fade_ms", [10, 15, 20])
def test_a_pause_fades_within_its_length_at_once_and_goes_on_from_the_very_sample(fade_ms: int) -> None:
    fade = fade_ms * OUTPUT_RATE // 1000

    async def body(stage: Stage) -> None:
        stage.settings.fade_ms = fade_ms
        await stage.begin(ramp(5000))
        stage.playout.pull(480)
        assert stage.playout.hold() == 480
        stage.playout.pull(960)
        stage.playout.pull(960)
        assert stage.playout.release() == 2400
        stage.playout.pull(960)

    played = on_stage(body).played.astype(int)
    down, up = played[480 : 480 + fade], played[2400 : 2400 + fade]
    gains = np.arange(fade, 0, -1) / (fade + 1)
    assert np.abs(down - ramp(fade, 480) * gains).max() <= 1
    assert not played[480 + fade : 2400].any()
    assert np.abs(up - ramp(fade, 480 + fade) * gains[::-1]).max() <= 1
    assert np.array_equal(played[2400 + fade :], ramp(960 - fade, 480 + 2 * fade))


def test_a_pause_in_the_middle_of_a_fade_goes_back_from_where_it_is() -> None:
    async def body(stage: Stage) -> None:
        await stage.begin(ramp(5000))
        stage.playout.pull(480)
        for step in range(40):  # 100 samples of a ramp of 360 each time
            (stage.playout.release if step % 2 else stage.playout.hold)()
            stage.playout.pull(100)

    played = on_stage(body).played.astype(float)
    assert np.abs(np.diff(played)).max() < 30_000 / FADE + 2


def test_a_reply_that_is_taken_off_fades_out_and_the_next_one_follows() -> None:
    async def body(stage: Stage) -> None:
        first = await stage.begin(ramp(5000))
        stage.playout.pull(480)
        stage.playout.end(first)
        assert first.played == 480 + FADE
        assert first.ended_at == 480 + FADE
        stage.playout.end(first)
        second = await stage.begin(ramp(1000))
        stage.playout.pull(960)
        assert second.began_at == 480 + FADE

    played = on_stage(body).played.astype(int)
    assert np.abs(played[480 : 480 + FADE] - ramp(FADE, 480) * np.arange(FADE, 0, -1) / (FADE + 1)).max() <= 1
    assert np.array_equal(played[480 + FADE :], ramp(960 - FADE))


def test_a_reply_that_is_taken_off_before_its_first_sample_makes_no_sound() -> None:
    async def body(stage: Stage) -> None:
        audio = await stage.begin(ramp(5000))
        stage.playout.end(audio)
        stage.playout.pull(960)
        assert (audio.played, audio.began_at, audio.ended_at) == (0, None, None)

    stage = on_stage(body)
    assert not stage.played.any()
    assert not stage.began


@pytest.mark.parametrize("released", [True, False])
def test_a_reply_that_is_taken_off_while_it_is_paused_makes_no_sound(released: bool) -> None:
    async def body(stage: Stage) -> None:
        audio = await stage.begin(ramp(5000))
        stage.playout.pull(480)
        stage.playout.hold()
        stage.playout.pull(960)
        if released:
            stage.playout.release()
        stage.playout.end(audio)
        stage.playout.release()
        stage.playout.pull(960)

    assert not on_stage(body).played[480 + FADE :].any()


def test_a_reply_that_is_paused_before_its_first_sample_makes_no_sound() -> None:
    async def body(stage: Stage) -> None:
        audio = await stage.begin(ramp(5000))
        stage.playout.hold()
        stage.playout.pull(960)
        assert audio.played == 0
        stage.playout.release()
        stage.playout.pull(480)

    assert np.array_equal(on_stage(body).played, np.concatenate((silence(960), ramp(480))))


def test_a_reply_that_begins_while_paused_starts_without_a_fade_when_it_may() -> None:
    async def body(stage: Stage) -> None:
        stage.playout.hold()
        await stage.begin(ramp(5000))
        stage.playout.pull(480)
        stage.playout.release()
        stage.playout.pull(480)

    assert np.array_equal(on_stage(body).played, np.concatenate((silence(480), ramp(480))))


def test_no_click_in_a_voice_that_is_paused_and_resumed_at_any_sample() -> None:
    voice = agent_voice(OUTPUT_RATE)[: 2 * OUTPUT_RATE]
    steepest = np.abs(np.diff(voice.astype(int))).max()
    peak = np.abs(voice.astype(int)).max()

    async def body(stage: Stage) -> None:
        await stage.begin(voice)
        for size in (7, 481, 1203, 333, 2400, 4801, 999):
            stage.playout.pull(size)
            stage.playout.hold()
            stage.playout.pull(1000)
            stage.playout.release()

    jumps = np.abs(np.diff(on_stage(body).played.astype(int)))
    assert jumps.max() <= steepest + peak / FADE + 1


# --- any sequence ----------------------------------------------------------------------------------------------------

Step = tuple[str, int]
Steps = st.lists(
    st.one_of(
        st.tuples(st.just("pull"), st.integers(1, 700)),
        st.tuples(st.just("put"), st.integers(1, 900)),
        *(st.tuples(st.just(what), st.just(0)) for what in ("hold", "release", "begin", "end")),
        st.tuples(st.just("fade"), st.integers(10, 20)),
    ),
    max_size=60,
)


class Model:
    """The same, said sample by sample: what is played is (sample, gain)."""

    def __init__(self) -> None:
        self.fade, self.held, self.on, self.gain = FADE, False, False, 1.0
        self.made = self.used = 0
        self.tail: list[tuple[int, float]] = []
        self.out: list[tuple[int, float] | None] = []

    def do(self, what: str, number: int) -> None:
        if what == "pull":
            for _ in range(number):
                self.out.append(self.tail.pop(0) if self.tail else self.next())
        elif what == "put":
            self.made += number * self.on
        elif what == "fade":
            self.fade = number * OUTPUT_RATE // 1000
        elif what == "begin":
            self.on, self.made, self.used, self.gain = True, 0, 0, 0.0 if self.held else 1.0
        elif what == "end" and self.on:
            was, self.held = self.held, True
            while self.used and (sample := self.next()):
                self.tail.append(sample)
            self.on, self.held = False, was
        elif what in ("hold", "release"):
            self.held = what == "hold"
            if not (self.on and self.used):
                self.gain = float(not self.held)

    def next(self) -> tuple[int, float] | None:
        if not self.on:
            return None
        step = 1 / (self.fade + 1)
        gain = self.gain - step if self.held else min(1.0, self.gain + step)
        if self.used == self.made or gain < step * 1e-5:
            self.gain = 0.0 if self.held else self.gain
            return None
        self.used, self.gain = self.used + 1, gain
        return self.used - 1, gain


@given(Steps)
@settings(deadline=None, derandomize=True, max_examples=300)
def test_any_sequence_plays_each_sample_once_in_order(steps: list[Step]) -> None:
    model = Model()

    async def body(stage: Stage) -> None:
        audio: ReplyAudio | None = None
        for what, number in steps:
            if what == "begin" and audio is not None:
                model.do("end", 0)
                stage.playout.end(audio)
            made = model.made
            model.do(what, number)
            if what == "pull":
                assert len(stage.playout.pull(number)) == number
            elif what == "fade":
                stage.settings.fade_ms = number
            elif what == "begin":
                audio = ReplyAudio(60)
                stage.playout.begin(audio, lambda: None)
            elif what == "put" and audio is not None:
                await audio.put(ramp(number, made))
            elif what == "end" and audio is not None:
                stage.playout.end(audio)
                audio = None
            elif what in ("hold", "release"):
                getattr(stage.playout, what)()

    played = on_stage(body).played.astype(float)
    expected = [0.0 if out is None else float(ramp(1, out[0])[0]) * out[1] for out in model.out]
    assert np.allclose(played, expected, atol=1.01)


# --- the buffer ------------------------------------------------------------------------------------------------------


def test_sound_is_buffered_only_so_far_ahead() -> None:
    async def main() -> None:
        loop, audio = asyncio.get_running_loop(), ReplyAudio(1.0)
        loop.call_later(5, audio.take, 100, 0)
        await audio.put(ramp(OUTPUT_RATE))
        assert loop.time() == 0
        await audio.put(ramp(OUTPUT_RATE))
        assert loop.time() == 5
        await audio.put(silence(0))

    run_virtual(main())


def test_only_silence_within_a_reply_is_missing_sound() -> None:
    async def body(stage: Stage) -> None:
        audio = ReplyAudio(60)
        stage.playout.begin(audio, lambda: None)
        stage.playout.pull(480)  # not begun
        await audio.put(ramp(480))
        stage.playout.pull(960)
        assert audio.underrun == 0, "it may have been the end"
        stage.playout.pull(480)
        await audio.put(ramp(480))
        stage.playout.pull(480)
        assert audio.underrun == 960
        stage.playout.pull(480)
        audio.finish()
        stage.playout.pull(480)
        assert audio.underrun == 960

    on_stage(body)


def test_a_pause_is_no_missing_sound() -> None:
    async def body(stage: Stage) -> None:
        audio = await stage.begin(ramp(4800))
        stage.playout.pull(480)
        stage.playout.hold()
        for _ in range(10):
            stage.playout.pull(480)
        stage.playout.release()
        stage.playout.pull(480)
        assert audio.underrun == 0

    on_stage(body)


def test_the_sink_is_woken_when_there_is_sound_again() -> None:
    async def main() -> int:
        woken: list[int] = []
        audio = ReplyAudio(60)
        audio.wake = lambda: woken.append(1)
        await audio.put(ramp(100))
        await audio.put(ramp(100))
        audio.take(200, 0)
        await audio.put(ramp(100))
        return len(woken)

    assert run_virtual(main()) == 2


def test_a_sink_in_a_thread_never_waits_and_loses_nothing() -> None:
    """The sink pulls from its own thread while the loop is now and then busy."""
    pulled: list[Samples] = []
    longest = 0.0

    async def main() -> None:
        stage = Stage()
        audio = ReplyAudio(0.5)
        done = threading.Event()

        def sink() -> None:
            nonlocal longest
            while not done.is_set():
                began = monotonic()
                pulled.append(stage.playout.pull(480))
                longest = max(longest, monotonic() - began)
                done.wait(0.0002)

        stage.playout.begin(audio, lambda: None)
        thread = threading.Thread(target=sink)
        thread.start()
        try:
            for at in range(0, 48_000, 1000):
                async with asyncio.timeout(PATIENCE_S):
                    await audio.put(ramp(1000, at))
            audio.finish()
            async with asyncio.timeout(PATIENCE_S):
                await audio.drained()
        finally:
            done.set()
            thread.join()

    asyncio.run(main())
    played = np.concatenate(pulled)
    assert np.array_equal(played[played != 0], ramp(48_000))
    assert longest < 5  # s, on a machine that has others to serve


def test_levels_are_emitted_ten_times_a_second() -> None:
    async def body(stage: Stage) -> None:
        await stage.begin(ramp(OUTPUT_RATE))
        for _ in range(60):
            stage.playout.pull(480)

    levels = [entry.event for entry in on_stage(body).trace.since(0) if isinstance(entry.event, Levels)]
    assert [event.upto_sample for event in levels] == [2400 * (at + 1) for at in range(12)]
    assert levels[0].rms_db > -10
    assert levels[-1].rms_db == levels[-1].peak_db == -100


def test_quiet_ms_counts_from_the_last_sound() -> None:
    async def body(stage: Stage) -> None:
        stage.playout.pull(480)
        assert not stage.playout.sounding(250)
        assert stage.playout.quiet_ms == 20
        await stage.begin(ramp(480))
        stage.playout.pull(480)
        assert stage.playout.sounding(250)
        assert stage.playout.quiet_ms == 0
        stage.playout.pull(2400)
        assert stage.playout.quiet_ms == 100
        assert stage.playout.sounding(250)
        stage.playout.pull(4800)
        assert not stage.playout.sounding(250)

    on_stage(body)
