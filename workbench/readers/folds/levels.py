"""What moves while somebody speaks: levels of both sides and who the VAD says speaks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from workbench.model.audio import SILENCE_DB
from workbench.model.events import Entry, Event, Levels, Muted, SessionEnded

VoiceState = Literal["silent", "paused", "speaking"]


@dataclass(frozen=True, slots=True)
class AudioLevels:
    """Levels in whole dBFS (RMS and peak over 100 ms: noise alone is not drawn anew), and who speaks."""

    user_db: float = SILENCE_DB
    user_peak_db: float = SILENCE_DB
    agent_db: float = SILENCE_DB
    agent_peak_db: float = SILENCE_DB
    user: VoiceState = "silent"
    agent: VoiceState = "silent"
    muted: bool = False


class LevelsFold:
    """Feed it every entry in order; `now` is the latest state, its voices aside."""

    def __init__(self) -> None:
        self.now = AudioLevels()
        self._cleaned = (
            False  # the track `user` reports levels, so those of the raw `mic` are not the ones to show
        )

    def feed(self, entry: Entry) -> None:
        """Take one entry in."""
        self.now = self._after(entry.event)

    def _after(self, event: Event) -> AudioLevels:
        match event:
            case Levels(track="agent", rms_db=rms, peak_db=peak):
                return replace(self.now, agent_db=round(rms), agent_peak_db=round(peak))
            case Levels(track=track, rms_db=rms, peak_db=peak):
                self._cleaned |= track == "user"
                shown = track == "user" or not self._cleaned
                return replace(self.now, user_db=round(rms), user_peak_db=round(peak)) if shown else self.now
            case Muted(muted=muted):
                return replace(self.now, muted=muted)
            case SessionEnded():
                return AudioLevels(muted=self.now.muted)
            case _:
                return self.now
