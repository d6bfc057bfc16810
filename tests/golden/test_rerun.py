"""The golden conversations are recordings: each runs again on its cassette, without its providers: the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.conftest import Recorded
from tests.golden.scenes import SCENES, lines
from workbench.replay.rerun import rerun
from workbench.replay.verdict import compare_traces


@pytest.mark.parametrize("name", SCENES)
def test_a_golden_conversation_runs_again_to_the_same_bytes(
    name: str, recorded: Recorded, tmp_path: Path
) -> None:
    again = rerun(recorded(name), into=tmp_path / "again")
    assert again.changes == ()
    assert again.trace.turns == again.original.turns
    verdict = compare_traces(again.original, again.trace)
    # two timers of the engine at the very same time, after its source has ended
    expected = "same decisions" if name == "reconnect" else "same bytes"
    assert (verdict.sameness, verdict.differences) == (expected, ())


def test_a_rerun_runs_again_too(recorded: Recorded, tmp_path: Path) -> None:
    once = rerun(recorded("tool"), into=tmp_path / "once")
    assert lines(rerun(once.folder, into=tmp_path / "twice").folder) == lines(once.folder)
