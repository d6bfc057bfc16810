"""Plugins in whole conversations, under the virtual clock: what they change is heard, what they break is not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from workbench import hookimpl, open_session
from workbench.config import Settings, load_settings
from workbench.handle import SessionHandle
from workbench.model.conversation import Message
from workbench.model.events import Event, PluginFailed, ReplyText, TurnEnded
from workbench.plugin import manager as module
from workbench.plugin.manager import PluginRegistry
from workbench.readers.timeline import Turn
from workbench.simulation.clock import run_virtual


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> PluginRegistry:
    """The plugins of this process, for this test alone."""
    made = PluginRegistry()
    made.load_installed()
    monkeypatch.setattr(module, "_loaded", lambda: made)
    return made


def talk(*typed: str) -> list[Event]:
    """What a session says when the user types this, one after the other; it answers `You said: …`."""
    return run_virtual(_talk(_settings(), typed))


def _settings() -> Settings:
    quiet = {"audio.source": "none", "audio.sink": "none", "record.enabled": False}
    return load_settings({"profile": "scripted", "script": {"agent": ["You said: {said}"]}, **quiet})


async def _talk(settings: Settings, typed: Sequence[str]) -> list[Event]:
    waiting = list(typed)
    async with open_session(settings) as session:
        session.type(waiting.pop(0))
        async for entry in session.trace.follow():
            if isinstance(entry.event, TurnEnded):
                if not waiting:
                    break
                session.type(waiting.pop(0))
    return [entry.event for entry in session.trace.since(0)]


def of(kind: type[Any], events: Sequence[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


class Curious:
    """Changes all that can be changed, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.prompts: list[Sequence[Message]] = []

    @hookimpl
    def workbench_filter_user_text(self, text: str) -> str:
        return text.replace("Bob", "Xavier")

    @hookimpl
    def workbench_before_llm(self, messages: Sequence[Message]) -> Sequence[Message]:
        self.prompts.append(messages)
        return [Message("system", "Be kind."), *messages]

    @hookimpl
    def workbench_filter_agent_text(self, text: str) -> str:
        return text.replace("You said", "I heard")

    @hookimpl
    def workbench_before_tts(self, text: str) -> str:
        return text.replace("Xavier", "Zavier")

    @hookimpl
    def workbench_session_started(self, session: SessionHandle) -> None:
        self.told.append(("started", session.recording))

    @hookimpl
    def workbench_turn_ended(self, session: SessionHandle, turn: Turn) -> None:
        self.told.append((turn.turn, turn.status, turn.agent_text))

    @hookimpl
    def workbench_session_ended(self, session: SessionHandle) -> None:
        self.told.append(("ended", session.trace.closed))


def test_text_that_plugins_change_is_spoken_and_kept(plugins: PluginRegistry) -> None:
    curious = Curious()
    plugins.register(curious, "curious")
    events = talk("I am Bob", "And you?")
    assert [turn.agent_text for turn in of(TurnEnded, events)] == [
        "I heard: I am Xavier",
        "I heard: And you?",
    ]
    spoken = [text.spoken for text in of(ReplyText, events)]
    assert spoken == ["I heard: I am Zavier", "I heard: And you?"]
    said = [message.text for message in curious.prompts[-1]]
    assert said[-3:] == ["I am Xavier", "I heard: I am Xavier", "And you?"]
    assert curious.told == [
        ("started", None),
        (1, "done", "I heard: I am Xavier"),
        (2, "done", "I heard: And you?"),
        ("ended", True),
    ]
    assert of(PluginFailed, events) == []


def test_a_session_with_plugins_is_the_same_twice(plugins: PluginRegistry) -> None:
    plugins.register(Curious(), "curious")
    first, second = (talk("I am Bob", "And you?")[1:] for _ in range(2))
    assert first == second


def test_plugins_that_break_are_named_once_and_nothing_else_changes(plugins: PluginRegistry) -> None:
    without = of(TurnEnded, talk("Hello", "Again"))

    class Broken:
        @hookimpl
        def workbench_filter_user_text(self) -> Any:
            return 7

        @hookimpl
        def workbench_before_llm(self) -> Any:
            sys.exit(1)

        @hookimpl
        def workbench_filter_agent_text(self) -> Any:
            raise KeyboardInterrupt

        @hookimpl
        def workbench_before_tts(self) -> Any:
            raise StopIteration

        @hookimpl
        def workbench_turn_started(self) -> Any:
            raise GeneratorExit

        @hookimpl
        def workbench_readers(self) -> Any:
            return [lambda: lambda entry: sys.exit(1)]

    plugins.register(Broken(), "broken")
    events = talk("Hello", "Again")
    assert of(TurnEnded, events) == without
    assert sorted(event.hook for event in of(PluginFailed, events)) == sorted(plugins.loaded["broken"].hooks)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@examples(max_examples=25, deadline=None, derandomize=True)
@given(answer=anything)
def test_turns_end_whatever_hooks_return(answer: Any) -> None:
    class Odd:
        @hookimpl
        def workbench_filter_user_text(self) -> Any:
            return answer

        @hookimpl
        def workbench_before_llm(self) -> Any:
            return answer

        @hookimpl
        def workbench_filter_agent_text(self) -> Any:
            return answer

        @hookimpl
        def workbench_before_tts(self) -> Any:
            return answer

        @hookimpl
        def workbench_tools(self) -> Any:
            return answer

        @hookimpl
        def workbench_readers(self) -> Any:
            return answer

    made = PluginRegistry()
    made.load_installed()
    made.register(Odd(), "odd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_loaded", lambda: made)
        (ended,) = of(TurnEnded, talk("Hello"))
    assert ended.status == "done"
