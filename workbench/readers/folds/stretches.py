"""Who spoke when, by the session's clock: what is drawn over a waveform, and played by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from workbench.model import events as ev
from workbench.model.events import Entry
from workbench.readers.moments import MomentsFold


@dataclass(frozen=True, slots=True)
class Stretch:
    """Speech of one side without a pause, ms of the session's clock; `end_ms` is None while it goes on.

    `key` says of what it is a part: `u3` of utterance 3, `r7` of reply 7.
    """

    side: Literal["user", "agent"]
    key: str
    start_ms: float
    end_ms: float | None = None


class StretchesFold:
    """A fold: `stretches` of both sides in the order in which they began. It asks `moments`, which must be fed first,
    when a sample was heard."""

    def __init__(self, moments: MomentsFold) -> None:
        self._moments = moments
        self._stretches: list[Stretch] = []
        self._open: dict[str, int] = {}

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Those that there are by now."""
        return tuple(self._stretches)

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        match entry.event:
            case ev.SpeechStarted(utterance=number, at_sample=sample):
                self._begin("user", f"u{number}", sample)
            case ev.SpeechResumed(utterance=number, at_sample=sample):
                self._begin("user", f"u{number}", sample)
            case ev.SpeechPaused(utterance=number, end_sample=sample):
                self._end("user", f"u{number}", sample, entry.t_ms)
            case ev.UtteranceDismissed(utterance=number) | ev.EndOfTurnJudged(utterance=number):
                self._end("user", f"u{number}", None, entry.t_ms)
            case (
                ev.ReplyPlaying(reply=reply, at_sample=sample)
                | ev.ReplyResumed(reply=reply, at_sample=sample)
            ):
                self._begin("agent", f"r{reply}", sample)
            case ev.ReplyPaused(reply=reply, at_sample=sample):
                self._end("agent", f"r{reply}", sample, entry.t_ms)
            case ev.ReplyEnded(reply=reply, end_sample=sample):
                self._end("agent", f"r{reply}", sample, entry.t_ms)
            case _:
                pass

    def _begin(self, side: Literal["user", "agent"], key: str, sample: int) -> None:
        if key not in self._open:
            self._open[key] = len(self._stretches)
            self._stretches.append(Stretch(side, key, self._moments.time_ms(side, sample)))

    def _end(self, side: Literal["user", "agent"], key: str, sample: int | None, t_ms: float) -> None:
        if (index := self._open.pop(key, None)) is not None:
            stretch = self._stretches[index]
            end_ms = t_ms if sample is None else self._moments.time_ms(side, sample)
            self._stretches[index] = replace(stretch, end_ms=max(stretch.start_ms, end_ms))
