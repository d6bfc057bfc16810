"""A turn of a recording is heard."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.sound.card import VirtualCard
from tests.waiting import PATIENCE_S

HUM = """
import time
import numpy as np
from workbench.tui.player import Player

player = Player()
player.play((8000 * np.sin(np.arange(24_000) * 2 * np.pi * 440 / 24_000)).astype(np.int16))
while player.at_s is not None:
    time.sleep(0.05)
player.stop()
"""


@pytest.mark.sound
def test_the_player_plays_on_the_speaker(tmp_path: Path) -> None:
    with VirtualCard(tmp_path / "card") as card:
        with card.capture(tmp_path / "heard.wav"):
            subprocess.run(
                [sys.executable, "-c", HUM], env=card.environment(), check=True, timeout=PATIENCE_S
            )
        with wave.open(str(tmp_path / "heard.wav")) as file:
            sides = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)
    speaker = sides[:, 1].astype(float)
    loud = np.flatnonzero(np.abs(speaker) > 4000)
    assert 0.7 < (loud[-1] - loud[0]) / 48_000 < 3
    spectrum = np.abs(np.fft.rfft(speaker))
    assert spectrum.argmax() * 48_000 / len(speaker) == pytest.approx(440, abs=5)
