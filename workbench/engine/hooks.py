"""The hooks by which plugins look into a reply while it is generated, and change it."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.model.conversation import Message, ToolCall


class Hooks:
    """The hooks of a session without plugins: they change nothing.

    `turn` is None until the turn is decided. The engine awaits them; an implementation returns in time and never
    raises, whatever a plugin does.
    """

    async def user_text(self, text: str) -> str:
        """Return the user's words as they go into the conversation and to the LLM."""
        return text

    async def agent_text(self, text: str) -> str:
        """Return a chunk of the LLM's text as it goes into the conversation and to the TTS."""
        return text

    async def before_llm(self, turn: int | None, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages as they go to the LLM, in every step of a reply."""
        return messages

    def after_llm(self, turn: int | None, text: str, calls: Sequence[ToolCall]) -> None:
        """Take the LLM's answer in one step. Returns at once."""

    async def before_tts(self, turn: int | None, text: str) -> str:
        """Return a text as it goes to the TTS; the conversation keeps it as it was."""
        return text
