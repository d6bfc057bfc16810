"""The golden conversations, byte for byte: what the engine says of each must stay as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.scenes import SCENES, TRACES, lines, record


@pytest.mark.parametrize("name", SCENES)
def test_a_golden_conversation_gives_the_same_trace_byte_for_byte(name: str, tmp_path: Path) -> None:
    golden = (TRACES / f"{name}.events.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines(record(SCENES[name](), tmp_path / name)) == golden


def test_each_golden_trace_has_its_scene() -> None:
    assert {path.name.removesuffix(".events.jsonl") for path in TRACES.iterdir()} == set(SCENES)
