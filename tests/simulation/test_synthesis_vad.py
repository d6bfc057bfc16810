"""What detectors make of the synthetic sounds: they must be of use where no human recording is at hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from workbench.engine.interfaces import Vad
from workbench.model.audio import Samples, silence
from workbench.plugin.manager import find_provider
from workbench.plugin.values import ProviderOptions
from workbench.simulation import synthesis

VADS = ["energy", pytest.param("silero", marks=pytest.mark.models)]


def _speech_share(name: str, samples: Samples) -> float:
    """The share of windows that count as speech, after a second of silence; the onset's 0.1 s are not counted."""
    provider, model = find_provider("vad", name)
    vad: Vad = provider.make(ProviderOptions(model))
    whole = np.concatenate([silence(16_000), samples])
    heard = [vad(whole[at : at + vad.window]) for at in range(0, len(whole) - vad.window + 1, vad.window)]
    return float(np.mean(np.array(heard[17_600 // vad.window :]) >= 0.5))


@pytest.mark.parametrize("name", VADS)
@pytest.mark.parametrize("seed", range(3))
def test_a_voice_is_speech(name: str, seed: int) -> None:
    assert _speech_share(name, synthesis.speech(3.0, seed=seed)) > 0.75


@pytest.mark.models
@pytest.mark.parametrize("what", ["cough", "click", "noise", "tone"])
def test_other_sounds_are_no_speech(what: str) -> None:
    made: dict[str, Callable[[], Samples]] = {
        "cough": lambda: synthesis.cough(),
        "click": lambda: synthesis.click(),
        "noise": lambda: synthesis.noise(1),
        "tone": lambda: synthesis.tone(1),
    }
    assert _speech_share("silero", np.concatenate([made[what](), silence(8_000)])) == 0
