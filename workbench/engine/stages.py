"""The stages that a pipeline runs on, and the tracks that it writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from workbench.engine.guarded import GuardedLlm, GuardedStt, GuardedTts
from workbench.engine.hooks import Hooks
from workbench.engine.interfaces import Sink, Source, TurnDetector, Vad
from workbench.engine.reply import NoVision, ToolRunner, Vision
from workbench.model.errors import foreign
from workbench.model.price import UNKNOWN, Price
from workbench.trace.trace import Trace
from workbench.trace.track import LiveTrack


@dataclass(slots=True)
class Stages:
    """The stages of a conversation; `stt`, `llm` and `tts` may be swapped while it runs."""

    source: Source
    sink: Sink
    vad: Vad
    turn: TurnDetector
    stt: GuardedStt | None
    llm: GuardedLlm
    tts: GuardedTts | None
    tools: ToolRunner
    speakable: Callable[[str], str]
    """Rewrites text as it is to be spoken; `speakable_in` makes it for another language."""
    onboard: frozenset[str]
    """The stages whose models run on board, where it costs nothing to begin early."""
    fallback_sink: Callable[[int], Sink]
    """Makes a sink without a listener, from a position on `agent` on, for when `sink` fails."""
    language: str = "en"
    """The language that the agent speaks, a tag like `de` or `pt-BR`: how its text is cut into sentences."""
    detects_language: bool = False
    """The language is that of what the user says."""
    speakable_in: Callable[[str], Callable[[str], str]] | None = None
    hooks: Hooks = field(default_factory=Hooks)
    vision: Vision = field(default_factory=NoVision)
    cold: bool = False
    """A provider did not warm up: the next turn is marked."""

    prices: Mapping[tuple[str, str], Price] = field(default_factory=dict)
    """What calls cost, by stage and name of the provider."""

    _starts: int = 0

    def spoken(self, text: str) -> str:
        """Return what is spoken of a text; StageError where the agent's own function fails."""
        with foreign("speakable", "tts"):
            spoken = self.speakable(text)
            if not isinstance(spoken, str):
                raise TypeError(f"it returned {type(spoken).__name__}, no text")
            return spoken

    def use_language(self, language: str) -> None:
        """Go over to another language, from the next reply on."""
        self.language = language
        if self.speakable_in is not None:
            self.speakable = self.speakable_in(language)
        for model in (self.stt, self.tts):
            for guard in model.guards if model else ():
                with foreign(guard.name, guard.stage):
                    guard.provider.use_language(language)

    def started_anew(self) -> bool:
        """Whether a model was loaded (again) since the last call."""
        models = (self.stt, self.llm, self.tts)
        before, self._starts = self._starts, sum(model.starts for model in models if model)
        return self._starts != before

    def early(self, stage: Literal["stt", "llm", "tts"], choice: Literal["auto", "on", "off"]) -> bool:
        """Whether a stage works for a reply before the turn is decided."""
        return choice == "on" or (choice == "auto" and (stage == "llm" or stage in self.onboard))

    def price(self, stage: str, name: str) -> Price:
        """Return what a call of a provider costs, as far as that is known."""
        return self.prices.get((stage, name), UNKNOWN)


@dataclass(frozen=True, slots=True)
class Tracks:
    """The tracks that are written; `mic` where it differs from `user`."""

    user: LiveTrack
    agent: LiveTrack
    mic: LiveTrack | None = None


def session_ms(trace: Trace, loop_time: float) -> float:
    """Return a time of the loop's clock (s) on the session's clock, ms."""
    return trace.now() + (loop_time - asyncio.get_running_loop().time()) * 1000
