"""Conversations at random: whatever is said, typed, interrupted, changed and broken, what must hold does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support.random_scenarios import random_scenario
from tests.engine.support.scenario import Outcome, run
from workbench.model.events import (
    BargeInJudged,
    Entry,
    ReplyDiscarded,
    ReplyEnded,
    ReplyPaused,
    ReplyPlaying,
    ReplyResumed,
    ReplyText,
    TurnEnded,
)
from workbench.trace.codec import encode


@given(st.integers(0, 1_000_000))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_random_conversations_keep_the_invariants(seed: int) -> None:
    outcome = run(random_scenario(seed))
    what_was_heard_is_what_was_said(outcome)
    nothing_sounds_outside_of_a_reply(outcome)
    every_pause_is_judged(outcome)


def what_was_heard_is_what_was_said(outcome: Outcome) -> None:
    texts: dict[int, str] = {}
    for text in outcome.all(ReplyText):
        texts[text.reply] = texts.get(text.reply, "") + text.text
    for ended in outcome.all(ReplyEnded):
        whole = texts.get(ended.reply, "").split()
        assert "".join((ended.heard + ended.unheard).split()) == "".join(whole)
        assert ended.status != "done" or not ended.unheard
    for turn in outcome.all(TurnEnded):
        heard = [ended.heard for ended in outcome.all(ReplyEnded) if ended.turn == turn.turn]
        assert turn.agent_text == (heard[-1] if heard else "")
        assert (turn.status == "failed") == (turn.stage is not None)
    discarded = {event.reply for event in outcome.all(ReplyDiscarded)}
    assert not discarded & {event.reply for event in outcome.all(ReplyPlaying)}


def nothing_sounds_outside_of_a_reply(outcome: Outcome) -> None:
    track = outcome.agent.copy()
    ends = {event.reply: event.end_sample for event in outcome.all(ReplyEnded)}
    for playing in outcome.all(ReplyPlaying):
        end = ends[playing.reply]
        assert end is not None
        assert end > playing.at_sample
        track[playing.at_sample : end] = 0
    assert not track.any()


def every_pause_is_judged(outcome: Outcome) -> None:
    """Within 600 ms, unless the reply was cut by something else meanwhile."""
    for paused in outcome.all(ReplyPaused):
        at = outcome.at(paused)
        after = [
            event
            for event in outcome.events
            if isinstance(event, ReplyResumed | ReplyEnded | BargeInJudged) and outcome.at(event) >= at
        ]
        assert after
        assert outcome.at(after[0]) - at <= 600


@pytest.mark.parametrize("seed", [1, 7, 23])
def test_the_same_conversation_gives_the_same_bytes_twice(seed: int) -> None:
    assert written(run(random_scenario(seed))) == written(run(random_scenario(seed)))


def written(outcome: Outcome) -> tuple[list[str], bytes]:
    lines = [
        encode(Entry(at, time, event))
        for at, (time, event) in enumerate(zip(outcome.times, outcome.events, strict=True))
    ]
    return lines, outcome.agent.tobytes()
