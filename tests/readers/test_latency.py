"""Percentiles, and what is kept out of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.model.events import TurnStatus
from workbench.readers.latency import PERCENTILES, LatencySummary, kind_of, percentile
from workbench.readers.timeline import Turn


def turn(status: TurnStatus, ms: float | None, *, cold: bool = False, discarded: int = 0) -> Turn:
    return Turn(1, status, "", "", ms, cold=cold, discarded_replies=discarded)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1e5), min_size=1), st.floats(0, 100))
def test_percentiles_are_numpys(values: list[float], percent: float) -> None:
    assert percentile(values, percent) == pytest.approx(
        float(np.percentile(values, percent)), rel=1e-9, abs=1e-9
    )


def test_only_turns_that_can_be_compared_count() -> None:
    latency = LatencySummary()
    assert latency.to_json() == {
        "summary": {"turns": 0, "done": 0, "cut": 0, "failed": 0, "n": 0}
        | dict.fromkeys(("p50", "p90", "p95", "p99"))
    }
    for one in (
        turn("done", 9000.0, cold=True),
        turn("done", 300.0, discarded=2),
        turn("done", 400.0),
        turn("done", None),
        turn("cut", 9000.0),
        turn("failed", None),
        turn("failed", 9000.0),
    ):
        latency.add(one)
    assert latency.to_json() == {
        "summary": {
            "turns": 7,
            "done": 4,
            "cut": 1,
            "failed": 2,
            "n": 2,
            "p50": 350.0,
            "p90": 390.0,
            "p95": 395.0,
            "p99": 399.0,
        }
    }
    assert json.loads(json.dumps(latency.to_json())) == latency.to_json()
    assert (latency.kinds["cold"], latency.kinds["unheard"]) == (1, 1)
    assert list(latency.values_ms) == [300.0, 400.0]
    assert PERCENTILES == (50, 90, 95, 99)
    assert kind_of(turn("cut", 1.0, cold=True)) == "cut"
