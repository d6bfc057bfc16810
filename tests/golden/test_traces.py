"""The golden conversations, byte for byte: what the engine says of each must stay as it is."""

from __future__ import annotations

import json

import pytest

from tests.golden.conftest import Recorded
from tests.golden.scenes import SCENES, TRACES, lines
from workbench import open_trace
from workbench.trace.codec import decode, encode


@pytest.mark.parametrize("name", SCENES)
def test_a_golden_conversation_gives_the_same_trace_byte_for_byte(name: str, recorded: Recorded) -> None:
    golden = (TRACES / f"{name}.events.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines(recorded(name)) == golden


@pytest.mark.parametrize("name", SCENES)
def test_a_golden_trace_is_read_and_written_without_loss(name: str) -> None:
    golden = (TRACES / f"{name}.events.jsonl").read_text(encoding="utf-8").splitlines()
    for line in golden:
        entry = decode(line)
        assert entry is not None
        assert decode(encode(entry)) == entry
        assert json.loads(encode(entry)) == json.loads(line)


@pytest.mark.parametrize("name", SCENES)
def test_a_golden_conversation_has_the_same_turns(name: str, recorded: Recorded) -> None:
    golden = (TRACES / f"{name}.turns.jsonl").read_text(encoding="utf-8").splitlines()
    turns = open_trace(recorded(name)).turns
    assert [turn.to_json() for turn in turns] == [json.loads(line) for line in golden]


def test_each_golden_trace_has_its_scene() -> None:
    assert {path.name.split(".")[0] for path in TRACES.iterdir()} == set(SCENES)
