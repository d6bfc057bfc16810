"""The table `[script]` of the settings: what the scripted providers say, and how long they take."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from workbench.model.conversation import Message, ToolCall
from workbench.model.errors import UsageError
from workbench.tools.consent import question_in


class Choice(BaseModel):
    """A tool that is called when the user says something."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: str
    """A regular expression, found anywhere in what the user says, in any case."""
    tool: str
    """The name of the tool."""
    arguments: dict[str, Any] = {}
    """Its arguments; in texts, `{said}` and the named groups of `when` (`(?P<city>\\w+)` is `{city}`) are filled in."""
    then: str = "{result}"
    """What the agent says with the result; `{said}` and the groups are filled in too."""

    @field_validator("when")
    @classmethod
    def _is_expression(cls, when: str) -> str:
        try:
            re.compile(when)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return when

    def heard(self, said: str) -> dict[str, str] | None:
        """What there is to fill in, None if that is not what the user says."""
        found = re.search(self.when, said, re.IGNORECASE)
        if found is None:
            return None
        return {"said": said, **{name: text or "" for name, text in found.groupdict().items()}}


class Script(BaseModel):
    """What the profile `scripted` plays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: list[str] = Field(
        default=["Hello there.", "What can you do?", "Tell me more.", "How long did that take?", "Thank you."]
    )
    """What the user is taken to say, utterance by utterance, round and round."""
    spoken: list[tuple[str, int, int]] | None = None
    """What is said from which sample up to which (16 kHz), where a score knows it; `user` is not used then."""
    agent: list[str] = Field(
        default=[
            "Hello! You said: {said}",
            "I follow a script, so no model is needed. You said: {said}",
            "You said: {said} Look at the waterfall to see where the time went.",
            "I heard you say: {said} That was quick, was it not?",
        ]
    )
    """What the agent answers, turn by turn, round and round; `{said}` stands for what the user said."""
    answers: list[tuple[str, str]] | None = None
    """What is answered to which words (or a part of them), instead of `agent`; of several the one nearest in order."""
    choose: list[Choice] = []
    """Tools that the agent calls, by what the user says; the first that fits. Otherwise it answers as `agent` says."""
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

    def answer(self, messages: Sequence[Message]) -> str | list[str | ToolCall]:
        """What the agent says to these messages: a choice's call, then its words; else the text whose turn it is."""
        said = next((message.text for message in reversed(messages) if message.role == "user"), "")
        for choice in self.choose:
            if (words := choice.heard(said)) is None:
                continue
            if messages[-1].role == "tool":
                told = messages[-1].text
                return question_in(told) or filled(choice.then, {**words, "result": told})
            arguments = json.dumps(_filled_all(choice.arguments, words), ensure_ascii=False)
            turn = sum(message.role == "user" for message in messages)
            return [ToolCall(f"call_{turn}", choice.tool, arguments)]
        asked = sum(message.role == "user" for message in messages)
        fitting = self.fitting(said, asked - 1)
        if fitting is not None:
            return fitting
        return self.agent[(asked - 1) % len(self.agent)] if self.agent else ""

    def fitting(self, said: str, turn: int) -> str | None:
        """The one of `answers` to what was said as turn number `turn` (from 0); None if there is none.

        An utterance may be a part of a line, or more than one.
        """
        words, lines = said.casefold().strip(), self.answers or []
        fitting = [
            at for at, (line, _) in enumerate(lines) if words in line.casefold() or line.casefold() in words
        ]
        return lines[min(fitting, key=lambda at: abs(at - turn))][1] if words and fitting else None


def filled(text: str, words: Mapping[str, str]) -> str:
    """The text with `{name}` replaced; other braces stay."""
    return re.sub(r"\{(\w+)\}", lambda found: words.get(found[1], found[0]), text)


def _filled_all(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return filled(value, words)
    if isinstance(value, Mapping):
        return {key: _filled_all(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled_all(item, words) for item in value]
    return value
