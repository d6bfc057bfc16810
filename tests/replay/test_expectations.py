"""What is expected of a saved turn: written, edited, read, and told in words where it is not so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.model.errors import UsageError
from workbench.readers.folds.calls import CallRecord
from workbench.readers.timeline import Turn, TurnError
from workbench.replay.expectations import Expectations, ExpectedCall, SavedTest

TURN = Turn(2, "done", "How is the weather in Oslo?", "It rains in Oslo. Take a coat!", 640.0)
CALL = CallRecord("1", "weather", '{"city": "Oslo"}', "done")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | TEXT
    | st.floats(-1e6, 1e6).map(lambda it: it + 0.5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def problems(turn: Turn = TURN, calls: tuple[CallRecord, ...] = (CALL,), **expected: Any) -> list[str]:
    return [*Expectations(**expected).problems(turn, calls)]


@given(TEXT, TEXT, st.dictionaries(TEXT, VALUES, max_size=3), st.booleans())
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, user: str, agent: str, arguments: dict[str, Any], cut: bool
) -> None:
    call = ExpectedCall(name="weather", arguments=arguments)
    expect = Expectations(user_text=user, agent_contains=(agent,), tools=(call,), cut=cut)
    test = SavedTest(turn=3, agent=f"../{agent}.py", expect=expect)
    file = tmp_path_factory.getbasetemp() / "workbench-test.toml"
    file.write_text(test.text(TURN), encoding="utf-8")
    assert SavedTest.read(file) == test


def test_words_count_and_neither_case_nor_punctuation() -> None:
    assert problems(user_text="how is the weather, in oslo", agent_contains=("it rains", "take a coat")) == []
    (problem,) = problems(agent_contains=("rain",))
    assert problem.splitlines() == [
        "the answer lacks what it must contain",
        "  expected: rain",
        "  it is:    It rains in Oslo. Take a coat!",
    ]


def test_words_of_scripts_without_spaces_are_looked_for_too() -> None:
    assert problems(replace(TURN, agent_text="今日は雨です。"), agent_contains=("雨です",)) == []
    assert len(problems(replace(TURN, agent_text="今日は雨です。"), agent_contains=("晴れ",))) == 1


def test_an_expression_is_found_anywhere() -> None:
    assert problems(agent_matches="(rain|snow)s IN oslo") == []
    assert "does not match" in problems(agent_matches="sunny")[0]


@pytest.mark.parametrize(
    ("tools", "calls", "fine"),
    [
        ([{"name": "weather", "arguments": {"city": "Oslo"}}], (CALL,), True),
        ([{"name": "weather"}], (CALL,), True),
        ([{"name": "weather", "arguments": '{"city": "Oslo"}'}], (CALL,), True),
        ([{"name": "weather", "arguments": {"city": "Rome"}}], (CALL,), False),
        ([], (CALL,), False),
        ([], (), True),
        ([{"name": "weather"}], (), False),
        ([{"name": "weather"}], (replace(CALL, arguments="{"),), True),
    ],
)
def test_tools_are_called_as_expected(tools: list[Any], calls: tuple[CallRecord, ...], fine: bool) -> None:
    assert (problems(calls=calls, tools=tools) == []) == fine


def test_other_calls_are_named_with_their_arguments() -> None:
    (problem,) = problems(tools=[{"name": "weather", "arguments": {"city": "Rome"}}])
    assert 'expected: weather(city="Rome")' in problem
    assert 'it is:    weather(city="Oslo")' in problem


def test_a_cut_and_a_latency() -> None:
    assert problems(cut=False, heard_latency_ms=640) == []
    assert problems(cut=True) == ["the answer is not interrupted, and should be"]
    assert "interrupted, after" in problems(replace(TURN, status="cut"), cut=False)[0]
    assert problems(heard_latency_ms=600) == ["the answer is heard after 640 ms, expected within 600 ms"]
    assert "never heard" in problems(replace(TURN, heard_latency_ms=None), heard_latency_ms=600)[0]


def test_a_turn_that_failed_says_why_and_nothing_else() -> None:
    failed = replace(
        TURN, status="failed", agent_text="", error=TurnError("llm", "no key", "set OPENAI_API_KEY")
    )
    assert problems(failed, user_text="Bye") == ["the turn failed: llm: no key\nset OPENAI_API_KEY"]


def test_hostile_text_is_harmless_in_a_problem() -> None:
    (problem,) = problems(replace(TURN, agent_text="\x1b[2Jgone\u202e"), agent_contains=("here",))
    assert problem.isprintable() or "\x1b" not in problem
    assert "\u202e" not in problem


@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        ("turn = ", "workbench-test.toml:1: not TOML", "correct that line"),
        ("", "turn: Field required", "save the turn again"),
        ("turn = 0", "turn: should be greater than or equal to 1", "save the turn again"),
        ("turn = 1\n[expect]\nagent_contain = 'x'", "nothing that can be expected", "agent_contains"),
        ("turn = 1\nagents = 'x'", "nothing that can be expected", "agent?"),
        ("turn = 1\n[expect]\nagent_matches = '('", "no regular expression", "correct it"),
        ("turn = 1\n[[expect.tools]]\nnam = 'x'", "expect.tools.0.name: Field required", "correct it"),
        (
            "turn = 1\n[[expect.tools]]\nname = 'x'\nwith = 1",
            "nothing that can be expected",
            "there are: name",
        ),
        ("turn = 1\n[expect]\ncut = 'maybe'", "expect.cut", "correct it"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_key(
    tmp_path: Path, text: str, reason: str, hint: str
) -> None:
    (tmp_path / "workbench-test.toml").write_text(text)
    with pytest.raises(UsageError) as raised:
        SavedTest.read(tmp_path / "workbench-test.toml")
    assert reason in raised.value.reason
    assert hint in raised.value.hint
