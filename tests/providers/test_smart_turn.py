"""Smart Turn: what the model is given, what it says of a voice, and what happens without it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from tests.recorded import recorded
from workbench.engine.settings import TurnSettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE, Frame, Samples, silence
from workbench.model.conversation import Transcript
from workbench.plugin.values import ProviderOptions
from workbench.providers.onboard.smart_turn import input_features
from workbench.providers.smart_turn import make_combined, make_smart_turn
from workbench.simulation.synthesis import speech
from workbench.testing import check_turn

OPTIONS = ProviderOptions("v3.2")


def paused(samples: Samples, text: str | None = None) -> Utterance:
    utterance = Utterance(1, 0)
    utterance.append(Frame(samples, INPUT_RATE, 0))
    utterance.append(Frame(silence(INPUT_RATE // 8), INPUT_RATE, len(samples)))
    utterance.become("paused", len(samples))
    if text is not None:
        utterance.write(Transcript(text, utterance.end))
    return utterance


@pytest.mark.parametrize("seconds", [0.01, 0.5, 8.0, 12.0])
def test_the_model_is_given_the_last_eight_seconds(seconds: float) -> None:
    features = input_features(speech(seconds))
    assert features.shape == (80, 800)
    assert np.isfinite(features).all()
    longer = np.concatenate((silence(4 * INPUT_RATE), speech(8.0)))
    assert np.array_equal(input_features(longer), input_features(speech(8.0)))


def test_loudness_does_not_count() -> None:
    loud = speech(8.0)
    difference = input_features(loud) - input_features((loud // 4).astype(np.int16))
    assert np.abs(difference).mean() < 0.05


def test_without_the_weights_words_and_silence_decide_and_a_notice_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    notices: list[tuple[str, str]] = []
    options = ProviderOptions("default", notice=lambda reason, hint: notices.append((reason, hint)))

    async def waits() -> list[float]:
        async with make_combined(options) as turn:
            await turn.warm()
            assert not turn.assesses
            return [turn.wait_ms(paused(speech(1.0), text), TurnSettings()) for text in ("Yes.", "and")]

    assert asyncio.run(waits()) == [200, 3000]
    ((reason, hint),) = notices
    assert "turns end by words and silence alone" in reason
    assert "workbench models pull smart-turn/v3.2" in hint


def test_both_keep_the_contract() -> None:
    check_turn(lambda: make_combined(OPTIONS))
    check_turn(lambda: make_smart_turn(OPTIONS))


@pytest.mark.models
def test_a_whole_sentence_is_over_and_half_of_it_is_not() -> None:
    async def probabilities() -> list[float | None]:
        samples = np.trim_zeros(recorded("story.wav"))
        async with make_combined(OPTIONS) as turn:
            await turn.warm()
            whole = await turn.assess(paused(samples))
            half = await turn.assess(paused(samples[: round(0.6 * len(samples))]))
            went_on = paused(samples)
            went_on.become("ended")
            return [whole, half, await turn.assess(went_on)]

    whole, half, over = asyncio.run(probabilities())
    assert whole is not None
    assert half is not None
    assert whole > 0.5
    assert half < 0.5
    assert over is None, "it was over before the model was free"
