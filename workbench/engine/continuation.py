"""The answer of a model that goes on where another one broke off."""

from __future__ import annotations

from workbench.model.conversation import Message, ToolCall

GO_ON = "Your answer broke off here. Go on exactly where it stopped, in the same language, and repeat nothing of it."


class ModelAnswer:
    """What a model has answered so far. `said` is what another one had said before; it is not said again."""

    def __init__(self, prefix: str) -> None:
        self.model = ""
        """Who answers; empty until it has begun."""
        self.text = ""
        self.calls: list[ToolCall] = []
        self._said = prefix.strip()
        self._held = ""
        self._spaced = prefix[-1:].isspace()

    def add(self, text: str) -> str:
        """Add a piece, and return what of it is to be said: a model that begins anew may repeat what was said."""
        if self._said:
            self._held += text
            held = self._held.lstrip()
            if self._said.startswith(held):
                return ""
            text = held.removeprefix(self._said) if held.startswith(self._said) else self._held
            self._said = ""
        if self._spaced:
            text = text.lstrip()
            self._spaced = not text
        self.text += text
        return text


def going_on(prefix: str) -> list[Message]:
    """Return the messages that have a model go on after what was said; none where nothing was."""
    return [Message("assistant", prefix.strip()), Message("user", GO_ON)] if prefix.strip() else []
