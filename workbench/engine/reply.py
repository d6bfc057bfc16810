"""A reply in the making, and the seams to what it calls: tools, and pictures of what the user shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from workbench.engine.buffer import ReplyAudio
from workbench.engine.guard import Failures
from workbench.engine.played_text import ReplyChunk, split_made
from workbench.engine.tasks import CancelScope
from workbench.engine.utterance import Utterance
from workbench.model.audio import Samples, silence
from workbench.model.conversation import NO_USAGE, Message, Picture, ToolCall, ToolSpec, Usage
from workbench.model.errors import StageError
from workbench.model.events import Part, Span
from workbench.model.price import UNKNOWN, Price


@dataclass(slots=True)
class Reply:
    """One answer, from its first token to the last sample of it that is played."""

    id: int
    user_text: str
    """What the user said, as transcribed or typed."""
    audio: ReplyAudio
    prompt_text: str = ""
    """`user_text` as the model is sent it: plugins may change it."""
    pictures: tuple[Picture, ...] = ()
    """Of what the user shows, sent with it."""
    answers: Utterance | None = None
    """What it answers; None where the agent speaks of its own accord."""
    segments: int = 0
    """How many segments of the utterance it answers."""
    turn: int | None = None
    history: int = 0
    """Version of the conversation that it was made on."""
    started_at: float = 0.0
    """Loop time, s."""
    chunks: list[ReplyChunk] = field(default_factory=list)
    steps: list[Message] = field(default_factory=list)
    """Tool calls and their results."""
    usage: Usage = NO_USAGE
    answer_price: Price | None = None
    """Of the answer that a model has begun and not ended."""
    speech_price: Price = UNKNOWN
    pieces: int = 0
    """Pieces of text that the model has streamed."""
    failure: StageError | None = None
    may_speak: asyncio.Event = field(default_factory=asyncio.Event)
    """The TTS may be asked: at once where it costs nothing, else once the turn is decided."""
    commit_due: bool = False
    """A tool with side effects waits for the turn to be committed."""
    committed: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing reopens the turn any more: it is the answer."""
    on_audible: Callable[[], None] = lambda: None
    """Called when the first audible sample was handed to the sink."""
    first_token_ms: float = 0.0
    cpu_wait_ms: float = 0.0
    """How long the LLM, on board, has waited for a CPU since then."""
    ready_ms: float = 0.0
    """When there was something to play, on the session's clock."""
    granted_ms: float = 0.0
    """When it took the floor."""
    scope: CancelScope | None = None
    """In which it is made, and cancelled by an interruption."""
    first_sample: int | None = None
    """Position on `agent` of its first sample; None until it plays."""
    leading: int | None = None
    """Samples before the first audible one; None while none was made."""
    head: Samples = field(default_factory=lambda: silence(0))

    voice: str = ""
    """The TTS that spoke last."""
    failed_models: Failures = field(default_factory=Failures)
    failed_voices: Failures = field(default_factory=Failures)
    """Who failed is not asked for the rest of it, so that it has one voice and waits once."""
    written: bool = False
    """There was no voice when it began, and is none: it is read."""

    @property
    def utterance(self) -> int | None:
        """The number of the utterance that it answers."""
        return self.answers.id if self.answers else None

    async def commit(self) -> None:
        """Wait until the turn is over and committed, for what cannot be taken back."""
        self.commit_due = True
        if self.answers is not None:
            self.answers.mark()
            await self.committed.wait()

    @property
    def text(self) -> str:
        """All of its text so far."""
        return "".join(chunk.text for chunk in self.chunks).strip()

    def span(self, part: Part, start_ms: float, end_ms: float, provider: str = "") -> Span:
        """Return a part of its waterfall."""
        times = round(start_ms, 3), round(end_ms, 3)
        return Span(part, *times, self.id, self.utterance, self.turn, provider)

    @property
    def was_cut(self) -> bool:
        """Whether it was interrupted."""
        return self.scope is not None and self.scope.was_cut

    def begin_answer(self, price: Price) -> None:
        """A model begins an answer; it says at its end what it used."""
        self.usage, self.answer_price = self.usage + self._unreported, price

    def end_answer(self, usage: Usage) -> None:
        """Count what a model says that it used."""
        self.usage += (self.answer_price or UNKNOWN).priced(usage)
        self.answer_price = None

    def begin_speech(self, price: Price, spoken: str) -> None:
        """A voice begins a text."""
        self.speech_price = price
        self.usage += price.priced(Usage(tts_characters=len(spoken)))

    @property
    def cost(self) -> Usage:
        """Its usage; until the model reports it, a token for each piece of text."""
        usage = self.usage + self._unreported
        if usage.input_tokens or usage.output_tokens:
            return usage
        return replace(usage, output_tokens=self.pieces)

    @property
    def _unreported(self) -> Usage:
        """The usage of an answer that was cut before its model could say it."""
        return NO_USAGE if self.answer_price is None else self.answer_price.priced(Usage())

    @property
    def voiceless(self) -> bool:
        """Whether its TTS failed, so that it can only be read."""
        return self.written or (self.failure is not None and self.failure.stage == "tts")

    def forget_sound(self, chunk: ReplyChunk) -> None:
        """Begin its last chunk anew, of which nothing was played."""
        chunk.made, chunk.voice_start = 0, None
        chunk.words.clear()
        if self.leading is None or self.leading >= chunk.start:
            self.leading, self.head = None, silence(chunk.start)

    def break_off(self, chunk: ReplyChunk) -> tuple[ReplyChunk, str]:
        """End its last chunk where its sound ends; return one with the rest of its text, and what is lost of it."""
        chunk.text, lost, rest = split_made(chunk, self.chunks[:-1])
        chunk.spoken_words = len(chunk.words)
        chunk.end = chunk.start + chunk.made
        self.chunks.append(ReplyChunk(rest, start=chunk.end))
        return self.chunks[-1], lost


@dataclass(slots=True)
class ToolInvocation:
    """A call of a tool by the model. `say` speaks a text within the reply, or after it; `answer` takes the result for
    the model, also after the end of the reply: it goes into the conversation then."""

    call: ToolCall
    reply: Reply
    say: Callable[[str], None]
    answer: Callable[[str], None]
    began_ms: float | None = None
    """When it started, set by the runner; None until then."""
    pictures: list[Picture] = field(default_factory=list)
    """Sent to the model with the result."""


class ToolRunner(Protocol):
    """Runs the tools that a model calls."""

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """The tools that the model may choose from."""

    async def run(self, invocation: ToolInvocation) -> None:
        """Run the tool and call `invocation.answer` once, or not at all if cancelled. A StageError ends the turn. A
        tool with side effects waits for `invocation.reply.commit()`."""

    def close(self) -> None:
        """Stop waiting for any tool: the conversation ends."""


class NoTools:
    """An agent without tools."""

    specs: Sequence[ToolSpec] = ()

    async def run(self, invocation: ToolInvocation) -> None:
        """Answer that there is no such tool."""
        invocation.answer(f"There is no tool called {invocation.call.name!r}.")

    def close(self) -> None:
        """Nothing runs."""


class Vision(Protocol):
    """Pictures of what the user shows."""

    async def look(self, reply: int) -> tuple[Picture, ...]:
        """Return pictures of now for that reply, () where there are none. Does not raise, and takes three seconds at
        most."""


class NoVision:
    """The user shows nothing."""

    async def look(self, reply: int) -> tuple[Picture, ...]:
        """Return no picture."""
        return ()
