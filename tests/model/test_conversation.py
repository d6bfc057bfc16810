"""What the LLM is shown, and what replies cost."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.model.conversation import Conversation, Message, Usage


def test_the_prompt_is_instructions_history_and_what_was_just_said() -> None:
    conversation = Conversation("Be kind.")
    conversation.add(Message("user", "hello"), Message("assistant", "hi", cut=True))
    assert conversation.prompt("what time is it?", keep=10) == [
        Message("system", "Be kind."),
        Message("user", "hello"),
        Message("assistant", "hi", cut=True),
        Message("user", "what time is it?"),
    ]
    assert Conversation().prompt("x", keep=0) == [Message("user", "x")]


def test_every_change_is_a_new_version() -> None:
    conversation = Conversation()
    conversation.add(Message("user", "a"))
    conversation.instruct("b")
    assert (conversation.version, conversation.instructions) == (2, "b")


@settings(deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["user", "assistant", "tool"])), st.integers(0, 8))
def test_a_cut_history_begins_with_the_user(roles: list[str], keep: int) -> None:
    conversation = Conversation()
    conversation.add(*(Message(role, f"{k}") for k, role in enumerate(roles)))  # type: ignore[arg-type]
    *history, said = conversation.prompt("now", keep=keep)
    assert said == Message("user", "now")
    assert len(history) <= keep
    assert history == conversation.messages[len(roles) - len(history) :]
    assert not history or history[0].role == "user" or len(history) == len(roles)


def test_a_greeting_is_part_of_the_history() -> None:
    conversation = Conversation()
    conversation.add(Message("assistant", "What is your name?"))
    assert [message.role for message in conversation.prompt("Tom", keep=40)] == ["assistant", "user"]


def test_usage_adds_up() -> None:
    assert Usage(1, 2, 3.0) + Usage(10, 20, 30.0) == Usage(11, 22, 33.0)
