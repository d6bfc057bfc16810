"""The interfaces of the stages: source, VAD, turn detector, STT, LLM, TTS and sink.

Providers are entered with `async with` by the session before the first turn and left at its end; what they open (a
socket, a worker process) they open there or in a call, and close on the way out. Every call can be cancelled at any
await and then ends at once. Derive from these classes: what need not be implemented has a default. Errors are
`StageError`s (`workbench.model.errors`), so that the engine knows whether to try again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from workbench.engine.settings import TurnSettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import Frame, Samples
from workbench.model.conversation import Message, ToolCall, ToolSpec, Transcript, Usage, Word
from workbench.model.events import Part

Pull = Callable[[int], Samples]
"""Gives the next n samples of the track `agent` (24 kHz), silence where nobody speaks. Never blocks, callable from any
thread; the n samples count as handed over."""


Transit = Sequence[tuple[Part, float]]
"""The parts of a sample's transit between the user and the session, in order, and when each ends, on the loop's clock,
s. They become spans of the waterfall."""


class Source(Protocol):
    """Where the user's voice comes from. Derive from it: what is not abstract has a default."""

    name: str
    """The device or file, for people."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        return

    def frames(self) -> AsyncIterator[Frame]:
        """Frames of 10 or 20 ms at 16 kHz with ascending positions from 0, until the source ends (a file) or is left.

        Yields a frame when it is due: not before its last sample would have been spoken. A gap in the positions is
        sound that was lost; it is counted, never stretched.
        """

    def time_of(self, sample: int) -> float:
        """Return when that sample of `user` was spoken into the microphone, on the loop's clock, s."""

    def transit(self, sample: int) -> Transit:
        """Return the transit from the user's mouth to the session; by default there is none."""
        return ()


class Sink(Protocol):
    """Where the agent's voice goes. It pulls. Derive from it: what is not abstract has a default."""

    name: str
    """The device or file, for people."""
    disconnected: bool = False
    """Nobody can be reached for now and that will change: what is to be said waits. A sink that takes no sound without
    saying so is replaced."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        return

    async def play(self, pull: Pull) -> None:
        """Pull samples at the pace at which they are played, from track position 0 on, until cancelled."""

    def wake(self) -> None:
        """There is something to play: a sink that dozed through silence pulls at once. Called on the loop's thread."""
        return

    def time_of(self, sample: int) -> float:
        """Return when that sample of `agent` leaves (left, will leave) the speaker, on the loop's clock, s."""

    def transit(self, sample: int) -> Transit:
        """Return the transit from the session to the user's ear; by default one buffer."""
        return [("output_buffer", self.time_of(sample))]


class Vad(Protocol):
    """Voice activity detection: a probability for each window. Runs inline, so it must be cheap (< 100 µs)."""

    window: int
    """Samples a window, at 16 kHz."""

    def __call__(self, samples: Samples) -> float:
        """Return the probability (0…1) that a window of exactly `window` samples is speech; windows come in order."""

    def reset(self) -> None:
        """Forget earlier windows."""


class TurnDetector(Protocol):
    """Endpointing: how long a silence must last until the user has finished. Derive from it: what is not abstract has a
    default."""

    languages: tuple[str, ...] = ()
    """Languages that it knows, as first parts of tags (`en`, `pt`); empty: any. In others (`utterance.language`) it
    abstains: `assess` is not called, and what it waits goes by silence alone."""
    assesses: bool = False
    """Whether it has a model that takes its time: then `assess` is called."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        return

    async def warm(self) -> None:
        """Do once what makes the first call slow."""
        return

    def hold_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """Return the silence before which no reply is heard, ms from `utterance.speech_end`. A reply that is ready
        sooner, as the turn ended early, is held back, and taken back where the user goes on."""
        return 0.0

    async def assess(self, utterance: Utterance) -> float | None:
        """Return the probability (0…1) that the turn is over, by a model off the loop; None for no opinion. Called in a
        task when speech pauses, once a pause. `utterance.end_probability` is what came of it, for as long as it lasts.
        """
        return None

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        """Return the silence after which the turn is over, ms from `utterance.speech_end`. Called at every frame of a
        pause, so that a detector can use time, audio (`utterance.audio()`), words (`utterance.transcript`), and what
        the agent had asked (`utterance.question`)."""

    def paused(self, ms: float, *, went_on: bool) -> None:
        """Learn that a pause within a turn was `ms` long (`went_on`), or a turn ended with it."""


class ModelProvider(Protocol):
    """What the providers of all model stages share."""

    name: str
    onboard: bool = False
    """Whether it computes on this machine, where one model is in the way of another."""

    @property
    def starts(self) -> int:
        """How often it has started, for a model that may have to start again by itself: its next turn is cold."""
        return 0

    @property
    def loads(self) -> bool:
        """Whether a server may have to load its model for the next request, which is then waited for."""
        return False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        return

    async def warm(self) -> None:
        """Do once what makes the first call slow."""
        return

    def use_language(self, language: str) -> None:
        """The conversation goes on in another language, a tag like `de`: take another voice, if there is one."""
        return


class Stt(ModelProvider, Protocol):
    """Speech to text."""

    partials: bool
    """Whether it writes transcripts while the user speaks, with a confidence."""

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
        """Read the utterance until it is over, and return its final transcript.

        Partial ones are written back with `utterance.write`. With `eager`, a provider also transcribes at each pause
        (`utterance.state == "paused"`) what was said so far, so that a reply can be prepared; the transcript's
        `upto_sample` is then >= `utterance.speech_end`. If nothing was said since, that one is the final one: no work
        is done twice. Silence gives an empty text.
        """


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the model's answer."""

    text: str
    cpu_wait_ms: float = 0.0
    """How long a model on board has waited for a CPU since the piece before."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Work of the model that nobody hears: a piece of its thinking, or of a call's arguments; of no kind, a sign of
    life. Any keeps deadlines from passing; thinking is shown to who asks for it, and never spoken or remembered."""

    kind: Literal["", "thinking", "arguments"] = ""
    text: str = ""


ALIVE = Progress()
"""A sign of life."""


@dataclass(frozen=True, slots=True)
class Retraction:
    """All text of the answer so far turned out to be thinking: what was not spoken yet is dropped."""


LlmPart = Text | ToolCall | Usage | Progress | Retraction
"""What an LLM streams: pieces of text, whole tool calls, progress, and at the end what it cost."""


class Llm(ModelProvider, Protocol):
    """A language model."""

    sees: bool = False
    """Whether it is given pictures (`message.pictures`)."""

    def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> AbstractAsyncContextManager[AsyncIterator[LlmPart]]:
        """Stream an answer to the messages; leaving the context stops it at once, on the server too."""

    async def prepare(self, messages: Sequence[Message]) -> None:
        """Read ahead what stands before the user's words in the next request, while they are spoken. Asked of providers
        on board only; what it raises is ignored."""
        return


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of spoken text at the TTS's rate; `words` of this piece where the model gives their times, counted from
    the first sample of the whole `speak` call."""

    samples: Samples
    words: tuple[Word, ...] = ()
    cpu_wait_ms: float = 0.0
    """How long a model on board has waited for a CPU since it was asked."""


class Tts(ModelProvider, Protocol):
    """Text to speech."""

    rate: int
    """Hz of what it speaks; the engine resamples to 24 kHz."""

    def speak(self, text: str) -> AbstractAsyncContextManager[AsyncIterator[Speech]]:
        """Stream the sound of a clause or a few sentences of plain, speakable text; leaving the context stops it."""
