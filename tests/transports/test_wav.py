"""Files in and out, by the loop's clock: exact under a virtual one."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from pathlib import Path

import numpy as np
import pytest

from tests.transports.waves import tone, wav_bytes, write_wav
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Frame, Samples, silence
from workbench.model.errors import UsageError
from workbench.model.events import ClockMapped, Notice
from workbench.simulation.clock import run_virtual
from workbench.trace.trace import Trace
from workbench.transports.file.transport import WavSink, WavSource
from workbench.transports.file.wavfile import read_wav
from workbench.transports.paced import PacedSink


def loop_trace() -> Trace:
    loop = asyncio.get_running_loop()
    return Trace(lambda: loop.time() * 1000)


async def all_frames(source: WavSource) -> list[tuple[float, Frame]]:
    loop = asyncio.get_running_loop()
    async with source:
        return [(loop.time(), frame) async for frame in source.frames()]


def test_a_frame_comes_when_it_was_spoken(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(1.03, 48_000), 48_000)

    async def main() -> None:
        await asyncio.sleep(2.5)
        trace = loop_trace()
        source = WavSource(path, trace)
        frames = await all_frames(source)
        assert [frame.position for _, frame in frames] == list(range(0, 52 * 320, 320))
        assert all(len(frame.samples) == 320 and frame.rate == INPUT_RATE for _, frame in frames)
        assert all(at == pytest.approx(2.5 + frame.end / INPUT_RATE) for at, frame in frames)
        assert source.time_of(1600) == pytest.approx(2.6)
        mapped = [entry.event for entry in trace.since(0) if isinstance(entry.event, ClockMapped)]
        assert mapped == [ClockMapped("user", 0, 2500.0, 16_000.0)]

    run_virtual(main())


def test_a_late_loop_does_not_shift_the_schedule(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(1, INPUT_RATE), INPUT_RATE)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        came = []
        async with WavSource(path, loop_trace()) as source:
            async for frame in source.frames():
                came.append(loop.time())
                if frame.position == 3200:
                    await asyncio.sleep(0.1)
        assert came[11:15] == pytest.approx([0.32] * 4)
        assert came[-1] == pytest.approx(1.0)

    run_virtual(main())


def test_as_fast_as_it_is_taken(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(60, INPUT_RATE), INPUT_RATE)

    async def main() -> None:
        source = WavSource(path, loop_trace(), realtime=False)
        started = time.perf_counter()
        frames = await all_frames(source)
        assert time.perf_counter() - started < 5
        assert frames[-1][1].end == 60 * INPUT_RATE
        assert source.time_of(60 * INPUT_RATE) == pytest.approx(asyncio.get_running_loop().time(), abs=0.5)

    run_virtual(main())


def test_a_truncated_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone(1, INPUT_RATE), INPUT_RATE, claim=10**6))

    async def main() -> None:
        trace = loop_trace()
        assert len(await all_frames(WavSource(tmp_path / "a.wav", trace))) == 50
        notices = [entry.event for entry in trace.since(0) if isinstance(entry.event, Notice)]
        assert len(notices) == 1
        assert "promises" in notices[0].reason

    run_virtual(main())


class Player:
    """Stands for the engine: gives what is to be played, and notes when it was pulled."""

    def __init__(self) -> None:
        self.pulls: list[tuple[float, int]] = []
        self.ready = silence(0)
        self.position = 0
        self.first_heard: int | None = None

    def pull(self, count: int) -> Samples:
        self.pulls.append((asyncio.get_running_loop().time(), count))
        given, self.ready = self.ready[:count], self.ready[count:]
        if len(given) and self.first_heard is None:
            self.first_heard = self.position
        self.position += count
        return np.concatenate((given, silence(count - len(given))))


@contextlib.asynccontextmanager
async def playing(sink: PacedSink, player: Player):  # type: ignore[no-untyped-def]
    async with sink, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(sink.play(player.pull))
        await asyncio.sleep(0)
        yield
        task.cancel()


def test_a_reply_does_not_wait_for_a_dozing_sink() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1)
        sink, player = PacedSink(loop_trace()), Player()
        async with playing(sink, player):
            await asyncio.sleep(3.01234)
            before = len(player.pulls)
            assert before < 50, "it dozes through silence"
            sink.wake()
            player.ready = np.ones(OUTPUT_RATE, np.int16)
            put = loop.time()
            assert player.position == int(3.01234 * OUTPUT_RATE)
            await asyncio.sleep(0.001)
            assert player.pulls[-1][0] == put
            assert player.first_heard is not None
            assert sink.time_of(player.first_heard) == pytest.approx(put, abs=1 / OUTPUT_RATE)
            await asyncio.sleep(5)
            lag = sink.time_of(player.position) - loop.time()
            assert -0.1 <= lag <= 0.02

    run_virtual(main())


def test_while_it_plays_it_pulls_what_is_due() -> None:
    async def main() -> None:
        sink, player = PacedSink(loop_trace()), Player()
        player.ready = np.ones(10 * OUTPUT_RATE, np.int16)
        async with playing(sink, player):
            await asyncio.sleep(5.0001)
        assert [count for _, count in player.pulls] == [480] * 251
        assert all(at == pytest.approx(0.02 * n) for n, (at, _) in enumerate(player.pulls))

    run_virtual(main())


def test_an_hour_of_naps_keeps_the_time() -> None:
    async def main() -> None:
        sink, player = PacedSink(loop_trace()), Player()
        loop = asyncio.get_running_loop()
        async with playing(sink, player):
            for n in range(360):
                await asyncio.sleep(10 - n / 7919)
                sink.wake()
                player.ready = np.ones(2400, np.int16)
            await asyncio.sleep(1)
            assert -0.1 <= sink.time_of(player.position) - loop.time() <= 0.02

    run_virtual(main())


def test_a_wav_sink_writes_what_it_plays(tmp_path: Path) -> None:
    async def main() -> None:
        sink, player = WavSink(tmp_path / "out.wav", loop_trace()), Player()
        async with playing(sink, player):
            await asyncio.sleep(1)
            sink.wake()
            player.ready = np.full(4800, 1000, np.int16)
            await asyncio.sleep(1)
        got = np.concatenate(list(read_wav(tmp_path / "out.wav", OUTPUT_RATE)))
        assert len(got) == player.position
        assert np.flatnonzero(got).tolist() == list(range(OUTPUT_RATE, OUTPUT_RATE + 4800))

    run_virtual(main())


def test_a_sink_that_can_not_be_written(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match="No such file"):
            await WavSink(tmp_path / "no" / "out.wav", loop_trace()).__aenter__()

    run_virtual(main())


def test_a_full_disk_does_not_end_the_conversation(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def main() -> None:
        trace = loop_trace()
        sink, player = WavSink(tmp_path / "out.wav", trace), Player()
        async with playing(sink, player):
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # as if the disk were full then
            try:
                await asyncio.sleep(2)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert player.position > OUTPUT_RATE
        notices = [entry.event for entry in trace.since(0) if isinstance(entry.event, Notice)]
        assert [(notice.level, notice.owner) for notice in notices] == [("error", "sink")]

    run_virtual(main())
    assert sum(map(len, read_wav(tmp_path / "out.wav", OUTPUT_RATE))) >= 9_000
