"""What the model thought in each turn, where the trace has it."""

from __future__ import annotations

from workbench.model import events as ev
from workbench.model.events import Entry


class ThinkingFold:
    """A fold of the thinking; `take` gives that of a turn once."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}
        self._turns: dict[int, int] = {}

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        match entry.event:
            case ev.ReplyProgress(reply=reply, turn=turn, text=text) if text:
                self._texts[reply] = self._texts.get(reply, "") + text
                self._place(reply, turn)
            case ev.ReplyPlaying(reply=reply, turn=turn) | ev.ReplyEnded(reply=reply, turn=turn):
                self._place(reply, turn)
            case ev.ReplyDiscarded(reply=reply):
                self._texts.pop(reply, None)

    def _place(self, reply: int, turn: int | None) -> None:
        if turn is not None and reply in self._texts:
            self._turns[reply] = turn

    def take(self, turn: int) -> str:
        """Return the thinking of a turn; empty if there was none, or it was not asked for."""
        replies = [reply for reply, its_turn in self._turns.items() if its_turn == turn]
        return "".join(self._texts.pop(reply, "") for reply in replies if self._turns.pop(reply))
