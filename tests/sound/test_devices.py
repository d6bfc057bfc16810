"""Microphone and speaker on a virtual card: what they do, what time they tell, and what becomes of faults."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.sound.card import RATE, VirtualCard
from tests.sound.conftest import Standin
from tests.waiting import PATIENCE_S
from workbench.model.audio import Samples, silence
from workbench.transports.file.wavfile import WavWriter

pytestmark = pytest.mark.sound

TONES = 6
LEAVE_S = 5.0
"""Leaving a card takes a tenth of a second; one that hangs would be waited for until somebody kills the process."""


def tones(path: Path) -> Path:
    """Tones of 50 ms at odd distances."""
    tone: Samples = (12_000 * np.cos(2 * np.pi * 2000 * np.arange(RATE // 20) / RATE)).astype(np.int16)
    writer = WavWriter(path, RATE)
    for pause in np.random.default_rng(1).uniform(0.7, 0.9, TONES):
        writer.write(silence(int(pause * RATE)))
        writer.write(tone)
    writer.write(silence(RATE // 2))
    writer.close()
    return path


def onsets(channel: Samples) -> list[int]:
    """Where a tone begins: the first loud sample in 200 ms."""
    loud = np.flatnonzero(np.abs(channel.astype(np.int32)) > 2_000)
    return [int(at) for at, before in zip(loud, [-RATE, *loud[:-1]], strict=True) if at - before > RATE // 5]


def captured_ms(capture: Path) -> list[float]:
    """From each tone on the left to the one on the right that answers it."""
    with wave.open(str(capture), "rb") as file:
        sides = np.frombuffer(file.readframes(1 << 30), np.int16).reshape(-1, 2)
    pairs = zip(onsets(sides[:, 0]), onsets(sides[:, 1]), strict=True)
    return [1000 * (answer - question) / RATE for question, answer in pairs]


def test_what_they_say_is_what_is_heard(card: VirtualCard, tmp_path: Path) -> None:
    with Standin(card.environment()) as standin:
        standin.until("ready")
        standin.until("clock_mapped", 4)
        with card.capture(tmp_path / "capture.wav"):
            card.say(tones(tmp_path / "tones.wav")).wait(PATIENCE_S)
        assert standin.end() == 0
    said = [answered["latency_ms"] for answered in standin.all("answered")]
    true = captured_ms(tmp_path / "capture.wav")
    assert len(said) == len(true) == TONES
    assert np.median(np.abs(np.array(said) - np.array(true))) < 5
    glitches = [event["at_sample"] for event in standin.all("glitch") if event["track"] == "user"]
    assert [gap["at"] for gap in standin.all("gap") if gap["at"] not in glitches] == []
    mapped = [event for event in standin.all("clock_mapped") if event["track"] == "user"]
    assert all(before["at_ms"] < after["at_ms"] for before, after in itertools.pairwise(mapped))
    assert not any(event["estimated"] for event in mapped)
    assert {event["track"]: event["rate"] for event in standin.all("device_opened")} == {
        "mic": RATE,
        "agent": RATE,
    }
    assert standin.all("left")[0]["after_s"] < LEAVE_S


@pytest.mark.parametrize("rate", [16_000, 44_100, 22_050])
def test_any_rate(card: VirtualCard, tmp_path: Path, rate: int) -> None:
    before = f"import workbench.transports.local.devices as d; d.USUAL_RATES = ({rate},)"
    with Standin(card.environment(), before=before) as standin:
        standin.until("ready")
        standin.until("clock_mapped", 4)
        with card.capture(tmp_path / "capture.wav"):
            card.say(tones(tmp_path / "tones.wav")).wait(PATIENCE_S)
        assert standin.end() == 0
    assert {event["rate"] for event in standin.all("device_opened")} == {rate}
    said = [answered["latency_ms"] for answered in standin.all("answered")]
    true = captured_ms(tmp_path / "capture.wav")
    assert len(said) == len(true) == TONES
    assert np.median(np.abs(np.array(said) - np.array(true))) < 15


def test_by_name_and_two_sessions_on_one_device(card: VirtualCard, tmp_path: Path) -> None:
    with (
        Standin(card.environment(), "workbench_mic", "workbench_speaker") as one,
        Standin(card.environment()) as two,
    ):
        one.until("ready")
        two.until("ready")
        one.until("clock_mapped", 4)
        two.until("clock_mapped", 4)
        card.say(tones(tmp_path / "tones.wav")).wait(PATIENCE_S)
        assert one.end() == two.end() == 0
    assert len(one.all("answered")) == len(two.all("answered")) == TONES
    assert {event["name"] for event in one.all("device_opened")} == {"workbench_mic", "workbench_speaker"}


def test_a_card_that_is_pulled_out(card: VirtualCard) -> None:
    with Standin(card.environment()) as standin:
        standin.until("clock_mapped", 4)
        card.stop()
        lost = standin.until("device_lost")
        assert lost["reason"]
        assert lost["hint"]
        error = standin.until("error")
        assert error["kind"] == "MissingError"
        assert "is gone" in error["reason"]
        assert "--s" in error["hint"]
        standin.end()


def test_a_card_that_is_pulled_out_leaves_a_readable_screen(card: VirtualCard, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "workbench", "run", "--profile", "scripted"]
    with subprocess.Popen(
        command, env=card.environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as program:
        assert program.stderr
        for line in program.stderr:
            if line.startswith("listening"):
                break
        card.stop()
        told = program.stderr.read().splitlines()
    assert program.returncode == 3
    assert any(line.startswith("lost ") for line in told)
    assert any("is gone" in line for line in told)
    assert len(told) < 20  # of the streams that broke; not of 150 tries to open others


def test_a_card_that_comes_back(card: VirtualCard, tmp_path: Path) -> None:
    with Standin(card.environment()) as standin:
        standin.until("clock_mapped", 4)
        card.stop()
        standin.until("device_lost", 2)
        card.start()
        standin.until("device_opened", 2)
        standin.until("clock_mapped", 6)
        card.say(tones(tmp_path / "tones.wav")).wait(PATIENCE_S)
        assert standin.end() == 0
    assert len(standin.all("answered")) == TONES
    [gap] = [gap for gap in standin.all("gap") if gap["upto"] - gap["at"] > 1600]
    [lost] = [
        event for event in standin.all("glitch") if event["track"] == "user" and event["lost_samples"] > 1600
    ]
    assert lost["at_sample"] == gap["at"]
    assert lost["lost_samples"] == gap["upto"] - gap["at"]


def test_a_card_that_hangs_is_left_all_the_same(card: VirtualCard) -> None:
    with Standin(card.environment()) as standin:
        standin.until("clock_mapped", 4)
        card.signal(signal.SIGSTOP)
        try:
            lost = standin.until("device_lost", 2)
            assert "not answered" in lost["reason"]
            assert standin.end() == 3
        finally:
            card.signal(signal.SIGCONT)
    assert standin.all("left")[0]["after_s"] < LEAVE_S


def test_a_card_that_answers_again(card: VirtualCard) -> None:
    with Standin(card.environment()) as standin:
        standin.until("clock_mapped", 4)
        card.signal(signal.SIGSTOP)
        try:
            standin.until("device_lost", 2)
        finally:
            card.signal(signal.SIGCONT)
        notice = standin.until("notice")
        assert "answers again" in notice["reason"]
        assert standin.end() == 0


@pytest.mark.skipif(
    Path("/dev/snd").exists(), reason="this machine has sound devices, and they can't be hidden"
)
def test_no_device() -> None:
    nothing = {
        name: value for name, value in os.environ.items() if name not in ("PULSE_SERVER", "ALSA_CONFIG_PATH")
    }
    with Standin(nothing) as standin:
        error = standin.until("error")
        assert (error["kind"], error["reason"]) == ("MissingError", "there is no microphone")
        assert "--source FILE.wav" in error["hint"]
        assert standin.end() == 3


@pytest.mark.parametrize(
    ("wanted", "kind", "says"),
    [
        ("gramophone", "MissingError", "workbench_mic"),
        ("77", "MissingError", "workbench_mic"),
        ("workbench", "UsageError", "workbench_speaker"),
    ],
)
def test_the_wrong_name(card: VirtualCard, wanted: str, kind: str, says: str) -> None:
    with Standin(card.environment(), wanted) as standin:
        error = standin.until("error")
        assert error["kind"] == kind
        assert wanted in error["reason"]
        assert says in error["hint"]
        assert standin.end() == 3


def test_no_usable_rate(card: VirtualCard) -> None:
    before = (
        "import workbench.transports.local.devices as d; d.USUAL_RATES = (1,); d.portaudio().query_devices; "
    )
    before += "find = d.find_device; import dataclasses, workbench.transports.local.device_stream as l; "
    before += "l.find_device = lambda *w: dataclasses.replace(find(*w), rate=2)"
    with Standin(card.environment(), before=before) as standin:
        error = standin.until("error")
        assert error["kind"] == "MissingError"
        assert "can't be opened at any rate" in error["reason"]
        assert standin.end() == 3


def test_no_portaudio(card: VirtualCard) -> None:
    before = (
        "import ctypes.util; ctypes.util.find_library = lambda name: None"  # as where it is not installed
    )
    with Standin(card.environment(), before=before) as standin:
        error = standin.until("error")
        assert error["kind"] == "MissingError"
        assert "PortAudio" in error["reason"]
        assert "libportaudio2" in error["hint"]
        assert standin.end() == 3
