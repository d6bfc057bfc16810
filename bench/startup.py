"""How long until something is there, and what it costs when nothing happens.

`import`: a Python that imports workbench against a bare one, in turns. `first paint`: from the start of `workbench tui`
on a terminal of 120 × 40 to the first words on it. `idle`: CPU time of `workbench run` with all its processes while it
listens to nobody for a while: to a wav file of a quiet room, and to the microphone of a virtual card with its
echo canceller and a silent speaker.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench._figures import Promise, run, tell
from tests.sound.card import VirtualCard, missing
from workbench.simulation.synthesis import Score

ROOT = Path(__file__).parents[1]
WORKBENCH = [sys.executable, "-m", "workbench"]
ROUNDS, PAINTS = 15, 5
IDLE_S, WARM_S = 15.0, 5.0
ESCAPES = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[P_^][^\x1b]*\x1b\\|.)")
SCREEN = b"\x1b[?1049h"
"""The terminal's other screen, on which nothing but the app writes."""
TICKS = os.sysconf("SC_CLK_TCK")


def import_ms() -> tuple[float, float]:
    """A bare start, and one that imports workbench: the median of each."""
    took: dict[str, list[float]] = {"pass": [], "import workbench": []}
    for _ in range(ROUNDS):
        for code, times in took.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
            times.append((time.perf_counter() - began) * 1000)
    bare, ours = took.values()
    return statistics.median(bare), statistics.median(ours)


def first_paint_s() -> float:
    """From the start of the process to the first forty letters on the screen."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    command = [
        *WORKBENCH,
        "tui",
        "--profile",
        "scripted",
        "--source",
        "none",
        "--sink",
        "none",
        "--no-record",
    ]
    began = time.perf_counter()
    environ = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, cwd=ROOT, env=environ, start_new_session=True
    )
    os.close(child)
    seen = b""
    try:
        while len(re.findall(rb"[a-zA-Z]", ESCAPES.sub(b"", seen.partition(SCREEN)[2]))) < 40:
            if process.poll() is not None or not select.select([parent], [], [], 20)[0]:
                raise RuntimeError(f"nothing was painted: {seen[-1000:].decode(errors='replace')}")
            seen += os.read(parent, 65536)
        return time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(parent)


def cpu_s(root: int) -> float:
    """CPU time so far of a process and all that it has started."""
    parents, used = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            parents[int(entry.name)] = int(fields[1])
            used[int(entry.name)] = (int(fields[11]) + int(fields[12])) / TICKS
    family, found = {root}, {root}
    while found:
        found = {pid for pid, parent in parents.items() if parent in found}
        family |= found
    return sum(used.get(pid, 0.0) for pid in family)


@contextmanager
def listening(environ: dict[str, str], ends: list[str]) -> Iterator[int]:
    """A session without a screen; its process id."""
    command = [*WORKBENCH, "run", "--profile", "embedded", *ends]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if line.strip() == "listening":
                break
        else:
            raise RuntimeError("workbench run did not listen")
        yield process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def idle_cpu_s() -> dict[str, float]:
    """CPU seconds a minute: with a file of a quiet room, and with devices, where there is a sound server."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        room = Score(noise_db=-66).silence(IDLE_S + WARM_S + 30).write_wav(folder / "room.wav")
        command = listening(dict(os.environ), ["--source", str(room), "--sink", "none"])
        running = {"file": stack.enter_context(command)}
        if not missing():
            card = stack.enter_context(VirtualCard(folder / "card"))
            devices = listening(card.environment(), ["--source", "mic", "--sink", "speaker"])
            running["devices"] = stack.enter_context(devices)
        time.sleep(WARM_S)
        before = {name: cpu_s(pid) for name, pid in running.items()}
        time.sleep(IDLE_S)
        return {name: round((cpu_s(pid) - before[name]) * 60 / IDLE_S, 2) for name, pid in running.items()}


def main() -> None:
    """Measure and tell."""
    bare, ours = import_ms()
    paints = [first_paint_s() for _ in range(PAINTS)]
    idle = idle_cpu_s()
    promises = [
        Promise("import workbench, against a bare start of Python", round(ours / bare, 2), 2, "×"),
        Promise("first paint of the TUI", round(statistics.median(paints), 2), 1, "s"),
        Promise("CPU time a minute when idle: a quiet room from a file", idle["file"], 1.5, "s"),
    ]
    if "devices" in idle:
        what = "CPU time a minute when idle: microphone, speaker and echo canceller"
        promises.append(Promise(what, idle["devices"], 1.5, "s"))
    tell(
        "startup",
        promises,
        {
            "import": f"median of {ROUNDS}",
            "first paint": f"median of {PAINTS}",
            "idle": f"profile embedded, {IDLE_S:.0f} s, all processes of the session",
            "devices": missing() or "a virtual card of PulseAudio, whose server is not counted",
        },
        {
            "bare_ms": round(bare, 1),
            "import_ms": round(ours, 1),
            "first_paint_s": [round(s, 2) for s in paints],
        },
    )


if __name__ == "__main__":
    run(main)
