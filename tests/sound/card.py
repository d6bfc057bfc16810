"""A microphone and a speaker where there is no sound card: a private PulseAudio, and what feeds and hears it.

    with VirtualCard(folder) as card:
        subprocess.run([..., "--source", "mic"], env=card.environment())
        card.say(wav)                       # into the microphone
        with card.capture(wav): ...         # left: what went into the microphone, right: what the speaker played

Both are the two channels of one sink, so a capture of its monitor has them sample by sample: the truth of what was
heard.
PortAudio looks for devices once in a process: use the environment for one that starts then.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from tests.waiting import PATIENCE_S

TOOLS = ("pulseaudio", "pactl", "pacat", "paplay", "parec")
RATE = 48_000
BLOCK = ["--raw", "--format=s16le", f"--rate={RATE}", "--latency-msec=10", "--process-time-msec=10"]

# A null sink that rewinds for a new stream runs up to 0.2 % fast, and its monitor is some 20 ms off.
CONFIG = """
load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
load-module module-null-sink sink_name=card rate={rate} channels=2 channel_map=front-left,front-right norewinds=1
load-module module-remap-sink sink_name=feed master=card channels=1 channel_map=mono \
master_channel_map=front-left remix=no
load-module module-remap-sink sink_name=speaker master=card channels=1 channel_map=mono \
master_channel_map=front-right remix=no
load-module module-remap-source source_name=mic master=card.monitor channels=1 channel_map=mono \
master_channel_map=front-left remix=no
load-module module-remap-source source_name=spoken master=card.monitor channels=1 channel_map=mono \
master_channel_map=front-right remix=no
set-default-sink speaker
set-default-source mic
"""
ALSA = """
pcm.workbench_mic {{ type pulse device "mic" hint {{ show on description "Virtual microphone" }} }}
pcm.workbench_speaker {{ type pulse device "speaker" hint {{ show on description "Virtual speaker" }} }}
pcm.!default {{ type asym playback.pcm "workbench_speaker" capture.pcm "workbench_mic" hint {{ show on }} }}
"""


def missing() -> str | None:
    """What this machine lacks for a virtual card, None if nothing."""
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"needs {', '.join(absent)}" if absent else None


class VirtualCard:
    """A sound server of its own with one microphone and one speaker; everything it starts ends with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._socket = folder / "pulse.socket"
        self._running = contextlib.ExitStack()
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "pulse.pa").write_text(CONFIG.format(socket=self._socket, rate=RATE))
        (self.folder / "asoundrc").write_text("</usr/share/alsa/alsa.conf>\n" + ALSA.format())
        try:
            self.start()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._running.close()

    def start(self) -> None:
        """Start the server (again), and keep its sink awake: a sleeping one lets streams start 1.5 s late."""
        command = [
            "pulseaudio",
            "-n",
            "-F",
            str(self.folder / "pulse.pa"),
            "--daemonize=no",
            "--exit-idle-time=-1",
        ]
        command += ["--use-pid-file=no", "--disable-shm=yes", "--log-level=error"]
        self._server = self._run(command)
        until = time.monotonic() + PATIENCE_S
        while self._pactl("info").returncode:
            if self._server.poll() is not None or time.monotonic() > until:
                raise RuntimeError("pulseaudio did not start: " + (self.folder / "log").read_text()[-500:])
            time.sleep(0.02)
        with Path("/dev/zero").open("rb") as zero:
            self._run(["pacat", "--playback", "--device=card", "--channels=2", *BLOCK], stdin=zero)
        self._run(["pacat", "--record", "--device=card.monitor", "--channels=2", *BLOCK])
        self._awake(until)

    def _awake(self, until: float) -> None:
        """Wait until sound flows: a recording of the monitor grows at its rate."""
        probe = self.folder / "awake.raw"
        recorder = self._run(["parec", "--device=card.monitor", "--channels=2", *BLOCK, str(probe)])
        second = RATE * 4
        while not probe.exists() or probe.stat().st_size < second // 4:
            if recorder.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the virtual card is silent: " + (self.folder / "log").read_text()[-500:])
            time.sleep(0.02)
        _end(recorder)

    def stop(self) -> None:
        """Pull the whole card out."""
        self._running.close()

    def environment(self) -> dict[str, str]:
        """The environment of a process whose only sound devices are these."""
        own = {"PULSE_SERVER": f"unix:{self._socket}", "ALSA_CONFIG_PATH": str(self.folder / "asoundrc")}
        return {**os.environ, **own}

    def say(self, wav: Path) -> subprocess.Popen[bytes]:
        """Speak a wav file into the microphone."""
        return self._run(["paplay", "--device=feed", str(wav)])

    @contextlib.contextmanager
    def capture(self, wav: Path) -> Iterator[None]:
        """Record both sides until the context is left: left the microphone, right the speaker, 48 kHz."""
        command = ["parec", "--device=card.monitor", "--channels=2", "--format=s16le", f"--rate={RATE}"]
        recorder = self._run([*command, "--file-format=wav", "--latency-msec=10", str(wav)])
        until = time.monotonic() + PATIENCE_S
        while not wav.exists() or wav.stat().st_size < 10_000:
            if recorder.poll() is not None or time.monotonic() > until:
                raise RuntimeError("parec did not start")
            time.sleep(0.02)
        try:
            yield
        finally:
            _end(recorder)

    def echo(self, db: float) -> None:
        """From now on the speaker can be heard in the microphone, `db` quieter; the way takes some 50 ms."""
        loop = ["module-loopback", "source=spoken", "sink=feed", "latency_msec=20", "adjust_time=0"]
        made = self._pactl("load-module", *loop)
        inputs = self._pactl("list", "short", "sink-inputs").stdout.decode().splitlines()
        number = inputs[-1].split()[0] if inputs else ""
        volume = f"{round(65536 * 10 ** (db / 60))}"
        if made.returncode or self._pactl("set-sink-input-volume", number, volume).returncode:
            raise RuntimeError("no echo could be made: " + made.stderr.decode())

    def signal(self, number: int) -> None:
        """Send the server a signal: one that is stopped is a card that hangs."""
        assert self._server is not None
        self._server.send_signal(number)

    def pull_out(self, module: str) -> None:
        """Unload every module of that name while it is in use (`module-remap-source`: the microphone)."""
        if self._pactl("unload-module", module).returncode:
            raise RuntimeError(f"could not unload {module}")

    def _pactl(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["pactl", *words], env=self.environment(), capture_output=True, check=False)

    def _run(self, command: list[str], stdin: object = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(  # type: ignore[call-overload]
                command, stdin=stdin, stdout=subprocess.DEVNULL, stderr=log, env=self.environment()
            )
        self._running.callback(_end, process)
        return process  # type: ignore[no-any-return]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
