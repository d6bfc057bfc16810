"""The table `[script]` of the settings: what the scripted providers say, and how long they take."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.model.errors import UsageError


class Script(BaseModel):
    """What the profile `scripted` plays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: list[str] = Field(
        default=["Hello there.", "What can you do?", "Tell me more.", "How long did that take?", "Thank you."]
    )
    """What the user is taken to say, utterance by utterance, round and round."""
    agent: list[str] = Field(
        default=[
            "Hello! You said: {said}",
            "I follow a script, so no model is needed. You said: {said}",
            "You said: {said} Look at the waterfall to see where the time went.",
            "I heard you say: {said} That was quick, was it not?",
        ]
    )
    """What the agent answers, turn by turn, round and round; `{said}` stands for what the user said."""
    partials: bool = True
    """Write words while the user speaks."""
    stt_ms: float = Field(0, ge=0)
    """Time between a word and its text, ms."""
    first_token_ms: float = Field(0, ge=0)
    """Time to the first word of an answer, ms."""
    token_ms: float = Field(0, ge=0)
    """Time between two words of an answer, ms."""
    first_byte_ms: float = Field(0, ge=0)
    """Time to the first sound of a clause, ms."""
    leading_silence_ms: float = Field(0, ge=0)
    """Silence before the voice in each clause, ms."""

    @classmethod
    def of(cls, table: Mapping[str, Any] | None) -> Self:
        """The script in a table, by default a small one. Raises UsageError for what cannot be used."""
        try:
            return cls.model_validate(dict(table or {}))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            near = get_close_matches(key, cls.model_fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"keys: {', '.join(cls.model_fields)}"
            reason = "is no setting" if first["type"] == "extra_forbidden" else first["msg"].lower()
            raise UsageError(f"[script] {key}: {reason}", hint) from None
