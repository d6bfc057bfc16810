"""Who spoke when, in golden conversations."""

from __future__ import annotations

import pytest

from tests.golden.scenes import SCENES
from tests.readers.test_decisions import golden
from workbench.readers.folds.stretches import StretchesFold
from workbench.readers.moments import MomentsFold


def folded(name: str) -> StretchesFold:
    moments = MomentsFold({"user": 16_000, "agent": 24_000})
    fold = StretchesFold(moments)
    for entry in golden(name):
        moments.feed(entry)
        fold.feed(entry)
    return fold


@pytest.mark.parametrize("name", SCENES)
def test_stretches_end_after_they_began_and_do_not_overlap_on_a_side(name: str) -> None:
    stretches = folded(name).stretches
    assert stretches
    for side in ("user", "agent"):
        last_ms = 0.0
        for stretch in (it for it in stretches if it.side == side):
            assert stretch.end_ms is not None
            assert last_ms <= stretch.start_ms <= stretch.end_ms
            last_ms = stretch.end_ms


def test_a_reply_that_was_paused_has_two_stretches() -> None:
    agent = [it for it in folded("backchannel").stretches if it.side == "agent"]
    assert [it.key for it in agent] == ["r1"] * 3
    user = [it for it in folded("backchannel").stretches if it.side == "user"]
    assert [it.key for it in user] == ["u1", "u2", "u3"]
