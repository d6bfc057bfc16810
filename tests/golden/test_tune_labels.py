"""What the silences of the golden conversations were, by what the user did next."""

from __future__ import annotations

import pytest

from tests.golden.conftest import Recorded
from tests.replay.tune_material import settings_of
from workbench.replay.tune.detectors import Detectors
from workbench.replay.tune.scoring import read_labelled


@pytest.mark.parametrize(
    ("scene", "labels"),
    [
        ("interruption", ["end", "end"]),
        ("backchannel", ["end"]),
        ("echo", ["end"]),
        ("answer", ["end", "end"]),
        ("digits", ["end", "pause", "pause", "end"]),
        ("filler", ["pause", "end"]),
        ("reopened", ["pause", "end"]),
        ("reopened_twice", ["pause", "pause", "end"]),
        ("slow_stt", ["pause", "end", "end"]),
        ("typed", []),
    ],
)
def test_silences_are_what_they_were(recorded: Recorded, scene: str, labels: list[str]) -> None:
    silences = read_labelled(recorded(scene), Detectors.of(settings_of())).silences
    assert [silence.label for silence in silences] == labels
