"""The panel, and the fold that it shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.text import Text
from textual.widgets import Static

from workbench.spi import Entry, events


@dataclass
class Share:
    """How long each side has talked, ms."""

    user_ms: float = 0.0
    agent_ms: float = 0.0
    now_ms: float = 0.0
    _user_since: float | None = None
    _agent_since: float | None = None

    def feed(self, entry: Entry) -> None:
        """Take one entry in."""
        t_ms = self.now_ms = entry.t_ms
        match entry.event:
            case events.SpeechStarted() | events.SpeechResumed():
                self._user_since = t_ms if self._user_since is None else self._user_since
            case events.SpeechPaused() | events.TurnDecided() | events.UtteranceDismissed():
                if self._user_since is not None:
                    self.user_ms += t_ms - self._user_since
                self._user_since = None
            case events.ReplyPlaying() | events.ReplyResumed():
                self._agent_since = t_ms if self._agent_since is None else self._agent_since
            case events.ReplyPaused() | events.ReplyEnded():
                if self._agent_since is not None:
                    self.agent_ms += t_ms - self._agent_since
                self._agent_since = None
            case _:
                pass


class TalkShare(Static):
    """Two bars."""

    DEFAULT_CSS = "TalkShare { height: auto; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._share = Share()

    def feed(self, entries: Iterable[Entry]) -> None:
        """Take new entries in, and draw."""
        for entry in entries:
            self._share.feed(entry)
        self.update(self._draw())

    def _draw(self) -> Text:
        share = self._share
        total = max(share.user_ms + share.agent_ms, 1.0)
        width = max(10, self.size.width - 22)
        lines = []
        for side, ms in (("you", share.user_ms), ("agent", share.agent_ms)):
            bar = "█" * round(width * ms / total)
            lines.append(f"{side:<6}{ms / 1000:6.1f} s {ms / total:4.0%} {bar}")
        return Text("\n".join(lines))
