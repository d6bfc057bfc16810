"""What PortAudio writes is left out of standard error; what others write is not."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from workbench.transports.local.stderr import without_portaudio_lines

CHATTER = b"Expression 'ret' failed in 'src/hostapi/alsa/pa_linux_alsa.c', line: 1736\n"


def test_only_portaudio_is_not_heard(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(2, b"before ")
    with without_portaudio_lines():
        for _ in range(2000):  # more than a pipe holds
            os.write(2, CHATTER)
        other = threading.Thread(target=os.write, args=(2, b"of ours "))
        other.start()
        other.join()
        os.write(2, CHATTER)
    os.write(2, b"after\n" + CHATTER)
    assert capfd.readouterr().err == f"before of ours after\n{CHATTER.decode()}"


def test_it_is_restored_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with without_portaudio_lines():
            raise OSError("no device")

    with pytest.raises(OSError, match="no device"):
        fail()
    os.write(2, CHATTER)
    assert capfd.readouterr().err == CHATTER.decode()


def test_a_child_that_was_started_meanwhile_can_still_write(capfd: pytest.CaptureFixture[str]) -> None:
    with without_portaudio_lines():
        child = subprocess.Popen(["sh", "-c", "read line; echo late >&2"], stdin=subprocess.PIPE)
    child.communicate(b"go\n")
    assert child.returncode == 0
    for thread in threading.enumerate():
        if thread.name == "stderr":
            thread.join(5)
    assert capfd.readouterr().err == "late\n"
