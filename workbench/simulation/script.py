"""The table `[script]` of the settings: the texts and delays of the scripted providers."""

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
    """A tool call that the scripted LLM makes when the user says certain words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: str
    """A regular expression, found anywhere in what the user says, in any case."""
    tool: str
    """The name of the tool."""
    arguments: dict[str, Any] = {}
    """Its arguments; in texts, `{said}` and the named groups of `when` (`(?P<city>\\w+)` is `{city}`) are filled in."""
    then: str = "{result}"
    """The agent's words with the result; `{said}` and the groups are filled in too."""

    @field_validator("when")
    @classmethod
    def _is_expression(cls, when: str) -> str:
        try:
            re.compile(when)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return when

    def match(self, utterance: str) -> dict[str, str] | None:
        """Return the words to fill in, None if the user says something else."""
        match = re.search(self.when, utterance, re.IGNORECASE)
        if match is None:
            return None
        return {"said": utterance, **{name: text or "" for name, text in match.groupdict().items()}}


class Script(BaseModel):
    """The script of the profile `scripted`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: list[str] = Field(
        default=["Hello there.", "What can you do?", "Tell me more.", "How long did that take?", "Thank you."]
    )
    """The user's words, utterance by utterance, round and round."""
    spoken: list[tuple[str, int, int]] | None = None
    """The user's words with their first and last sample (16 kHz), as a score has them, instead of `user`."""
    agent: list[str] = Field(
        default=[
            "Hello! You said: {said}",
            "I follow a script, so no model is needed. You said: {said}",
            "You said: {said} Look at the waterfall to see where the time went.",
            "I heard you say: {said} That was quick, was it not?",
        ]
    )
    """The agent's answers, turn by turn, round and round; `{said}` stands for the user's words."""
    answers: list[tuple[str, str]] | None = None
    """Answers by the user's words (or a part of them), instead of `agent`; of several the one nearest in order."""
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
        """Return the script in a table, by default a small one. Raises UsageError for wrong settings."""
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
        """Return the answer to these messages: a choice's call, then its words; else the next text."""
        utterance = next((message.text for message in reversed(messages) if message.role == "user"), "")
        for choice in self.choose:
            if (words := choice.match(utterance)) is None:
                continue
            if messages[-1].role == "tool":
                result = messages[-1].text
                return question_in(result) or fill(choice.then, {**words, "result": result})
            arguments = json.dumps(_fill_all(choice.arguments, words), ensure_ascii=False)
            turn = sum(message.role == "user" for message in messages)
            return [ToolCall(f"call_{turn}", choice.tool, arguments)]
        turn = sum(message.role == "user" for message in messages) - 1
        answer = self.answer_to(utterance, turn)
        if answer is not None:
            return answer
        return self.agent[turn % len(self.agent)] if self.agent else ""

    def answer_to(self, utterance: str, turn: int) -> str | None:
        """Return the one of `answers` to the words of turn number `turn` (from 0); None if there is none.

        An utterance may be a part of a line, or more than one.
        """
        words, lines = utterance.casefold().strip(), self.answers or []
        matches = [
            at for at, (line, _) in enumerate(lines) if words in line.casefold() or line.casefold() in words
        ]
        return lines[min(matches, key=lambda at: abs(at - turn))][1] if words and matches else None


def fill(text: str, words: Mapping[str, str]) -> str:
    """Return the text with `{name}` replaced; other braces stay."""
    return re.sub(r"\{(\w+)\}", lambda match: words.get(match[1], match[0]), text)


def _fill_all(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return fill(value, words)
    if isinstance(value, Mapping):
        return {key: _fill_all(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill_all(item, words) for item in value]
    return value
