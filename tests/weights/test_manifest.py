"""The list itself: whatever it says must be exact, because nothing else is known about the files."""

from __future__ import annotations

import re

import pytest

from workbench.model.errors import UsageError
from workbench.weights.manifest import MODELS, IndexSource, ModelWeights, WeightsFile, find

FILES = [(model, file) for model in MODELS for file in model.files]


@pytest.mark.parametrize(("model", "file"), FILES, ids=lambda value: getattr(value, "name", ""))
def test_every_file_is_named_exactly(model: ModelWeights, file: WeightsFile) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
    assert file.size > 0
    assert model.file(file.name) is file


@pytest.mark.parametrize(("model", "file"), FILES, ids=lambda value: getattr(value, "name", ""))
def test_every_file_is_in_the_package_index(model: ModelWeights, file: WeightsFile) -> None:
    first = file.sources[0]
    assert isinstance(first, IndexSource)
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", member.requirement) for member in first.members)


def test_names_are_unique_and_hashes_too() -> None:
    assert len({model.name for model in MODELS}) == len(MODELS)
    assert len({file.sha256 for _, file in FILES}) == len(FILES)


def test_the_voice_says_where_it_comes_from() -> None:
    caveat = find("piper/en_US-joe-medium").caveat
    assert "lessac" in caveat
    assert "commercial" in caveat
    assert "GPL-3" in caveat


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"whisper/tiny\.en"):
        find("whisper/huge")
    with pytest.raises(UsageError, match=r"it has: silero_vad_v6\.onnx"):
        find("silero/v6").file("model.bin")
