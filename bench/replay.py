"""How soon a long recording is on the screen: two hours, fourteen hundred turns, opened by `workbench replay`.

`open`: from opening the folder to the paint that shows both waveforms, the first turn and what was decided in it,
in a process that has the screen's code loaded. `start`: the same from the start of the process, in a pseudo-terminal,
which Python's start and the imports are a part of. `all`: until every event has been read. Files are in the system's
cache, as they were just written.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from bench._figures import Promise, percentile, run, spread, tell
from bench._long_session import record, repeat
from workbench.tui.app import WorkbenchApp
from workbench.tui.recording import Recording
from workbench.tui.replay import ReplayScreen
from workbench.tui.widgets.inspector import WhyView
from workbench.tui.widgets.timeline import TimeAxis
from workbench.views.trace import open_trace

SECONDS = 7200
ROUNDS = 5
COLUMNS, ROWS = 120, 40
SHOWN = b"Turn 1"
LONGEST_S = 60.0


async def opened(folder: Path) -> tuple[float, float]:
    """Return ms until the first turn is on the screen, and what of it was CPU time of this process."""
    began, cpu = time.perf_counter(), time.process_time()
    app = WorkbenchApp(lambda: ReplayScreen(open_trace(folder)))
    async with app.run_test(size=(COLUMNS, ROWS)) as pilot:
        screen = app.first(ReplayScreen)
        while not screen.query_one(WhyView).accounts or not screen.query_one(TimeAxis).state.marks:
            await pilot.pause(0.002)
        app.screen._compositor.render_strips()
        return (time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000


def read_ms(folder: Path) -> tuple[float, int]:
    """Return ms until all has been read, and the number of turns."""
    began = time.perf_counter()
    recording = Recording(open_trace(folder))
    state = recording.read()
    while not state.complete:
        recording.listen()
        state = recording.read()
    return (time.perf_counter() - began) * 1000, len(state.turns)


def started_ms(folder: Path) -> float:
    """Return ms from the start of a process to the first turn in its terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", "replay", str(folder)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        seen = b""
        while SHOWN not in seen and time.perf_counter() - began < LONGEST_S:
            seen = seen[-len(SHOWN) :] + os.read(ours, 65536)
        return (time.perf_counter() - began) * 1000
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def main() -> None:
    """Write a session of two hours, and open it some times."""
    with tempfile.TemporaryDirectory() as place:
        folder = repeat(record(Path(place) / "short"), Path(place) / "long", SECONDS)
        size = sum(path.stat().st_size for path in folder.iterdir())
        paints, cpu = zip(*(asyncio.run(opened(folder)) for _ in range(ROUNDS)), strict=True)
        starts = [started_ms(folder) for _ in range(ROUNDS)]
        all_ms, turns = read_ms(folder)
    tell(
        "replay",
        [Promise("two hours: open to first paint, p50", percentile(paints, 50), 1000, "ms")],
        {"session": f"{SECONDS} s, {turns} turns, {size / 1e6:.0f} MB", "screen": f"{COLUMNS}x{ROWS}"},
        {
            "open_ms": spread(paints),
            "open_cpu_ms": spread(cpu),
            "start_ms": spread(starts),
            "all_ms": round(all_ms),
        },
    )


if __name__ == "__main__":
    run(main)
