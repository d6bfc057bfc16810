from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from workbench import Agent
from workbench.model.errors import UsageError
from workbench.notebook import score
from workbench.notebook.dialogue_script import parse_dialogue
from workbench.simulation.script import Script
from workbench.simulation.synthesis import Score
from workbench.views.trace import OpenTrace

SCENE = """
# a morning
you: Good morning.
agent: It is a fine day.
User : Tell me everything.
agent: Well, that is a long story,
agent: and it begins in the year of the flood.
(pause 2)
you: Stop.
Agent: Gladly.
"""


def said(trace: OpenTrace) -> list[tuple[str, str]]:
    return [(turn.user_text, turn.agent_text) for turn in trace.turns]


def test_a_scene_is_played_with_its_answers_and_its_interruption() -> None:
    trace = score(SCENE)
    assert [turn.status for turn in trace.turns] == ["done", "cut", "done"]
    (first, second, third) = said(trace)
    assert first == ("Good morning.", "It is a fine day.")
    assert second[0] == "Tell me everything."
    assert "Well, that is a long story, and it begins".startswith(second[1])
    assert third == ("Stop.", "Gladly.")
    assert trace.closed
    assert trace.audio("user", turn=1).any()


def test_the_same_scene_is_the_same_conversation() -> None:
    assert score(SCENE).turns == score(SCENE).turns


def test_settings_and_delays_make_the_difference_they_should() -> None:
    fixed = {"turn.provider": "silence", "turn.adapt": False}
    quick = score(SCENE, fixed, turn_silence_ms=300)
    slow = score(SCENE, fixed | {"turn.silence_ms": 800})
    late = score(SCENE, fixed, turn_silence_ms=300, reply_speculate="off", script={"first_token_ms": 250})
    first = [trace.turns[0].heard_latency_ms or 0 for trace in (quick, slow, late)]
    assert first[1] - first[0] == pytest.approx(500, abs=30)
    assert first[2] - first[0] == pytest.approx(250, abs=30)


def test_words_may_be_heard_in_parts_and_are_answered_all_the_same() -> None:
    """A scene says what is answered to which words, whatever endpointing makes of them."""
    trace = score(
        "you: One.\nagent: First.\n(pause 0.3)\nyou: Two.\nagent: Second.\n(pause 4)\nyou: Three.\nagent: Third."
    )
    assert said(trace) == [("One. Two.", "First."), ("Three.", "Third.")]


def test_of_the_same_words_each_time_is_answered_in_its_turn() -> None:
    script = Script(answers=[("And?", "First."), ("Well?", "Second."), ("And?", "Third.")])
    assert [script.answer_to("and?", turn) for turn in range(3)] == ["First.", "First.", "Third."]
    assert script.answer_to("Well? And?", 1) == "Second."
    assert script.answer_to("Never heard", 0) is None
    assert script.answer_to("", 0) is None
    assert score("you: And?\nagent: A.\nyou: And?\nagent: B.").turns[1].agent_text == "B."


def test_directions_follow_the_words_at_once() -> None:
    trace = score(
        "you: Tell me.\nagent: It is a very long story, and it goes on.\n(pause 2)"
        "\n(mhm)\n(cough)\n(click)\n(babble 1)"
    )
    assert [turn.status for turn in trace.turns] == ["done"]
    assert trace.turns[0].agent_text == "It is a very long story, and it goes on."


def test_a_score_and_an_agent_can_be_given() -> None:
    agent = Agent(instructions="Be brief.", greeting="Welcome.", name="host")
    trace = score(
        Score().silence(3).say("Hello there.").silence(3), agent=agent, script={"agent": ["Hello!"]}
    )
    assert said(trace) == [("Hello there.", "Hello!")]
    assert trace.started is not None
    assert trace.started.agent == "host"


def test_it_runs_where_a_loop_runs_already() -> None:
    async def cell() -> int:
        return len(score(SCENE).turns)

    assert asyncio.run(cell()) == 3


def test_its_recording_goes_away_with_it() -> None:
    trace: OpenTrace | None = score("you: Hello.")
    assert trace
    folder = Path(str(trace.started and trace.started.recording))
    assert folder.is_dir()
    trace = None
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "nobody says anything"),
        ("agent: Hello.", "nobody says anything"),
        ("you: Hi.\nwhoever: Hello.", "line 2: 'whoever: Hello.'"),
        ("you: Hi.\n(dance)", "line 2"),
        ("(pause 1.2.3)", "line 1: 1.2.3 is no number"),
        ("(pause 0)", "line 1: 0 is no number"),
        ("you: Hi.\n(pause 3000)\n(pause 3000)", "100 minutes"),
    ],
)
def test_what_is_no_scene_is_refused_with_its_line(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        score(text)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="silence_ms"):
        score("you: Hi.", turn_silence_mss=1)
    with pytest.raises(UsageError, match="first_token_ms"):
        score("you: Hi.", script={"first_token": 1})
    unrecorded: list[dict[str, object]] = [
        {"record.enabled": False},
        {"record.enabled": "no"},
        {"record.folder": None},
    ]
    for settings in unrecorded:
        with pytest.raises(UsageError, match="a scene is shown from its recording – leave out"):
            score("you: Hi.", settings)


def test_a_scene_is_read_line_by_line() -> None:
    assert parse_dialogue("you: a: b\n\n (pause 2 s) \nAGENT: c").steps == [
        ("you", "a: b"),
        ("pause", "2.0"),
        ("agent", "c"),
    ]
