"""Where plugins may look into a reply while it is made, and change it. The engine awaits these; whoever implements them
sees to it that they return in time, whatever a plugin does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from workbench.model.conversation import Message, ToolCall


class Hooks(Protocol):
    """Each gives what it was given, changed or not. `turn` is None while it is not decided. None of them raises."""

    async def user_text(self, text: str) -> str:
        """What the user said, on its way into the conversation and to the LLM."""

    async def agent_text(self, text: str) -> str:
        """A chunk of what the LLM wrote, on its way into the conversation and to the TTS."""

    async def before_llm(self, turn: int | None, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages that the LLM is about to be sent, in every step of a reply."""

    def after_llm(self, turn: int | None, text: str, calls: Sequence[ToolCall]) -> None:
        """What the LLM has answered in one step. Returns at once."""

    async def before_tts(self, turn: int | None, text: str) -> str:
        """What the TTS is about to speak; the conversation keeps the text as it was."""


class NoHooks:
    """A session without plugins that listen."""

    async def user_text(self, text: str) -> str:
        """As it is."""
        return text

    async def agent_text(self, text: str) -> str:
        """As it is."""
        return text

    async def before_llm(self, turn: int | None, messages: Sequence[Message]) -> Sequence[Message]:
        """As they are."""
        return messages

    def after_llm(self, turn: int | None, text: str, calls: Sequence[ToolCall]) -> None:
        """Nobody is told."""

    async def before_tts(self, turn: int | None, text: str) -> str:
        """As it is."""
        return text
