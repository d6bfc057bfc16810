"""The detector by itself, and in a conversation with a pause in the middle of a sentence."""

from __future__ import annotations

import pytest
from voice_workbench_semantic_turn.plugin import SemanticTurn, workbench_providers

from workbench.spi import Transcript, TurnSettings, Utterance
from workbench.testing import check_turn


def test_the_detector_passes_the_contract_checks() -> None:
    check_turn(SemanticTurn)


def test_the_plugin_contributes_the_detector() -> None:
    (provider,) = workbench_providers()
    assert (provider.stage, provider.name) == ("turn", "semantic")


def waits(text: str | None) -> float:
    utterance = Utterance(1, 0)
    if text is not None:
        utterance.write(Transcript(text, 0, stable=True))
    return SemanticTurn().wait_ms(utterance, TurnSettings())


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        (None, 1.0),
        ("Tell me a joke.", 1.0),
        ("I would like to go to", 2.5),
        ("I'd like a table for two, and", 2.5),
        ("Well, um", 2.5),
        ("On Monday,", 2.5),
        ("What is the weather in Oslo?", 250 / 350),
        ("Yes.", 250 / 350),
        ("What?", 1.0),
    ],
)
def test_how_long_the_detector_waits(text: str | None, factor: float) -> None:
    assert waits(text) == pytest.approx(350 * factor)
