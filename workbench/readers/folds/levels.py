"""What moves while somebody speaks: levels of both sides and who the VAD says speaks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from workbench.model.audio import SILENCE_DB
from workbench.model.events import Entry, Levels, Muted, SessionEnded

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
    """A fold: `now` is the latest state, who speaks aside."""

    def __init__(self) -> None:
        self.now = AudioLevels()
        self._cleaned = False
        """The track `user` reports levels, so those of the raw `mic` are not the ones to show."""

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        match entry.event:
            case Levels(track="agent", rms_db=rms, peak_db=peak):
                self.now = replace(self.now, agent_db=round(rms), agent_peak_db=round(peak))
            case Levels(track=track, rms_db=rms, peak_db=peak):
                self._cleaned |= track == "user"
                if track == "user" or not self._cleaned:
                    self.now = replace(self.now, user_db=round(rms), user_peak_db=round(peak))
            case Muted(muted=muted):
                self.now = replace(self.now, muted=muted)
            case SessionEnded():
                self.now = AudioLevels(muted=self.now.muted)
            case _:
                pass
