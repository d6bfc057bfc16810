"""A reply, and what replies are made with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from workbench.engine.buffer import ReplyAudio
from workbench.engine.flow import Scope
from workbench.engine.guarded import GuardedLlm, GuardedTts
from workbench.engine.hooks import Hooks, NoHooks
from workbench.engine.spoken import Chunk
from workbench.model.audio import Samples, silence
from workbench.model.conversation import Message, Picture, ToolCall, ToolSpec, Usage
from workbench.model.errors import StageError


@dataclass(slots=True)
class Reply:
    """One answer, from its first token to the last sample that was heard of it."""

    id: int
    said: str
    audio: ReplyAudio
    asked: str = ""
    """What was said, as the model is asked it."""
    pictures: tuple[Picture, ...] = ()
    """What the user shows meanwhile."""
    utterance: int | None = None
    turn: int | None = None
    history: int = 0
    """Version of the conversation that it was made on."""
    started_at: float = 0.0
    """Loop time, s."""
    chunks: list[Chunk] = field(default_factory=list)
    steps: list[Message] = field(default_factory=list)
    """Tool calls and their results."""
    usage: Usage = field(default_factory=Usage)
    pieces: int = 0
    """Of text, from the model."""
    failure: StageError | None = None
    confirmed: asyncio.Event = field(default_factory=asyncio.Event)
    """The turn is decided: tools may run."""
    first_token_ms: float = 0.0
    ready_ms: float = 0.0
    """When there was something to play, on the session's clock."""
    granted_ms: float = 0.0
    """When it got the floor."""
    scope: Scope | None = None
    """In which it may be cut."""
    leading: int | None = None
    """Samples before the first audible one; None while none was made."""
    head: Samples = field(default_factory=lambda: silence(0))

    @property
    def text(self) -> str:
        """All of its text so far."""
        return "".join(chunk.text for chunk in self.chunks).strip()

    @property
    def was_cut(self) -> bool:
        """The user wants to hear no more of it."""
        return self.scope is not None and self.scope.was_cut

    @property
    def cost(self) -> Usage:
        """Its usage; as long as the model has not told it, a token for each piece of text."""
        told = self.usage.input_tokens or self.usage.output_tokens
        return self.usage if told else self.usage + Usage(output_tokens=self.pieces)

    @property
    def voiceless(self) -> bool:
        """It can only be read: the TTS failed."""
        return self.failure is not None and self.failure.stage == "tts"


@dataclass(slots=True)
class Asked:
    """A call of a tool that a reply asks for. `say` speaks a text within the reply, or after it; `answer` takes the
    result, as the model will read it, also when the reply is over: it is remembered then."""

    call: ToolCall
    reply: Reply
    say: Callable[[str], None]
    answer: Callable[[str], None]
    began_ms: float | None = None
    """When it was run, noted by whoever runs it; None if it was not."""
    pictures: list[Picture] = field(default_factory=list)
    """To be shown to the model with the result."""


class ToolRunner(Protocol):
    """What runs the tools that a model asks for."""

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """What the model may choose from."""

    async def run(self, asked: Asked) -> None:
        """Call `asked.answer` once, or not at all if cancelled. A StageError ends the turn. A tool with side effects
        waits for `asked.reply.confirmed`."""

    def close(self) -> None:
        """The conversation ends: nothing is waited for any more."""


class NoTools:
    """An agent without tools."""

    specs: Sequence[ToolSpec] = ()

    async def run(self, asked: Asked) -> None:
        """Tell the model that there are none."""
        asked.answer(f"There is no tool called {asked.call.name!r}.")

    def close(self) -> None:
        """Nothing runs."""


class Sight(Protocol):
    """What the user shows."""

    async def look(self, reply: int) -> tuple[Picture, ...]:
        """Pictures of now for that reply, none where there are none. Does not raise, and takes three seconds
        at most."""


class Blind:
    """Nobody shows anything."""

    async def look(self, reply: int) -> tuple[Picture, ...]:
        """Nothing."""
        return ()


@dataclass(slots=True)
class Voices:
    """What replies are made with; `llm` and `tts` may be replaced while a session runs."""

    llm: GuardedLlm
    tts: GuardedTts | None
    tools: ToolRunner
    speakable: Callable[[str], str]
    hooks: Hooks = field(default_factory=NoHooks)
    sight: Sight = field(default_factory=Blind)
