"""A live room whose packets are late, lost and reordered between the user and the agent."""

from __future__ import annotations

import pytest

from bench._netem import conversation
from bench._netns import way
from workbench.simulation.network import Trouble

BAD = Trouble(loss=0.03, delay_ms=40, jitter_ms=10, reorder=0.02, seed=7)


def test_the_relay_draws_what_was_asked_for_by_its_seed() -> None:
    delay_s = way(BAD, 3)
    drawn = [delay_s() for _ in range(5_000)]
    again = way(BAD, 3)
    assert drawn == [again() for _ in range(5_000)]
    arrived = [delay for delay in drawn if delay is not None]
    assert 0.02 < 1 - len(arrived) / len(drawn) < 0.04
    assert sum(arrived) / len(arrived) == pytest.approx(0.0406, abs=0.001)
    assert sum(delay > 0.075 for delay in arrived) > 20  # the reordered ones


@pytest.mark.room
@pytest.mark.netns
def test_a_conversation_over_a_bad_network_is_held_and_told() -> None:
    report = conversation(BAD, turns=1, stt="scripted", relayed=True)
    assert report["turns"] == 1
    assert report["heard_ms"]["never"] == 0
    assert report["network"]["rtt_ms"] > 60
    assert report["parts_ms"]["network_in"] > 30
    assert report["parts_ms"]["network_out"] > 50  # and a packet
