"""Recording: nothing lost on the way, little when killed, and never the conversation's trouble."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.waiting import PATIENCE_S
from workbench.model.events import Bookmarked, Entry, Event, EventsMissed, Notice
from workbench.readers import entries
from workbench.readers.recorder import EVERY_S, Recorder
from workbench.simulation.clock import run_virtual
from workbench.trace.store import About, SessionFolder, open_trace
from workbench.trace.trace import Trace
from workbench.trace.track import LiveTrack

ABOUT = About(session="cafe0001", date="2025-01-02T03:04:05Z", versions={})


def noise(count: int, seed: int = 1) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.random.default_rng(seed).integers(-9000, 9000, count, dtype=np.int16)


def new_trace() -> tuple[Trace, LiveTrack, LiveTrack]:
    loop = asyncio.get_running_loop()
    trace = Trace(lambda: loop.time() * 1000)
    user, agent = LiveTrack("user", 16_000), LiveTrack("agent", 24_000)
    trace.tracks.update({"user": user, "agent": agent})
    return trace, user, agent


def events(trace: Trace) -> list[Event]:
    return [entry.event for entry in entries(trace)]


def test_what_was_emitted_and_played_is_what_is_read(tmp_path: Path) -> None:
    folder = SessionFolder.create(ABOUT, tmp_path / "r")
    sound = noise(24_000 * 30)

    async def talk() -> list[Entry]:
        trace, user, agent = new_trace()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Recorder(trace, folder).run())
            for k in range(3000):
                user.append(sound[k * 160 : k * 160 + 160])
                agent.append(sound[k * 240 : k * 240 + 240])
                trace.emit(Bookmarked(f"{k}"))
                await asyncio.sleep(0.01)
            trace.close()
        return trace.since(0)

    live = run_virtual(talk())
    trace = open_trace(folder.path)
    assert list(entries(trace)) == live
    assert trace.closed
    assert trace.tracks["user"].end == 16_000 * 30
    assert np.array_equal(trace.tracks["agent"].read(0, 24_000 * 30), sound)
    assert "mic" not in trace.tracks
    assert not (folder.path / "mic.wav").exists()
    with wave.open(str(folder.sound("agent"))) as file:
        assert (file.getnframes(), file.getframerate(), file.getnchannels()) == (24_000 * 30, 24_000, 1)


def test_a_cancelled_recorder_writes_what_is_there(tmp_path: Path) -> None:
    folder = SessionFolder.create(ABOUT, tmp_path / "r")

    async def talk() -> None:
        trace, user, _ = new_trace()
        recorder = asyncio.create_task(Recorder(trace, folder).run())
        await asyncio.sleep(1)
        trace.emit(Bookmarked("last"))
        trace.tracks["mic"] = LiveTrack("mic", 16_000)
        user.append(noise(160))
        recorder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await recorder

    run_virtual(talk())
    trace = open_trace(folder.path)
    assert events(trace) == [Bookmarked("last")]
    assert trace.tracks["user"].end == 160
    assert trace.tracks["mic"].end == 0


def test_the_trace_reads_what_left_memory_from_its_recording(tmp_path: Path) -> None:
    folder = SessionFolder.create(ABOUT, tmp_path / "r")

    async def talk() -> None:
        trace = Trace(lambda: 1.0, keep=10)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Recorder(trace, folder).run())
            for k in range(100):
                trace.emit(Bookmarked(f"{k}"))
                await asyncio.sleep(EVERY_S)
            assert [entry.i for entry in trace.since(0)] == list(range(90))
            assert [entry.i for entry in trace.since(90)] == list(range(90, 100))
            trace.close()

    run_virtual(talk())


class SlowFile(LiveTrack):
    """A track whose reader is as slow as a disk that hangs, until `go` is set."""

    def __init__(self) -> None:
        super().__init__("user", 16_000, keep_s=1.0)
        self.go = threading.Event()
        self.asked = threading.Event()

    def read(self, start: int, stop: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
        self.asked.set()
        assert self.go.wait(PATIENCE_S)
        return super().read(start, stop)


def test_a_lagging_disk_is_told_and_lost_sound_is_silence_at_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.readers.recorder.SLOW_S", 0.0)
    folder = SessionFolder.create(ABOUT, tmp_path / "r")
    track = SlowFile()

    async def talk() -> list[Event]:
        loop = asyncio.get_running_loop()
        trace = Trace(lambda: loop.time() * 1000, keep=5)
        trace.tracks["user"] = track
        track.append(noise(1600))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Recorder(trace, folder).run())
            await asyncio.to_thread(track.asked.wait, 30)
            for k in range(20):
                trace.emit(Bookmarked(f"{k}"))
            track.append(noise(48_000, seed=2))
            track.go.set()
            async with asyncio.timeout(PATIENCE_S):
                async for entry in trace.follow(trace.start):
                    if isinstance(entry.event, Notice) and "silence" in entry.event.reason:
                        break
            trace.close()
        return [entry.event for entry in trace.since(trace.start)]

    told = [event.reason for event in asyncio.run(talk()) if isinstance(event, Notice)]
    assert "writing the recording took 0." in told[0]
    assert sum("2.0 s of user are silence" in reason for reason in told) == 1
    trace = open_trace(folder.path)
    found = trace.tracks["user"].read(0, 49_600)
    # the first job had asked for 1,600 samples, which had left the track when it came to read them
    assert not found[: 49_600 - 16_000].any()
    assert np.array_equal(found[-16_000:], noise(48_000, seed=2)[-16_000:])
    assert any(isinstance(event, EventsMissed) for event in events(trace))


def test_an_unwritable_folder_is_told_once_and_the_session_goes_on(tmp_path: Path) -> None:
    folder = SessionFolder.create(ABOUT, tmp_path / "r")
    folder.events.write_text("somebody else's")

    async def talk() -> list[Event]:
        trace, _, _ = new_trace()
        await Recorder(trace, folder).run()
        trace.emit(Bookmarked("still here"))
        return [entry.event for entry in trace.since(0)]

    notice, after = run_virtual(talk())
    assert isinstance(notice, Notice)
    assert notice.level == "error"
    assert "stopped: File exists" in notice.reason
    assert "conversation goes on" in notice.hint
    assert after == Bookmarked("still here")
    assert folder.events.read_text() == "somebody else's"


FULL = """
import asyncio, json, resource, sys
from pathlib import Path
from workbench.model.audio import silence
from workbench.model.events import Notice
from workbench.readers.recorder import Recorder
from workbench.trace.trace import Trace
from workbench.trace.store import About, SessionFolder
from workbench.trace.track import LiveTrack

folder = SessionFolder.create(About(versions={}), Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

async def main():
    trace = Trace(lambda: 0.0)
    track = trace.tracks["user"] = LiveTrack("user", 16_000)
    track.append(silence(160))
    recorder = asyncio.create_task(Recorder(trace, folder).run())
    while not folder.events.exists():
        await asyncio.sleep(0)
    track.append(silence(16_000))
    if sys.argv[2] == "cancelled":
        recorder.cancel()
    await asyncio.wait([recorder])
    print(json.dumps([[entry.event.reason, entry.event.hint] for entry in trace.since(0)]))

asyncio.run(main())
"""


@pytest.mark.parametrize("when", ["running", "cancelled"])
def test_a_full_disk_ends_the_recording_and_nothing_else(tmp_path: Path, when: str) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "r"), when]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    ((reason, hint),) = json.loads(done.stdout)
    assert "stopped: File too large" in reason
    assert hint.startswith("make room")
    assert open_trace(tmp_path / "r").tracks["user"].end == (20_000 - 44) // 2


KILLED = """
import asyncio, sys, time
from pathlib import Path
from workbench.model.audio import silence
from workbench.model.events import Bookmarked
from workbench.readers.recorder import Recorder
from workbench.trace.trace import Trace
from workbench.trace.store import About, SessionFolder
from workbench.trace.track import LiveTrack

async def main():
    loop = asyncio.get_running_loop()
    began = loop.time()
    trace = Trace(lambda: (loop.time() - began) * 1000)
    track = trace.tracks["user"] = LiveTrack("user", 16_000)
    folder = SessionFolder.create(About(versions={}), Path(sys.argv[1]))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Recorder(trace, folder).run())
        while True:
            await asyncio.sleep(0.01)
            behind = int((loop.time() - began) * 16_000) - track.end
            track.append(silence(behind) + 1)
            trace.emit(Bookmarked("x" * 200))
            sys.stdout.write(f"{trace.end} {track.end} {loop.time()}\\n")
            sys.stdout.flush()

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 7, 40, 120])
def test_a_killed_session_can_be_read_and_misses_its_last_moment_at_most(tmp_path: Path, lines: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "r")], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.readlines()
    stamps = [line.split() for line in said if line.endswith(b"\n")]
    folder = tmp_path / "r"
    if not (folder / "events.jsonl").exists():
        assert lines == 1  # killed before the first job
        return
    trace = open_trace(folder)
    assert [entry.i for entry in entries(trace)] == list(range(trace.end))
    # what it said 100 ms before its last word is there; a busy machine delays both, so as long as that took is allowed
    moments = [float(stamp[2]) for stamp in stamps]
    hitch = max((after - before for before, after in pairwise(moments)), default=0.0)
    due = [stamp for stamp in stamps if float(stamp[2]) < moments[-1] - 0.1 - hitch]
    if due:
        assert trace.end >= int(due[-1][0])
        assert trace.tracks["user"].end >= int(due[-1][1])
        assert (trace.tracks["user"].read(0, int(due[-1][1])) == 1).all()
