"""What a pipeline is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from workbench.engine.guarded import GuardedStt
from workbench.engine.interfaces import Sink, Source, TurnDetector, Vad
from workbench.engine.reply import Voices
from workbench.trace.trace import Trace
from workbench.trace.track import LiveTrack


@dataclass(slots=True)
class Stages:
    """What the pipeline runs on. `stt` and `voices` may be replaced while it runs."""

    source: Source
    sink: Sink
    vad: Vad
    turn: TurnDetector
    stt: GuardedStt | None
    voices: Voices
    speculate: bool
    """Whether the models run on board, so that `reply.speculate = "auto"` means on."""
    fallback_sink: Callable[[int], Sink]
    """Makes a sink that plays to nobody from a position on `agent` on, for when `sink` fails."""
    cold: bool = False
    """A provider did not warm up: the next turn is marked."""

    _starts: int = 0

    def started_anew(self) -> bool:
        """Whether a model was loaded (again) since the last call."""
        models = (self.stt, self.voices.llm, self.voices.tts)
        was, self._starts = self._starts, sum(model.starts for model in models if model)
        return self._starts != was

    def speculates(self, wish: Literal["auto", "on", "off"]) -> bool:
        """Whether replies are prepared before the turn is decided."""
        return wish == "on" or (wish == "auto" and self.speculate)


@dataclass(frozen=True, slots=True)
class Tracks:
    """The tracks that are written; `mic` where it differs from `user`."""

    user: LiveTrack
    agent: LiveTrack
    mic: LiveTrack | None = None


@dataclass(frozen=True, slots=True)
class Manner:
    """What the agent does of itself: words for a long silence."""

    on_silence: str | None = None


def session_ms(trace: Trace, loop_time: float) -> float:
    """A time of the loop's clock (s) on the session's, ms."""
    return trace.now() + (loop_time - asyncio.get_running_loop().time()) * 1000
