from __future__ import annotations

import time

import numpy as np
import pytest

from tests.recorded import recorded
from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.plugin.values import ProviderOptions
from workbench.providers.energy import Energy


@pytest.fixture
def vad() -> Energy:
    return Energy(ProviderOptions("default"))


def probabilities(vad: Energy, samples: Samples) -> list[float]:
    return [vad(samples[at : at + vad.window]) for at in range(0, len(samples) - vad.window + 1, vad.window)]


def noise(seconds: float, level_db: float) -> Samples:
    wave_ = (
        np.random.default_rng(1).standard_normal(int(seconds * INPUT_RATE)) * 32768 * 10 ** (level_db / 20)
    )
    return wave_.astype(np.int16)


def test_speech_is_found_where_it_is(vad: Energy) -> None:
    found = probabilities(vad, recorded("question.wav"))  # 0.3 s of silence on both sides
    assert max(found[:14]) < 0.1
    assert np.mean(found[20:80]) > 0.7
    assert max(found[-5:]) < 0.1


def test_probabilities_stay_between_0_and_1(vad: Energy) -> None:
    loudest = np.full(INPUT_RATE, -32768, dtype=np.int16)
    assert all(0 <= p <= 1 for p in probabilities(vad, np.concatenate([silence(INPUT_RATE), loudest])))


def test_speech_is_found_in_noise_once_the_noise_is_known(vad: Energy) -> None:
    speech = recorded("question.wav")
    background = noise(20, -45)
    probabilities(vad, background[: 8 * INPUT_RATE])
    assert np.mean(np.array(probabilities(vad, background)) > 0.5) < 0.01
    mixed = np.clip(speech.astype(np.int32) + background[: len(speech)], -32768, 32767).astype(np.int16)
    assert np.mean(np.array(probabilities(vad, mixed))[20:80]) > 0.6


def test_a_noise_that_begins_is_noise_after_six_seconds(vad: Energy) -> None:
    probabilities(vad, noise(3, -70))
    found = np.array(probabilities(vad, noise(10, -40)))
    assert found[:250].min() > 0.5
    assert found[400:].max() < 0.5


def test_speech_without_pauses_stays_speech(vad: Energy) -> None:
    tone = (np.sin(np.arange(20 * INPUT_RATE) * 0.1) * 8000).astype(np.int16)
    assert min(probabilities(vad, tone)) > 0.9


def test_reset_forgets(vad: Energy) -> None:
    first = probabilities(vad, recorded("question.wav"))
    probabilities(vad, noise(10, -40))
    vad.reset()
    assert probabilities(vad, recorded("question.wav")) == first


def test_a_window_is_cheap(vad: Energy) -> None:
    samples = recorded("question.wav")[8000 : 8000 + vad.window]
    costs = []
    for _ in range(500):
        began = time.perf_counter()
        vad(samples)
        costs.append(time.perf_counter() - began)
    assert min(costs) < 15e-6  # 2 µs
