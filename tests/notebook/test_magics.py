from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from tests.waiting import until
from workbench import Agent
from workbench.config import load_settings
from workbench.model.events import Notice, Swapped
from workbench.notebook.session_page import SessionPage
from workbench.session import Session, open_session
from workbench.views.trace import OpenTrace

SETTINGS = {
    "profile": "scripted",
    "audio.source": "none",
    "audio.sink": "none",
    "tts.provider": "none",
    "record.enabled": False,
}


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    shell = InteractiveShell.instance()
    try:
        run(shell, "%load_ext workbench")
        yield shell
    finally:
        shell.history_manager.end_session()  # type: ignore[union-attr]
        InteractiveShell.clear_instance()


def run(shell: InteractiveShell, cell: str) -> Any:
    """What the cell gives; whatever it fails of is raised."""
    result = shell.run_cell(cell, store_history=False)
    result.raise_error()
    return result.result


def told(shell: InteractiveShell, cell: str) -> str:
    """What a cell with bad input says."""
    with capture_output() as captured:
        result = shell.run_cell(cell, store_history=False)
    assert not result.success
    said: str = captured.stderr + captured.stdout
    assert "Traceback" not in said
    return said


@pytest.fixture
def session() -> Iterator[Session]:
    with open_session(load_settings(SETTINGS), agent=Agent(instructions="old", name="host")) as session:
        yield session


def swapped(session: Session, since: int = 0) -> list[str]:
    """What was replaced, in the order of the trace: `agent`, or a stage."""
    return [entry.event.what for entry in session.trace.since(since) if isinstance(entry.event, Swapped)]


# --- %%agent ---------------------------------------------------------------------------------------------------------


def test_an_agent_is_what_stands_in_its_cell(shell: InteractiveShell) -> None:
    with capture_output() as captured:
        agent = run(
            shell, '%%agent host --greeting "Welcome, all!" --language de\nYou ask.\nOne at a time.\n'
        )
    assert agent == Agent(
        instructions="You ask.\nOne at a time.", greeting="Welcome, all!", language="de", name="host"
    )
    assert shell.user_ns["host"] is agent
    assert "no session runs" in captured.outputs[0].data["text/plain"]


def test_the_cell_keeps_what_it_does_not_say(shell: InteractiveShell) -> None:
    shell.user_ns["mine"] = Agent(instructions="old", greeting="Hi.", tools=(len,), name="someone")
    agent = run(shell, "%%agent mine\nnew")
    assert (agent.instructions, agent.greeting, agent.tools, agent.name) == ("new", "Hi.", (len,), "someone")


def test_running_the_cell_again_swaps_it_into_the_session(shell: InteractiveShell, session: Session) -> None:
    shell.user_ns["s"] = session
    with capture_output() as captured:
        run(shell, "%%agent host --llm scripted\nnew instructions")
    said = "host goes into s: from the next reply on; llm scripted once started (a notice says if it cannot)"
    assert captured.outputs[0].data["text/plain"] == said
    until(lambda: session.agent.instructions == "new instructions")
    assert session.conversation.instructions == "new instructions"
    assert "agent" in swapped(session)


def test_a_model_that_changes_is_swapped_too(shell: InteractiveShell, session: Session) -> None:
    shell.user_ns["s"] = session
    run(shell, "%%agent host --llm scripted\none")
    until(lambda: "llm" in swapped(session))
    with capture_output() as captured:
        run(shell, "%%agent host\ntwo")
    assert captured.outputs[0].data["text/plain"] == "host goes into s: from the next reply on"
    until(lambda: session.agent.instructions == "two")
    assert swapped(session) == ["agent", "llm", "agent"]


def test_a_model_that_nobody_has_is_refused_and_all_stays_as_it_was(
    shell: InteractiveShell, session: Session
) -> None:
    before = Agent(instructions="old", name="host")
    shell.user_ns |= {"s": session, "host": before}
    entries = session.trace.end
    for _ in range(2):
        assert "no llm provider is called 'bogus' – installed: " in told(
            shell, "%%agent host --llm bogus/none\nYou are terse."
        )
    for llm, reason in (
        ('""', "no llm provider is called ''"),
        ("openai", "needs a model"),
        ("none", "called 'none'"),
    ):
        assert reason in told(shell, f"%%agent host --llm {llm}\nYou are terse.")
    assert shell.user_ns["host"] is before
    run(shell, "%%agent host\nnew")
    until(lambda: session.agent.instructions == "new")
    assert session.agent.llm is None
    assert swapped(session, entries) == ["agent"]
    assert not [entry for entry in session.trace.since(entries) if isinstance(entry.event, Notice)]


def test_a_model_that_cannot_start_is_tried_again_when_it_is_asked_for_again(
    shell: InteractiveShell, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    shell.user_ns["s"] = session
    for count in (1, 2):
        run(shell, f"%%agent host --llm openai/some-model\n{count}")
        until(lambda: session.agent.instructions == str(count) and session.agent.llm is None)  # noqa: B023
        notices = [entry.event for entry in session.trace.since(0) if isinstance(entry.event, Notice)]
        assert [notice.owner for notice in notices] == ["llm"] * count


def test_which_session_is_clear_or_is_asked_for(shell: InteractiveShell, session: Session) -> None:
    with open_session(load_settings(SETTINGS), agent=Agent(instructions="x", name="other")) as second:
        shell.user_ns |= {"a": session, "b": second, "_": session}
        assert "choose one: --session NAME" in told(shell, "%%agent third\nwho?")
        assert "third" not in shell.user_ns
        run(shell, "%%agent other\nby its name")
        until(lambda: second.agent.instructions == "by its name")
        run(shell, "%%agent third --session a\nby hand")
        until(lambda: session.agent.instructions == "by hand")
        assert "c is no running session – there are: a, b" in told(shell, "%%agent third --session c\nx")


def test_a_session_that_is_over_gets_nothing(shell: InteractiveShell) -> None:
    with open_session(load_settings(SETTINGS)) as session:
        pass
    shell.user_ns["s"] = session
    with capture_output() as captured:
        run(shell, "%%agent host\nhello")
    assert "no session runs" in captured.outputs[0].data["text/plain"]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("%%agent host\n\n", "without instructions"),
        ("%%agent 3\nhello", "cannot name a variable"),
        ("%%agent\nhello", "arguments are required: name"),
        ("%%agent host --speed 3\nhello", "unrecognized arguments"),
        ('%%agent host --greeting "unclosed\nhello', "no closing quotation – close the quotes"),
        ("%%agent host --greeting 'unclosed\nhello", "no closing quotation – close the quotes"),
        ("%%agent host '\nhello", "no closing quotation – close the quotes"),
        ("%%agent class\nhello", "'class' cannot name a variable"),
        ("%%score class\nyou: hello", "'class' cannot name a variable"),
        ("%%score None turn.silence_ms=300\nyou: hello", "'None' cannot name a variable"),
        ("%%score\nwhoever: hello", "line 1"),
        ("%%score a b\nyou: hello", "'b' is no setting"),
        ("%%score turn.silence=3\nyou: hello", "did you mean"),
        ("%%score script.firsttoken=3\nyou: hello", "did you mean first_token_ms"),
        ('%%score "a\nyou: hello', "no closing quotation"),
        ("%%score agent=nobody\nyou: hello", "nobody is no Agent"),
    ],
)
def test_bad_input_is_said_in_a_line(shell: InteractiveShell, cell: str, reason: str) -> None:
    assert reason in told(shell, cell)


# --- %%score ---------------------------------------------------------------------------------------------------------


def test_a_scene_is_played_and_shown(shell: InteractiveShell) -> None:
    shown = run(
        shell,
        "%%score slow turn.provider=silence turn.silence_ms=900 turn.adapt=false script.first_token_ms=100\n"
        "you: Hello.\nagent: Good day.",
    )
    assert isinstance(shown, SessionPage)
    trace = shell.user_ns["slow"]
    assert isinstance(trace, OpenTrace)
    assert trace.turns[0].agent_text == "Good day."
    assert trace.turns[0].heard_latency_ms == pytest.approx(900, abs=50)
    assert "Good day." in shown.html


def test_a_scene_is_played_with_an_agent_of_ones_own(shell: InteractiveShell) -> None:
    run(shell, '%%agent host --greeting "Welcome."\nBe kind.')
    run(shell, "%%score t agent=host\n(pause 3)\nyou: Hello.")
    assert shell.user_ns["t"].started.agent == "host"


# --- errors ----------------------------------------------------------------------------------------------------------


def test_what_the_user_can_correct_is_shown_without_our_code(shell: InteractiveShell) -> None:
    said = told(shell, "from workbench import open_trace\nopen_trace('/nowhere')")
    assert "UnreadableFolderError: /nowhere is not a readable session folder" in said
    assert "→ `workbench sessions` lists those there are" in said
    assert "store.py" not in said
