"""The conversation as an LLM is sent it, and the values that STT, LLM and TTS exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by the model: `arguments` is the model's own JSON text, not yet validated."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A still picture for a model that sees. `file` is its name in the recording, relative to the session's folder;
    `jpeg` is empty where the picture is only remembered."""

    jpeg: bytes = field(repr=False)
    width: int
    height: int
    file: str


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of the conversation. `cut` marks a reply that the user did not hear to its end. `pictures` are shown
    with what the user says, or with the result of a tool."""

    role: Role
    text: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    cut: bool = False
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word; `start_ms` and `end_ms` count from the first sample of the chunk it was spoken in."""

    text: str
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What an STT made of an utterance.

    `upto_sample`: position on the `user` track up to which the audio was taken into account.
    `confidence`: 0…1, None where the provider gives none; `stable`: the text so far will not change any more.
    `cpu_wait_ms`: how long a model on board waited for a CPU meanwhile.
    """

    text: str
    upto_sample: int
    final: bool = False
    stable: bool = False
    confidence: float | None = None
    cpu_wait_ms: float = 0.0
    sent_s: float | None = None
    """Sound that was sent to an API for it, s: more where pauses were transcribed too; None if it is its own."""
    language: str = ""
    """The language that was heard, a tag like `de`; empty where that was not to be found out, or is not sure."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a reply cost: tokens, seconds of transcribed and of synthesized sound, spoken characters, and USD as far as
    prices are known; `unpriced` where that of a part is not."""

    input_tokens: int = 0
    output_tokens: int = 0
    tts_seconds: float = 0.0
    cached_tokens: int = 0
    """Of the input, those that the server had already read before."""
    stt_seconds: float = 0.0
    tts_characters: int = 0
    cost: float = 0.0
    unpriced: bool = True

    def to_json(self) -> dict[str, float | None]:
        """Return it as events have it: `cost` in USD, None where it is not known; `cost_at_least` as far as it is."""
        cost = round(self.cost, 8)
        return {
            "input_tokens": self.input_tokens,
            "cached_tokens": self.cached_tokens,
            "output_tokens": self.output_tokens,
            "stt_seconds": round(self.stt_seconds, 3),
            "tts_seconds": round(self.tts_seconds, 3),
            "tts_characters": self.tts_characters,
            "cost": None if self.unpriced else cost,
            "cost_at_least": cost,
        }

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.tts_seconds + other.tts_seconds,
            self.cached_tokens + other.cached_tokens,
            self.stt_seconds + other.stt_seconds,
            self.tts_characters + other.tts_characters,
            self.cost + other.cost,
            self.unpriced or other.unpriced,
        )


NO_USAGE = Usage(unpriced=False)
"""Nothing, which costs nothing."""


@dataclass(slots=True)
class Conversation:
    """The history that the LLM sees: what was said and *played*. `version` grows with every change."""

    instructions: str = ""
    messages: list[Message] = field(default_factory=list)
    version: int = 0
    note: str = ""
    """A sentence behind the instructions: the language in which to answer."""

    def add(self, *messages: Message, keep: int | None = None) -> None:
        """Append messages; now and then the older ones are dropped, with `keep` down to so many.

        A picture is sent once, in the turn that it belongs to; afterwards only its file is known.
        """
        if not messages:
            return
        self.messages.extend(
            replace(message, pictures=tuple(replace(picture, jpeg=b"") for picture in message.pictures))
            if message.pictures
            else message
            for message in messages
        )
        self.version += 1
        if keep is not None and len(self.messages) > 2 * keep + 2:
            self.messages[:] = self.latest(keep)

    def instruct(self, instructions: str) -> None:
        """Replace the system prompt."""
        self.instructions = instructions
        self.version += 1

    def latest(self, keep: int) -> list[Message]:
        """Return at most the last `keep` messages; where some are left out, from a message of the user on."""
        if len(self.messages) <= keep:
            return list(self.messages)
        start = len(self.messages) - keep
        while start < len(self.messages) and self.messages[start].role != "user":
            start += 1
        return self.messages[start:]

    def prompt(self, text: str, *, keep: int, pictures: tuple[Picture, ...] = ()) -> list[Message]:
        """Return the messages to send for what the user just said (and shows), with at most the last `keep` before it.

        A history that is cut begins with what the user said; one that is whole may begin with a greeting.
        """
        instructions = "\n\n".join(filter(None, (self.instructions, self.note)))
        system = [Message("system", instructions)] if instructions else []
        return [*system, *self.latest(keep), Message("user", text, pictures=pictures)]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as it is described to the model; `parameters` is a JSON schema, with `strict` an enforceable one."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    strict: bool = False
