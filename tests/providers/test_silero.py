from __future__ import annotations

import time

import numpy as np
import pytest

from tests.recorded import recorded
from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.plugin.values import ProviderOptions
from workbench.providers.silero import NoiseGate, Silero, power
from workbench.simulation.synthesis import noise

pytestmark = pytest.mark.models


@pytest.fixture
def vad() -> Silero:
    return Silero(ProviderOptions("v6"))


def probabilities(vad: Silero, samples: Samples) -> list[float]:
    return [vad(samples[at : at + vad.window]) for at in range(0, len(samples) - vad.window + 1, vad.window)]


def test_speech_is_found_where_it_is(vad: Silero) -> None:
    found = probabilities(vad, recorded("question.wav"))  # 0.3 s of silence on both sides
    assert max(found[:9]) < 0.1
    assert np.mean(found[14:50]) > 0.8
    assert found[-1] < 0.1


def test_silence_and_noise_are_no_speech(vad: Silero) -> None:
    noise = (np.random.default_rng(1).standard_normal(INPUT_RATE) * 1000).astype(np.int16)
    assert max(probabilities(vad, silence(INPUT_RATE))) < 0.1
    assert np.median(probabilities(vad, noise)) < 0.3


@pytest.mark.parametrize(("noise_db", "speech_db"), [(-90, -26), (-66, -40), (-50, -26)])
def test_speech_after_a_long_silence_is_found_soon(vad: Silero, noise_db: float, speech_db: float) -> None:
    said = recorded("question.wav")[4800:-4800].astype(np.float32)
    said *= 32768 * 10 ** (speech_db / 20) / np.sqrt(np.mean(np.square(said)))
    sound = noise(14, seed=1, db=noise_db).astype(np.float32)
    at = 320 * vad.window
    sound[at : at + len(said)] += said
    found = np.array(probabilities(vad, np.clip(sound, -32768, 32767).astype(np.int16)))
    assert max(found[:320]) < 0.3
    assert np.argmax(found[320:] >= 0.5) <= 4  # 160 ms; it begins with a soft consonant
    assert found[-30:].max() < 0.3


def test_a_quiet_room_costs_nothing() -> None:
    gate, sound = NoiseGate(), noise(20, seed=1, db=-66)
    quiet = [gate.is_closed(power(sound[at : at + 512])) for at in range(0, 600 * 512, 512)]
    assert all(quiet[7 * 31 :])
    loud = 10 ** (-40 / 10)
    assert not gate.is_closed(loud)
    assert [gate.is_closed(10 ** (-66 / 10)) for _ in range(10)] == [False] * 8 + [True] * 2


def test_a_room_that_gets_noisy_is_listened_to() -> None:
    gate = NoiseGate()
    for _ in range(1000):
        gate.is_closed(10 ** (-70 / 10))
    assert not gate.is_closed(10 ** (-62 / 10))


def test_two_sessions_share_the_model_and_nothing_else(vad: Silero) -> None:
    other = Silero(ProviderOptions("v6"))
    alone = probabilities(other, recorded("question.wav"))
    other.reset()
    loud = np.full(vad.window, 20_000, dtype=np.int16)
    between = []
    for at in range(0, len(recorded("question.wav")) - vad.window + 1, vad.window):
        vad(loud)
        between.append(other(recorded("question.wav")[at : at + vad.window]))
    assert between == alone


def test_reset_forgets(vad: Silero) -> None:
    first = probabilities(vad, recorded("question.wav"))
    vad.reset()
    assert probabilities(vad, recorded("question.wav")) == first


def test_a_window_is_cheap(vad: Silero) -> None:
    samples = recorded("question.wav")[8000 : 8000 + vad.window]
    costs = []
    for _ in range(200):
        began = time.perf_counter()
        vad(samples)
        costs.append(time.perf_counter() - began)
    assert min(costs) < 300e-6  # 70 µs; the bound is for a slower machine
